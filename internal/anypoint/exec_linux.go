package anypoint

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives the command a process group of its own, whose leader is told when this process dies.
func isolate(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}

// runWithParentDeath runs the command on one thread: the kernel sends the parent death signal when the thread
// that started the child ends, and Go ends threads as it likes.
func runWithParentDeath(command *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return command.Run()
}

// killGroup ends what the command left running.
func killGroup(command *exec.Cmd) {
	if command.Process != nil {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }

// memoryDirectory is where no disk sees the registration's key.
func memoryDirectory() string {
	const shm = "/dev/shm"
	if unix.Access(shm, unix.W_OK) == nil {
		return shm
	}
	return os.TempDir()
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
	// Should this supervisor be killed, flexctl goes with it.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := runWithParentDeath(command)
	if command.ProcessState == nil {
		_, _ = os.Stderr.WriteString("starting flexctl: " + pathless(err) + "\n")
		return 127
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}
