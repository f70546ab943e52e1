package node

import (
	"os/exec"
	"time"

	"github.com/flexops/flex-registration-operator/test/process"
)

// stopGrace is how long a program has to end by itself.
const stopGrace = 10 * time.Second

func startProcess(name, log, path string, args ...string) (*process.Process, error) {
	return process.Start(name, log, exec.Command(path, args...))
}

// stop ends a program. One that was never started has ended.
func stop(p *process.Process) error {
	if p == nil {
		return nil
	}
	p.Terminate()
	return p.Wait(stopGrace)
}
