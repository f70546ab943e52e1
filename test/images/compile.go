package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// environment is what the go command says about where it runs.
type environment struct {
	root string // the directory of go.mod
	arch string // what it compiles for
}

func goEnvironment(ctx context.Context) (environment, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD", "GOARCH").Output()
	if err != nil {
		return environment{}, fmt.Errorf("ask go for its environment: %w", err)
	}
	lines := strings.Split(string(out), "\n")
	if filepath.Base(lines[0]) != "go.mod" {
		return environment{}, errors.New("there is no go.mod in the working directory or above it: run from within the repository")
	}
	return environment{root: filepath.Dir(lines[0]), arch: lines[1]}, nil
}

// provide returns the path of a regular file that source stands for, having compiled it into work if it is a program.
func (e environment) provide(ctx context.Context, work, source string) (string, error) {
	path := source
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.root, path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	out, err := os.MkdirTemp(work, "")
	if err != nil {
		return "", fmt.Errorf("compile %s: %w", source, err)
	}
	binary := filepath.Join(out, "program")
	// No -trimpath: the Go build cache is then shared with the tests.
	compile := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, source)
	compile.Dir = e.root
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s, which is no file: %w\n%s", source, err, said)
	}
	return binary, nil
}
