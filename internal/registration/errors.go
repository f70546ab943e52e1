package registration

import (
	"fmt"
	"regexp"
)

// Error says what is wrong with a registration, where, and what the reader can do. It holds positions and names but
// never content, so that it is fit for logs, Events and status: no text of the YAML or x509 packages (which quote
// values) and no name out of the file that is not a plain lower-case one.
type Error struct {
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

func fail(format string, args ...any) *Error { return &Error{Message: fmt.Sprintf(format, args...)} }

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
