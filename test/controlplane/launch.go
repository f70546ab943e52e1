package controlplane

import (
	_ "embed" // the launcher
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

//go:embed launch.sh
var launchScript []byte

// writeLaunchers puts into dir/launch a launcher for each program. All programs are started through one, those
// that envtest starts as well, so that the watchdog knows them all.
func writeLaunchers(dir, programs string) error {
	for _, sub := range []string{"launch", "pids"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("prepare the control plane's directory: %w", err)
		}
	}
	if err := os.Symlink(programs, filepath.Join(dir, "programs")); err != nil {
		return fmt.Errorf("prepare the control plane's directory: %w", err)
	}
	// A child forked meanwhile would hold the script open for writing, and running it would fail with
	// "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, name := range programNames {
		if err := os.WriteFile(launcher(dir, name), launchScript, 0o700); err != nil {
			return fmt.Errorf("write a launcher: %w", err)
		}
	}
	return nil
}

func launcher(dir, name string) string { return filepath.Join(dir, "launch", name) }
