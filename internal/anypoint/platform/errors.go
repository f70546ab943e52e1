package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// The classes of errors that renewals don't have. PlatformUnavailable is also an answer that doesn't come in time.
const (
	GatewayNotFound     anypoint.Class = "GatewayNotFound"
	EnvironmentNotFound anypoint.Class = "EnvironmentNotFound" // or the organization, which the platform doesn't tell apart
	AnswerInvalid       anypoint.Class = "AnswerInvalid"
	// Interrupted: the caller's context was cancelled. The error wraps its cause.
	Interrupted anypoint.Class = "Interrupted"
)

// Error is a failed call. It holds no credential, no token, and of a URL the path only.
type Error struct {
	Class anypoint.Class
	// Message says what went wrong and what the reader can do.
	Message string
	// Doing says what was being asked, Method and Path with which request. Path is empty where none was to be sent.
	Doing, Method, Path string
	// Status of the answer, 0 without one.
	Status int
	// Said is what the platform or the network said, in one scrubbed line of at most 200 bytes.
	Said string
	// RetryAfter is for how long, from when the error was returned, asking again is of no use; 0 where nothing is known.
	RetryAfter time.Duration

	cause error
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	details := fmt.Sprintf("%s with %s %s", e.Doing, e.Method, e.Path)
	if e.Status != 0 {
		details += fmt.Sprintf(": HTTP %d", e.Status)
	}
	if e.Said != "" {
		details += ": " + e.Said
	}
	return e.Message + " (" + details + ")"
}

// Unwrap gives the context's error where that ended the call.
func (e *Error) Unwrap() error { return e.cause }

// passing tells faults that may be over at once.
func (e *Error) passing() bool {
	return e.Class == anypoint.RateLimited || e.Class == anypoint.PlatformUnavailable
}

func (q question) fail(class anypoint.Class, message string) *Error {
	return &Error{Class: class, Message: message, Doing: q.doing, Method: q.method(), Path: q.path}
}

// invalid is an answer that can't be used. It says why, and shows nothing of the answer, which may hold a token.
func (q question) invalid(why string) *Error {
	e := q.fail(AnswerInvalid, "Anypoint's answer can't be used: look whether a proxy answers in its place, or whether there is a newer operator")
	e.Said = why
	return e
}

// ended is a call whose context is over.
func (q question) ended(ctx context.Context) *Error {
	e := q.fail(Interrupted, "the operator gave up asking Anypoint")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e = q.fail(anypoint.PlatformUnavailable, "Anypoint did not answer in time")
	}
	e.cause = ctx.Err()
	return e
}

// missingScope is what is known to be needed for all that the operator does.
const missingScope = "the credentials may not do this: give the connected app the scopes Read Servers, Manage Servers and " +
	"View Organization in the gateway's organization, and check the ids of the organization and the environment"

var (
	mfa         = regexp.MustCompile(`(?i)multi-?factor|\bmfa\b|two-?factor`)
	gatewayGone = regexp.MustCompile(`(?i)gateway not found`)
)

// refused classifies an answer that is an error.
func (q question) refused(status int, header http.Header, body []byte) *Error {
	switch denied := status == http.StatusUnauthorized || status == http.StatusForbidden; {
	case limited(status, header, body):
		return q.fail(anypoint.RateLimited, rateLimit)
	case status < 400:
		return q.invalid("redirects are not followed")
	case status >= 500:
		return q.fail(anypoint.PlatformUnavailable, "Anypoint is not available, or fails")
	// How the platform refuses credentials is only known in part, and an account must not be locked: whatever says
	// that a request for a token was understood but not granted counts.
	case q.token == "" && (denied || status == http.StatusBadRequest):
		switch {
		case q.endpoint != "login":
			return q.fail(anypoint.CredentialsRejected, "Anypoint refused the credentials: put valid ones into the credentials Secret")
		case mfa.Match(body):
			return q.fail(anypoint.MFARequired, "Anypoint wants multi-factor authentication: use a connected app's client-id and client-secret instead of a user's")
		}
		return q.fail(anypoint.CredentialsRejected, "Anypoint refused the credentials: put valid ones into the credentials Secret, "+
			"or a connected app's where the user has multi-factor authentication")
	case denied:
		return q.fail(anypoint.MissingScope, missingScope)
	case status == http.StatusNotFound && q.gateway && gatewayGone.Match(body):
		return q.fail(GatewayNotFound, "Anypoint knows no such gateway in this organization and environment: check their ids, or register the gateway anew")
	case status == http.StatusNotFound && q.environment.OrganizationID != "":
		return q.fail(EnvironmentNotFound, "Anypoint knows no such organization or environment: check their ids")
	default:
		return q.fail(anypoint.RequestRefused, "Anypoint refused the request")
	}
}
