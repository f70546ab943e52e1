// Oldflexctl is the simulated flexctl without the command that renews, as the real one was once.
package main

import (
	"fmt"
	"os"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func main() {
	arguments := os.Args[1:]
	if len(arguments) > 1 && arguments[0] == "registration" && arguments[1] == "renew" {
		fmt.Fprintln(os.Stderr, `[flexctl][error] unknown command "renew" for "flexctl registration"`)
		os.Exit(1)
	}
	os.Exit(simulator.Flexctl{Stdout: os.Stdout, Stderr: os.Stderr}.Run(arguments...))
}
