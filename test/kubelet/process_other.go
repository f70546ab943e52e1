//go:build unix && !linux

package kubelet

import (
	"os/exec"
	"syscall"
)

// isolated makes a session. There are no parent death signals here.
func isolated() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// reap waits until a main process has ended, and ends what it has left in its process group.
func reap(command *exec.Cmd) {
	_ = command.Wait() // How it ended is in ProcessState.
	_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
}
