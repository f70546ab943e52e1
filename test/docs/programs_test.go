package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs that the docs tell of.
var manager, plugin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "docs")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	manager, plugin = filepath.Join(directory, "manager"), filepath.Join(directory, "kubectl-flexreg")
	for program, source := range map[string]string{manager: ".", plugin: "./cmd/kubectl-flexreg"} {
		compile := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, source)
		compile.Dir = root
		if said, err := compile.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", source, err, said)
			return 1
		}
	}
	return m.Run()
}
