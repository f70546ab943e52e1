package simulator

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files that a registration consists of. The second is there only where
// it was made with --split=true.
const (
	registrationFileName = "registration.yaml"
	certificateFileName  = "certificate.yaml"
)

// gatewayRegistration is what a gateway takes from its registration.
type gatewayRegistration struct {
	agentID     string
	arm         string // where it connects
	certificate tls.Certificate
}

// readRegistration reads the registration that stands somewhere below a
// directory. What the real gateway makes of one whose key is not its
// certificate's, or of two of them, is unknown; here neither is usable.
func readRegistration(directory string) (*gatewayRegistration, error) {
	paths, err := findRegistration(directory)
	if err != nil {
		return nil, fmt.Errorf("look for the gateway's registration below %s: %w", directory, err)
	}
	var contents [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the gateway's registration: %w", err)
		}
		contents = append(contents, data)
	}
	r, err := parseRegistration(bytes.Join(contents, []byte("\n---\n")))
	if err != nil {
		return nil, fmt.Errorf("read the gateway's registration from %s: %w; register the gateway anew, or put back the file that flexctl wrote",
			strings.Join(paths, " and "), err)
	}
	return r, nil
}

// findRegistration gives the path of registration.yaml, and after it that of
// certificate.yaml if there is one. In a volume of Kubernetes both are links
// into a directory whose name begins with two dots, which is passed over.
func findRegistration(directory string) ([]string, error) {
	root, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "..") {
			return fs.SkipDir
		}
		if !entry.IsDir() {
			found[entry.Name()] = append(found[entry.Name()], path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	registrations, certificates := found[registrationFileName], found[certificateFileName]
	switch {
	case len(registrations) == 0:
		return nil, errors.New("there is no registration.yaml; mount the Secret with the gateway's registration there")
	case len(registrations) > 1 || len(certificates) > 1:
		return nil, fmt.Errorf("there is more than one of %s; leave the one of this gateway",
			strings.Join(append(registrations, certificates...), ", "))
	}
	return append(registrations, certificates...), nil
}

// parseRegistration tells nothing of what the file holds in its errors.
func parseRegistration(data []byte) (*gatewayRegistration, error) {
	file, err := readFile(data)
	if err != nil || file.secret == nil {
		return nil, errors.New("it is no YAML with a platform connection and the certificate that this refers to")
	}
	r := &gatewayRegistration{agentID: value(field(file.connection, "agentId")), arm: value(field(file.connection, "arm"))}
	if r.agentID == "" || !strings.HasPrefix(r.arm, "wss://") {
		return nil, errors.New("its platform connection has no agentId, or no arm that begins with wss://")
	}
	r.certificate, err = tls.X509KeyPair([]byte(value(field(file.secret, "tls.crt"))), []byte(value(field(file.secret, "tls.key"))))
	if err != nil {
		return nil, errors.New("its tls.crt and tls.key are no certificate with its private key")
	}
	return r, nil
}
