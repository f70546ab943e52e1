// Package registrations makes registrations for tests of packages that package operator, too, is made from.
package registrations

import (
	"testing"
	"time"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// New is the registration of a gateway on a platform that is gone.
func New(t testing.TB) *registration.Registration {
	t.Helper()
	platform, err := simulator.Start(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer platform.Close() //nolint:errcheck // Nobody has asked it anything.
	gateway, err := platform.Register("ingress", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registration.Parse(map[string][]byte{registration.DefaultKey: gateway.File}, registration.DefaultKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
