package simulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
)

// Flexctl is the simulated flexctl. Like the real one it sets no deadline.
type Flexctl struct {
	Stdout, Stderr io.Writer
	// Client calls the platform. Default: one that trusts what the system
	// trusts, which includes SSL_CERT_FILE.
	Client *http.Client
}

// defaultFile is where a gateway has its registration.
const defaultFile = ConfigurationDirectory + "/registration.yaml"

// Run runs one command and gives its exit status.
func (f Flexctl) Run(arguments ...string) int {
	if f.Client == nil {
		f.Client = http.DefaultClient
	}
	err := f.dispatch(arguments)
	var status exitStatus
	switch {
	case err == nil || errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(f.Stderr, "[flexctl][error] %v\n", err)
	return 1
}

// exitStatus ends flexctl without another word.
type exitStatus int

func (exitStatus) Error() string { return "" }

func (f Flexctl) dispatch(arguments []string) error {
	command, rest := "", arguments
	if len(rest) > 0 {
		command, rest = rest[0], rest[1:]
	}
	if command == "registration" && len(rest) > 0 {
		command, rest = command+" "+rest[0], rest[1:]
	}
	switch command {
	case "registration renew":
		return f.renewCommand(rest)
	case "registration inspect":
		return f.inspectCommand(rest)
	case "registration create":
		return f.createCommand(rest)
	case "version":
		fmt.Fprintln(f.Stdout, "flexctl version 0.0.0-simulator")
		return nil
	case "probe":
		return f.probeCommand(rest)
	case hangCommand:
		time.Sleep(hangsFor)
		return exitStatus(1)
	}
	return fmt.Errorf("unknown command %q for \"flexctl\"", command)
}

// options are the flags that commands have in common.
type options struct {
	clientID, clientSecret string
	username, password     string
	directory              string
}

func newFlags(command string, stdout io.Writer) (*pflag.FlagSet, *options) {
	o, flags := &options{}, pflag.NewFlagSet("flexctl registration "+command, pflag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.StringVar(&o.clientID, "client-id", "", "ID of a connected app")
	flags.StringVar(&o.clientSecret, "client-secret", "", "secret of the connected app")
	flags.StringVar(&o.username, "username", "", "name of a user")
	flags.StringVar(&o.password, "password", "", "password of the user")
	flags.StringVar(&o.directory, "output-directory", ".", "where to write the registration")
	return flags, o
}

// parse gives the one argument that a command takes beside its flags.
func parse(flags *pflag.FlagSet, arguments []string) (string, error) {
	if err := flags.Parse(arguments); err != nil {
		return "", err
	}
	if flags.NArg() != 1 {
		return "", fmt.Errorf("accepts 1 arg(s), received %d", flags.NArg())
	}
	return flags.Arg(0), nil
}

func (f Flexctl) inspectCommand(arguments []string) error {
	flags := pflag.NewFlagSet("flexctl registration inspect", pflag.ContinueOnError)
	flags.SetOutput(f.Stdout)
	path := flags.StringP("file", "f", defaultFile, "the registration file")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	data, err := os.ReadFile(*path)
	if err != nil {
		return err
	}
	file, err := readFile(data)
	if err != nil {
		return err
	}
	certificate, err := parseCertificate(value(field(file.secret, "tls.crt")))
	if err != nil {
		return err
	}
	fmt.Fprintf(f.Stdout, "{\"expiration_date\": %q}\n", certificate.NotAfter.UTC().String())
	return nil
}

// createCommand registers a gateway. As with the real one, an aborted
// registration leaves an empty registration.yaml.
func (f Flexctl) createCommand(arguments []string) error {
	flags, o := newFlags("create", f.Stdout)
	url := flags.String("anypoint-url", "https://anypoint.mulesoft.com", "the control plane")
	split := flags.Bool("split", false, "write the certificate into a file of its own")
	for _, unused := range []string{"organization", "environment", "connected"} {
		flags.String(unused, "", "accepted and ignored by the simulator")
	}
	name, err := parse(flags, arguments)
	if err != nil {
		return err
	}
	path := filepath.Join(o.directory, "registration.yaml")
	if err := createFile(path, nil); err != nil {
		return err
	}
	key, csr, err := newRequest(name)
	if err != nil {
		return err
	}
	token, err := f.authenticate(*url, o)
	if err != nil {
		return err
	}
	var answer registered
	if err := f.call(*url+registerPath, token, ask{Name: name, CSR: string(csr)}, &answer, "reg facade"); err != nil {
		return err
	}
	file := newFile(answer, string(key))
	if *split {
		registration, certificate := Split(file)
		if err := createFile(filepath.Join(o.directory, "certificate.yaml"), certificate); err != nil {
			return err
		}
		file = registration
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return err
	}
	fmt.Fprintln(f.Stdout, "Registration completed")
	return nil
}

// createFile writes a file that must not be there yet.
func createFile(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("file already exists: %s", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
