package controlplane

import (
	_ "embed" // the watchdog
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

//go:embed watchdog.sh
var watchdogScript string

// watchdog is a process that outlives ours if ours dies without Stop (a panic, a test's timeout, SIGKILL), to
// end the programs then. A pipe tells it, which works on every Unix and covers programs that others start,
// both unlike a parent-death signal.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startWatchdog(dir string) (*watchdog, error) {
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", dir)
	// A group of its own, lest a Ctrl-C at the terminal ends it along with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

func (w *watchdog) dismiss() error {
	if _, err := io.WriteString(w.pipe, "done\n"); err != nil {
		return fmt.Errorf("dismiss the watchdog: %w", err)
	}
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("dismiss the watchdog: %w", err)
	}
	return nil
}
