// Package anypoint is the only place that knows Anypoint Platform and flexctl.
package anypoint

import (
	"context"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// Renewer renews registrations at the platform.
type Renewer interface {
	// Renew asks the platform for a new certificate and returns the registration that it answered with, parsed
	// but not verified against the old one. It ends when the context does. Every error is an *Error.
	Renew(ctx context.Context, old *registration.Registration, credentials Credentials) (*registration.Registration, error)
}
