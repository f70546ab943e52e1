package kubelet

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadOnlyAndBack(t *testing.T) {
	directory := t.TempDir()
	program := filepath.Join(directory, "program")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		readOnly bool
		want     os.FileMode
	}{{true, 0o500}, {false, 0o700}} {
		if err := chmod(directory, step.readOnly); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{directory, program} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm() & 0o700; got != step.want {
				t.Errorf("read-only %v: %s has the mode %o, want %o", step.readOnly, path, got, step.want)
			}
		}
	}
}
