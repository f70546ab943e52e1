// Flexctl is a simulated flexctl, which talks to the simulated Anypoint Platform.
package main

import (
	"os"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func main() {
	os.Exit(simulator.Flexctl{Stdout: os.Stdout, Stderr: os.Stderr}.Run(os.Args[1:]...))
}
