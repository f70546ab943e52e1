//go:build !linux

package anypoint

import (
	"os/exec"
	"syscall"
)

// runWithParentDeath runs a command. There is no parent death signal outside Linux.
func runWithParentDeath(command *exec.Cmd, _ syscall.Signal) error { return command.Run() }

// Supervisor is nothing outside Linux: the program runs by itself.
func Supervisor(...string) []string { return nil }

// Supervise exists on Linux only.
func Supervise([]string) int { return 2 }
