package registration

import (
	"errors"
	"fmt"
	"regexp"
)

// Code names one kind of failure. Codes are stable and fit for reasons of conditions and labels of metrics.
type Code string

// What Parse finds wrong with the data of a Secret.
const (
	CodeNoSuchKey              Code = "NoSuchKey"              // the Secret has no such key
	CodeEmpty                  Code = "Empty"                  // blank, or comments only
	CodeTooLarge               Code = "TooLarge"               // more than MaxSize, or absurdly many documents
	CodeLegacyLayout           Code = "LegacyLayout"           // the three files of Flex Gateway 1.0
	CodeNotYAML                Code = "NotYAML"                // not UTF-8, or not YAML
	CodeUnsupportedYAML        Code = "UnsupportedYAML"        // anchors, aliases, tags, … in the registration's documents
	CodeNoPlatformConnection   Code = "NoPlatformConnection"   // no document is a registration
	CodeAmbiguous              Code = "Ambiguous"              // two registrations, or two certificates for one
	CodeInvalidAgentID         Code = "InvalidAgentID"         // agentId missing, or no UUID
	CodeInvalidURL             Code = "InvalidURL"             // a URL of platformConnection that must not be called
	CodeBrokenReference        Code = "BrokenReference"        // certificateRef leads nowhere
	CodeInvalidCertificate     Code = "InvalidCertificate"     // tls.crt holds no, or broken, certificates
	CodeUnsupportedCertificate Code = "UnsupportedCertificate" // readable, but absurd: key types and sizes, chains, dates
	CodeInvalidKey             Code = "InvalidKey"             // tls.key holds no, or a broken, private key
	CodeEncryptedKey           Code = "EncryptedKey"           // tls.key is protected by a passphrase
	CodeKeyMismatch            Code = "KeyMismatch"            // tls.key belongs to none of the certificates
)

// What the other functions refuse.
const (
	CodeHostNotAllowed  Code = "HostNotAllowed"  // CheckHost
	CodeAgentIDMismatch Code = "AgentIDMismatch" // Verify, Merge: the registration of another gateway
	CodeSameCertificate Code = "SameCertificate" // Verify: nothing was renewed
	CodeNotNewer        Code = "NotNewer"        // Verify: the certificate is no newer than the one it replaces
	CodeNotYetValid     Code = "NotYetValid"     // Verify
	CodeExpired         Code = "Expired"         // Verify
	CodeMergeFailed     Code = "MergeFailed"     // Merge: the result was not what it must be, and was thrown away
)

// Error says what is wrong with a registration, where, and what the reader can do. It holds positions and names but
// never content, so that it is fit for logs, Events and status: no text of the YAML or x509 packages (which quote
// values) and no name out of the file that is not a plain lower-case one.
type Error struct {
	Code         Code
	Key          string // the file (Secret key) it is about, "" where it is about none
	Line, Column int    // 1-based, in lines and characters as YAML counts them; 0 where unknown
	Message      string // one or two sentences, without the position
}

// Error returns position and message.
func (e *Error) Error() string {
	where := "registration"
	if secretKey.MatchString(e.Key) {
		where = e.Key
	}
	if e.Line > 0 {
		where += fmt.Sprintf(", line %d", e.Line)
		if e.Column > 0 {
			where += fmt.Sprintf(", column %d", e.Column)
		}
	}
	return where + ": " + e.Message
}

// CodeOf returns the code of the first Error in err's tree, or "" if there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// at returns e with a position: in the file named key, at n (nil: the file as a whole).
func (e *Error) at(key string, n *node) *Error {
	e.Key = key
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	return e
}

var (
	secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)
	plainName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// isPlainName tells whether a name out of the file may be repeated: a DNS-1123 subdomain of at most 63 characters,
// which neither PEM nor a password is likely to be.
func isPlainName(s string) bool { return len(s) <= 63 && plainName.MatchString(s) }
