package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// The classes of errors that any service may give, beside those of renewals. PlatformUnavailable is also an answer that doesn't
// come in time.
const (
	AnswerInvalid anypoint.Class = "AnswerInvalid"
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
	// Said is what the service or the network said, in one scrubbed line of at most 200 bytes.
	Said string
	// RetryAfter is for how long, from when the error was returned, asking again is of no use; 0 where nothing is known.
	RetryAfter time.Duration
	// TokenRefused: it is the token that was refused, so that another may be of use.
	TokenRefused bool

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

// passing tells faults that may be over at once. A limit of which nobody says when it ends may be a day's.
func (e *Error) passing() bool {
	return e.Class == anypoint.RateLimited && e.RetryAfter > 0 || e.Class == anypoint.PlatformUnavailable
}

// Fail is a failure of the request.
func (r Request) Fail(class anypoint.Class, message string) *Error {
	return &Error{Class: class, Message: message, Doing: r.Doing, Method: r.method(), Path: r.Path}
}

// Invalid is an answer that can't be used. It says why, and shows nothing of the answer, which may hold a token.
func (r Request) Invalid(why string) *Error {
	e := r.Fail(AnswerInvalid, r.service+"'s answer can't be used: look whether a proxy answers in its place, or whether there is a newer operator")
	e.Said = why
	return e
}

// ended is a call whose context is over.
func (r Request) ended(ctx context.Context) *Error {
	e := r.Fail(Interrupted, "the operator gave up asking "+r.service)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e = r.Fail(anypoint.PlatformUnavailable, r.service+" did not answer in time")
	}
	e.cause = ctx.Err()
	return e
}

// refused classifies an answer that is an error.
func (r Request) refused(status int, header http.Header, body []byte) *Error {
	e := r.Refused(status, header, body)
	switch {
	case limited(status, header, body):
		return r.Fail(anypoint.RateLimited, r.rateLimit())
	case status < 400:
		return r.Invalid("redirects are not followed")
	case e != nil:
		return e
	case status >= 500:
		return r.Fail(anypoint.PlatformUnavailable, r.service+" is not available, or fails")
	default:
		return r.Fail(anypoint.RequestRefused, r.service+" refused the request")
	}
}

func (r Request) rateLimit() string { return r.service + "'s rate limit was reached" }
