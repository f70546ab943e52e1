package anypoint

import (
	"fmt"
	"regexp"
	"strings"
)

// Class says what went wrong with a renewal. Its value is the reason of a condition.
type Class string

// The classes of errors.
const (
	CredentialsRejected Class = "CredentialsRejected"
	MFARequired         Class = "MFARequired"
	MissingScope        Class = "MissingScope"
	RequestRefused      Class = "RequestRefused"
	RateLimited         Class = "RateLimited"
	PlatformUnavailable Class = "PlatformUnavailable"
	TimedOut            Class = "RenewalTimedOut"
	FlexctlUnusable     Class = "FlexctlUnusable"
	FlexctlTooOld       Class = "FlexctlTooOld"
	FlexctlFailed       Class = "FlexctlFailed"
	ResultInvalid       Class = "ResultInvalid"
	HostNotAllowed      Class = "AnypointHostNotAllowed"
	// JobNotStarted and JobFailed are of renewals in Jobs: flexctl was never run, or nobody knows what it did.
	JobNotStarted Class = "JobNotStarted"
	JobFailed     Class = "JobFailed"
)

// Error is a failed renewal.
type Error struct {
	Class Class `json:"class"`
	// Detail is one scrubbed line: what happened and what the reader can do.
	Detail string `json:"detail"`
	// Unresolved: the platform may have renewed although no usable answer arrived.
	Unresolved bool `json:"unresolved,omitempty"`
}

func (e *Error) Error() string { return e.Detail }

// pattern recognises a failure in what flexctl prints. The order matters: the first match counts.
type pattern struct {
	text       *regexp.Regexp
	class      Class
	remedy     string
	unresolved bool
}

const missingScope = "the credentials lack a permission: give the connected app the scopes Read Servers, Manage Servers and View Organization in the gateway's organization, then set the annotation gateway.flexops.dev/renew to a new value"

// The texts are those of the vendor's documentation (a refused call carries the HTTP response), of Go's network
// errors and of the usual command line libraries.
var patterns = []pattern{
	{re(`multi-?factor|\bmfa\b|two-?factor`), MFARequired, "use a connected app's client-id and client-secret instead of a user's", false},
	{re(`back-end server is at capacity|HTTP/[\d.]+ 429|too many requests`), RateLimited, "Anypoint's rate limit was reached", false},
	// What a proxy answers to CONNECT, in Go's words: the connection was never made.
	{re(`(?:get|post|put) "https://[^"]*": (?:forbidden|proxy authentication required|bad gateway|service unavailable|gateway timeout|not found|bad request)`), PlatformUnavailable, "the proxy refused the connection to Anypoint", false},
	// What the registration facade is sent is no credentials but the token that was got for them.
	{re(`reg facade call returned error response:\s*HTTP/[\d.]+ 40[13]`), MissingScope, missingScope, false},
	{re(`HTTP/[\d.]+ 401|invalid_client|invalid_grant|unauthorized`), CredentialsRejected, "Anypoint refused the credentials: put valid ones into the credentials Secret", false},
	{re(`HTTP/[\d.]+ 403|forbidden|insufficient.scope`), MissingScope, missingScope, false},
	{re(`HTTP/[\d.]+ 503`), PlatformUnavailable, "Anypoint is not available", false},
	{re(`HTTP/[\d.]+ 5\d\d`), PlatformUnavailable, "Anypoint failed", true},
	{re(`HTTP/[\d.]+ 4\d\d`), RequestRefused, "Anypoint refused the renewal", false},
	{re(`(?m:^starting flexctl: )|exec format error|error while loading shared libraries`), FlexctlUnusable, "flexctl can't be run on this machine: use one that was built for it", false},
	{re(`unknown (command|flag|shorthand)|flag provided but not defined|no such command`), FlexctlTooOld, "this flexctl lacks the command that renews: set spec.flexctl.image to a newer image, or, where the operator runs flexctl itself, install a newer one", false},
	// No connection, no renewal: also where making one timed out.
	{re(`dial tcp|dial udp|proxyconnect|connection refused|no such host|server misbehaving|name resolution|network is unreachable|no route to host|TLS handshake timeout|certificate signed by unknown authority|x509:|tls:`), PlatformUnavailable, "Anypoint can't be reached: look at DNS, proxy and egress rules", false},
	{re(`timeout|deadline exceeded|\bEOF\b|connection reset|broken pipe`), PlatformUnavailable, "the connection to Anypoint broke", true},
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + s) }

// classify turns the exit of a failed flexctl into an error. output is what it printed; it is scrubbed here.
// An unknown failure may have happened after the platform had renewed, so it counts as unresolved.
func classify(exit, output string, credentials Credentials) *Error {
	line := scrub(output, credentials)
	for _, p := range patterns {
		if p.text.MatchString(output) {
			return &Error{Class: p.class, Detail: fmt.Sprintf("%s (flexctl %s: %s)", p.remedy, exit, line), Unresolved: p.unresolved}
		}
	}
	return &Error{Class: FlexctlFailed, Detail: fmt.Sprintf("flexctl %s: %s", exit, line), Unresolved: !strings.Contains(output, "file already exists")}
}
