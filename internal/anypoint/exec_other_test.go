//go:build !linux

package anypoint

import (
	"syscall"
	"testing"
)

func supervisorForTests(*testing.T) []string { return Supervisor() }

func helper() (status int, helped bool) { return 0, false }

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }
