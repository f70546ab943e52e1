package controlplane

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/flexops/flex-registration-operator/test/process"
)

// startChild starts a program of the control plane.
func startChild(dir, name, log string, args ...string) (*process.Process, error) {
	cmd := exec.Command(launcher(dir, name), args...)
	// Programs keep their defaults in the home directory, or read them from there: not from the user's.
	cmd.Env = append(os.Environ(), "HOME="+dir)
	// A Ctrl-C at the terminal is ours to handle, so that Stop decides the order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return process.Start(name, log, cmd)
}
