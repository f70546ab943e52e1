package conformance_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// programs are those of the operator's image, and the simulator's flexctl.
type programs struct{ manager, runner, flexctl string }

func build(t *testing.T) programs {
	t.Helper()
	directory := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", directory+string(filepath.Separator), ".", "./cmd/flexctl-runner")
	command.Dir = filepath.Join("..", "..")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the operator's programs: %v\n%s", err, output)
	}
	flexctl, err := simulator.BuildFlexctl(directory)
	if err != nil {
		t.Fatal(err)
	}
	return programs{
		manager: filepath.Join(directory, "flex-registration-operator"), runner: filepath.Join(directory, "flexctl-runner"), flexctl: flexctl,
	}
}
