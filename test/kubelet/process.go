package kubelet

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a container's main process and what it has started.
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed once all of it has ended
}

// startProcess starts a command in a session of its own.
func startProcess(command *exec.Cmd) (*process, error) {
	p := &process{command: command, ended: make(chan struct{})}
	command.SysProcAttr = isolated()
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread that started it ends, and Go ends threads as it likes.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err != nil {
			return
		}
		reap(command)
		close(p.ended)
	}()
	return p, <-started
}

// terminate asks the main process to end, and only that, as container runtimes do.
func (p *process) terminate() { _ = p.command.Process.Signal(syscall.SIGTERM) } // It may have ended.

// kill ends the main process; the others follow.
func (p *process) kill() { _ = p.command.Process.Kill() } // It may have ended.

// exitCode is as a shell has it. The process must have ended.
func (p *process) exitCode() int32 {
	state := p.command.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int32(128 + status.Signal())
	}
	return int32(state.ExitCode())
}

// pipe is a pipe for what a process prints, whose reader can be given a deadline.
func pipe(command *exec.Cmd) (reader, writer *os.File, err error) {
	reader, writer, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	command.Stdout, command.Stderr = writer, writer
	return reader, writer, nil
}
