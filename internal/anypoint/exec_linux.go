package anypoint

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// runWithParentDeath runs a command that the kernel sends a signal when this process dies. It does so when the thread ends that
// started the command, and Go ends threads as it likes: this one is kept.
func runWithParentDeath(command *exec.Cmd, death syscall.Signal) error {
	command.SysProcAttr.Pdeathsig = death
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return command.Run()
}

// Supervisor is the command line that makes a program of ours supervise another one.
func Supervisor(line ...string) []string { return line }

// Supervise runs a command in this process's group and returns its exit status. When the process that started
// this one dies, or this one is asked to stop, the whole group is killed: the kernel's parent death signal
// reaches only a direct child, not flexctl's own children.
func Supervise(line []string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		_ = syscall.Kill(0, syscall.SIGKILL)
	}()
	if len(line) == 0 {
		return 2
	}
	command := exec.Command(line[0], line[1:]...) //nolint:gosec // Called by Exec alone.
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{}
	// Should this supervisor be killed, flexctl goes with it.
	err := runWithParentDeath(command, syscall.SIGKILL)
	if command.ProcessState == nil {
		_, _ = os.Stderr.WriteString("starting flexctl: " + pathless(err) + "\n")
		return 127
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}
