// Package anypoint is the only place that knows Anypoint Platform and flexctl.
package anypoint

import (
	"context"
	"time"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// Renewer renews registrations at the platform.
type Renewer interface {
	// Renew asks the platform for a new certificate and returns the registration that it answered with, parsed
	// but not verified against the old one. It ends when the context does. Every error is an *Error, or a *Pending
	// where the answer is yet to come.
	Renew(ctx context.Context, old *registration.Registration, credentials Credentials) (*registration.Registration, error)
}

// Pending says that a renewal goes on elsewhere, and is to be asked for again.
type Pending struct {
	// Message says what it waits for; Stuck that somebody may have to act for it to go on.
	Message string
	Stuck   bool
	// At is when to ask again where nothing is heard before.
	At time.Time
}

func (p *Pending) Error() string { return p.Message }
