// Package process runs the programs that tests start themselves.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	// Name is what errors call it, Log the file that it prints into.
	Name, Log string

	cmd    *exec.Cmd
	exited chan struct{} // closed once it has
}

// Start starts a command, whose output goes to a file.
func Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close() //nolint:errcheck // the program has its own descriptor
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	return p, nil
}

// Died tells that the program has ended by itself, and its last words.
func (p *Process) Died() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself (%s), its last lines were:\n%s", p.Name, p.cmd.ProcessState, LastLines(p.Log))
	default:
		return nil
	}
}

// Terminate asks the program to end.
func (p *Process) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // it may have ended already

// Wait returns once the program has ended, by force if it takes longer than grace.
func (p *Process) Wait(grace time.Duration) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.exited
	return nil
}

// LastLines are the end of a log.
func LastLines(log string) string {
	const lines = 15
	content, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
