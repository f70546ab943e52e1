package simulator

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildFlexctl builds the simulated flexctl into a directory and gives its
// path. It works in every directory of this module.
func BuildFlexctl(directory string) (string, error) { return Build(directory, "flexctl") }

// Build builds one of the simulator's programs (flexctl, flex-gateway or
// anypoint) into a directory and gives its path. It is linked statically, so
// that it runs in a container image with nothing else in it.
func Build(directory, program string) (string, error) {
	path := filepath.Join(directory, program)
	build := exec.Command("go", "build", "-o", path,
		"github.com/flexops/flex-registration-operator/hack/simulator/cmd/"+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build of %s: %w\n%s", program, err, output)
	}
	return path, nil
}
