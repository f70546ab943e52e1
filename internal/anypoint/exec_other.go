//go:build !linux

package anypoint

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate gives the command a process group of its own. There is no parent death signal outside Linux.
func isolate(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}

func runWithParentDeath(command *exec.Cmd) error { return command.Run() }

// killGroup ends what the command left running.
func killGroup(command *exec.Cmd) {
	if command.Process != nil {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }

func memoryDirectory() string { return os.TempDir() }

// Supervisor is nothing outside Linux: the program runs by itself.
func Supervisor(...string) []string { return nil }

// Supervise exists on Linux only.
func Supervise([]string) int { return 2 }
