package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

var programNames = []string{"etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kwok"}

// findPrograms returns the directory of the control plane's programs and the extra ones: $KUBEBUILDER_ASSETS if
// it has them all, otherwise what hack/controlplane/build.sh finds or builds.
func findPrograms(ctx context.Context, extra ...string) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" && hasPrograms(dir, slices.Concat(programNames, extra)) {
		return filepath.Abs(dir)
	}
	script, err := buildScript()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	build := exec.CommandContext(ctx, script, extra...)
	build.Stdout, build.Stderr = &out, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build the control plane's programs with %s: %w", script, err)
	}
	return strings.TrimSpace(out.String()), nil
}

func hasPrograms(dir string, names []string) bool {
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// buildScript finds the script from the working directory upwards: tests run in their package's directory,
// and the path of a source file would be of no use in a binary built with -trimpath.
func buildScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		script := filepath.Join(dir, "hack", "controlplane", "build.sh")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no hack/controlplane/build.sh in the working directory or above it: " +
				"run from within the repository, or set KUBEBUILDER_ASSETS to a directory with " + strings.Join(programNames, ", "))
		}
		dir = parent
	}
}
