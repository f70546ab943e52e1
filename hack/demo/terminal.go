package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// terminal is where commands run, as the reader could run them too.
type terminal struct {
	root       string // the repository
	dir        string // a private directory that is removed at the end
	kubeconfig string
	path       string // what the PATH begins with: where kubectl and flexctl are
}

func newTerminal() (*terminal, error) {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	t := &terminal{root: filepath.Dir(strings.TrimSpace(string(gomod)))}
	if t.dir, err = os.MkdirTemp("", "flex-registration-demo-"); err != nil {
		return nil, fmt.Errorf("make a directory for the demo: %w", err)
	}
	return t, nil
}

// use makes the commands speak to a cluster.
func (t *terminal) use(kubeconfig, kubectl string) {
	t.kubeconfig, t.path = kubeconfig, filepath.Dir(kubectl)+":"+t.dir
}

// shell is a command line in the repository, with kubectl and flexctl on its PATH. It ends with ctx, together with
// all that it has started.
func (t *terminal) shell(ctx context.Context, line string) *exec.Cmd {
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Dir = t.root
	command.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig, "KUBECACHEDIR="+filepath.Join(t.dir, "cache"), "PATH="+t.path+":"+os.Getenv("PATH"))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	return command
}

func (t *terminal) quietly(ctx context.Context, line string) error {
	if output, err := t.shell(ctx, line).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, output)
	}
	return nil
}
