package controlplane

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is a program that we started ourselves.
type child struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed once it has
}

func startChild(dir, name, log string, args ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close() //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(launcher(dir, name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	// Programs keep their defaults in the home directory, or read them from there: not from the user's.
	cmd.Env = append(os.Environ(), "HOME="+dir)
	// A Ctrl-C at the terminal is ours to handle, so that Stop decides the order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(c.exited)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	return c, nil
}

// died tells that the child has ended by itself, and its last words.
func (c *child) died() error {
	select {
	case <-c.exited:
		return fmt.Errorf("%s ended by itself (%s), its last lines were:\n%s", c.name, c.cmd.ProcessState, lastLines(c.log))
	default:
		return nil
	}
}

func (c *child) terminate() { _ = c.cmd.Process.Signal(syscall.SIGTERM) } // it may have ended already

func (c *child) wait(grace time.Duration) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.exited:
		return nil
	case <-timer.C:
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.exited
	return nil
}

func lastLines(log string) string {
	const lines = 15
	content, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
