// Package registration reads, checks and edits the registration file of a Flex Gateway: the multi-document YAML
// that `flexctl registration create` writes, that Kubernetes keeps in a Secret, and that the gateway reads from its
// conf.d directory. One document of it, a Configuration with spec.platformConnection, says which gateway this is on
// Anypoint Platform; a Secret document (the gateway's kind, not Kubernetes') holds the client certificate and its
// key. Users keep documents of their own between the two, so everything here treats the rest of the file as theirs:
// it is not interpreted and not rewritten.
//
// The format is not specified in public. What is required here is what the vendor's documentation of registration
// and renewal shows, and no more; fields nobody knows are kept.
//
// The file is input from outside and holds a private key. No error of this package quotes it: see Error.
package registration

import (
	"bytes"
	"fmt"
)

const (
	// DefaultKey is the Secret key, and the file name, of a registration.
	DefaultKey = "registration.yaml"

	// CertificateKey is the second file of a registration made with `flexctl registration create --split=true`: the
	// Secret document moves there.
	CertificateKey = "certificate.yaml"

	// MaxSize is the most that one file may have, in bytes. A registration has about 10 KiB; Kubernetes allows a
	// Secret of 1 MiB.
	MaxSize = 256 << 10
)

// Registration is a parsed and validated registration: a complete pair of documents whose key matches the
// certificate. It is immutable, holds nothing of where it stood in its file, and is deeply equal to another one with
// the same content.
type Registration struct {
	agentID     string
	name        string
	anypointURL string
	certificate Certificate
	chain, key  string // canonical PEM
	config      *node  // the Configuration document, normalised
	secret      *node  // the Secret document, normalised, with chain and key
	documents   []byte // config and secret as YAML
}

// Format keeps every fmt verb from printing the key.
func (r *Registration) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[registration]")) }

// AgentID returns the gateway's id on the platform (spec.platformConnection.agentId): a UUID in lower case, with
// dashes.
func (r *Registration) AgentID() string { return r.agentID }

// Name returns the gateway's name on the platform (spec.platformConnection.assetName) as it stands in the file, of
// any length, or "" if the file has none.
func (r *Registration) Name() string { return r.name }

// AnypointURL returns the control plane's base URL (spec.platformConnection.anypoint), or "" if the file has none. It
// is https, without user info, query or fragment. Whether its host is to be trusted is CheckHost's business.
func (r *Registration) AnypointURL() string { return r.anypointURL }

// Certificate returns what identifies the client certificate that the gateway presents to the platform.
func (r *Registration) Certificate() Certificate { return r.certificate }

// Chain returns the certificates of the registration's chain, the gateway's among them, as PEM, in their order.
func (r *Registration) Chain() []byte { return []byte(r.chain) }

// Marshal returns the registration's own documents, the Configuration and then the Secret, as one YAML file without
// comments and without the user's documents. Equal registrations give equal bytes, and Parse of them gives an equal
// registration. It holds the private key.
func (r *Registration) Marshal() []byte { return bytes.Clone(r.documents) }
