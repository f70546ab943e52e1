package simulator

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// hangCommand is what a hanging flexctl's child runs. Both end by themselves,
// after longer than any test, so that a failed one leaves nothing behind.
const (
	hangCommand = "simulator-hang"
	hangsFor    = 10 * time.Minute
)

// misbehave carries out what goes wrong before the file is written.
func (f Flexctl) misbehave(fault FaultKind, file *registrationFile, o *options, token string) error {
	switch fault {
	case ChangedURL:
		set(file.connection, "anypoint", "https://anypoint.elsewhere.example")
	case ChangedField:
		set(file.connection, "simulated", "a field that nobody knows")
	case WrongKey:
		key, _, err := newRequest("")
		if err != nil {
			return err
		}
		set(file.secret, "tls.key", string(key))
	case HugeOutput:
		line := strings.Repeat("flexctl has a lot to say ", 40) + "\n"
		for range 2 << 20 / len(line) {
			fmt.Fprint(f.Stdout, line)
			fmt.Fprint(f.Stderr, line)
		}
	case Crash:
		fmt.Fprintf(f.Stderr, `panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x6b2c41]

goroutine 1 [running]:
main.renew({%q, %q, %q, %q}, {"Bearer %s"})
	/build/flexctl/renew.go:117 +0x1c1
private key:
%s`, o.clientID, o.clientSecret, o.username, o.password, token, value(field(file.secret, "tls.key")))
		return exitStatus(2) // a Go program's after a panic
	case SpawnChild:
		return f.spawnChild()
	}
	return nil
}

// spawnChild starts a child that holds on to flexctl's output, leaves its
// process ID in the file that SIMULATOR_PID_FILE names, and hangs.
func (f Flexctl) spawnChild() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, hangCommand)
	child.Stdout, child.Stderr = f.Stdout, f.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	if path := os.Getenv("SIMULATOR_PID_FILE"); path != "" {
		// Renamed into place: who waits for the file must not read half of it.
		err = os.WriteFile(path+".tmp", []byte(strconv.Itoa(child.Process.Pid)), 0o600)
		if err = errors.Join(err, os.Rename(path+".tmp", path)); err != nil {
			return errors.Join(err, child.Process.Kill())
		}
	}
	time.Sleep(hangsFor)
	return exitStatus(1)
}

// spoil makes of the new file what a fault leaves of it, nil for no file.
func spoil(fault FaultKind, renewed []byte) []byte {
	switch fault {
	case TruncatedFile:
		return renewed[:len(renewed)/2]
	case GarbageFile:
		return []byte("\x00\x01{{{ neither: [YAML\n\t- nor: anything")
	case EmptyFile:
		return []byte{}
	case NoFile:
		return nil
	}
	return renewed
}
