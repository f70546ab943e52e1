package anypoint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// keyCABundle is the name of the file with certificates, in PEM, that flexctl is to trust.
const keyCABundle = "ca.crt"

// Attempt is what one renewal in a container starts from. It travels in a Secret, whose keys are files in the container.
type Attempt struct {
	Registration *registration.Registration
	Credentials  Credentials
	// Network is what flexctl needs to reach the platform.
	Network Network
}

// Network is how to reach the platform from a container. A proxy's URL may hold a password.
type Network struct {
	// Proxy are variables, such as HTTPS_PROXY, by their name.
	Proxy map[string]string
	// CABundle are the certificates to trust, in PEM; none for those of flexctl's image.
	CABundle []byte
}

// NetworkFromEnvironment takes the proxy from this process's environment, and the certificates from the file that
// SSL_CERT_FILE names.
func NetworkFromEnvironment() (Network, error) {
	n := Network{Proxy: map[string]string{}}
	for _, name := range proxyVariables {
		if v, set := os.LookupEnv(name); set {
			n.Proxy[name] = v
		}
	}
	path := os.Getenv("SSL_CERT_FILE")
	if path == "" {
		return n, nil
	}
	var err error
	if n.CABundle, err = os.ReadFile(path); err != nil { //nolint:gosec // The path is the administrator's.
		return Network{}, fmt.Errorf("reading the certificates that SSL_CERT_FILE names: %w", err)
	}
	return n, nil
}

// Data is the content of the attempt's Secret.
func (a Attempt) Data() map[string][]byte {
	data := a.Credentials.Data()
	data[registration.DefaultKey] = a.Registration.Marshal()
	for name, value := range a.Network.Proxy {
		data[name] = []byte(value)
	}
	if len(a.Network.CABundle) > 0 {
		data[keyCABundle] = a.Network.CABundle
	}
	return data
}

// readAttempt reads what Data has become in a container.
func readAttempt(directory string) (a Attempt, err error) {
	names := append([]string{registration.DefaultKey, keyClientID, keyClientSecret, keyUsername, keyPassword, keyCABundle}, proxyVariables...)
	data, err := readFiles(directory, os.ReadFile, names...)
	if err != nil {
		return a, err
	}
	a.Network = Network{Proxy: map[string]string{}, CABundle: data[keyCABundle]}
	for _, name := range proxyVariables {
		if value, set := data[name]; set {
			a.Network.Proxy[name] = string(value)
		}
	}
	if a.Registration, err = registration.Parse(data, registration.DefaultKey); err != nil {
		return a, err
	}
	a.Credentials, err = ParseCredentials(data)
	return a, err
}

// environment is what flexctl gets of it, beside what the container's image sets.
func (a Attempt) environment(directory string) []string {
	env := os.Environ()
	for name, value := range a.Network.Proxy {
		env = append(env, name+"="+value)
	}
	if len(a.Network.CABundle) > 0 {
		env = append(env, "SSL_CERT_FILE="+filepath.Join(directory, keyCABundle))
	}
	return env
}

// maxDetail bounds, in bytes, what is taken over from a container: a remedy and a line of flexctl's output.
const maxDetail = 600

// terminationMessage is how a container tells an error.
func (e *Error) terminationMessage() []byte {
	encoded, _ := json.Marshal(Error{e.Class, cut(e.Detail, maxDetail), e.Unresolved})
	return encoded
}

// ParseTerminationMessage reads the error that the wrapper left; nil where there is none. flexctl runs beside the
// wrapper, so whatever is read may be of its making: it is scrubbed again, and what can't be told counts as unresolved.
func ParseTerminationMessage(message string, credentials Credentials) *Error {
	e := &Error{}
	whole := json.Unmarshal([]byte(message), e) == nil
	if !whole || !slices.Contains(classes, e.Class) {
		return nil
	}
	e.Detail = cmp.Or(cut(credentials.Redact(e.Detail), maxDetail), "nothing more is known")
	e.Unresolved = e.Unresolved || e.Class == FlexctlFailed
	return e
}

// classes are those that a container may report.
var classes = []Class{
	CredentialsRejected, MFARequired, MissingScope, RequestRefused, RateLimited, PlatformUnavailable, TimedOut,
	FlexctlUnusable, FlexctlTooOld, FlexctlFailed, ResultInvalid, HostNotAllowed, JobNotStarted,
}
