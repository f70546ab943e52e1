package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// SecretGroupNotFound: Secrets Manager has no such secret group, or does not show it.
const SecretGroupNotFound anypoint.Class = "SecretGroupNotFound"

// SecretKind is what a secret group has.
type SecretKind string

// The kinds that have a certificate.
const (
	Certificates SecretKind = "certificates"
	Keystores    SecretKind = "keystores"
)

// secret is a secret group, or something in one.
type secret struct {
	Name           string `json:"name"`
	ExpirationDate expiry `json:"expirationDate"`
	Meta           struct {
		ID string `json:"id"`
	} `json:"meta"`
}

// expiry is a time, or a day, at whose beginning it then is: how Secrets Manager writes it is not published.
type expiry struct{ time.Time }

func (e *expiry) UnmarshalJSON(text []byte) error {
	var d Date
	_ = d.UnmarshalJSON(text) // never fails
	if day, err := time.Parse(`"`+time.DateOnly+`"`, string(text)); err == nil {
		d.Time = day
	}
	e.Time = d.Time
	return nil
}

// Expiry tells when a certificate in Secrets Manager expires, by the names of its secret group and of its own; of several the
// last. The time is zero where it isn't told. It asks for nothing that is secret.
func (a *Account) Expiry(ctx context.Context, in Environment, group string, kind SecretKind, name string) (notAfter time.Time, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.client.CallTimeout)
	defer cancel()
	if !plainID.MatchString(in.OrganizationID) || !plainID.MatchString(in.ID) {
		return notAfter, false, ask("", "", "").Fail(EnvironmentNotFound, "the id of the organization or of the environment is not one: correct it")
	}
	path := fmt.Sprintf("/secrets-manager/api/v1/organizations/%s/environments/%s/secretGroups", in.OrganizationID, in.ID)
	var groups, secrets []secret
	q, err := a.secrets(ctx, in, "listing the secret groups of the environment", path, &groups)
	if err != nil {
		return notAfter, false, err
	}
	id := ""
	for _, g := range groups {
		if g.Name == group {
			id = g.Meta.ID
		}
	}
	switch {
	case id == "":
		return notAfter, false, q.Fail(SecretGroupNotFound, "Secrets Manager shows no secret group of that name in this organization and environment: check the name and the ids, and that the credentials may read it")
	case !plainID.MatchString(id):
		return notAfter, false, q.Invalid("the secret group's id is not one")
	}
	path += "/" + id + "/" + string(kind)
	if _, err = a.secrets(ctx, in, "listing what is in the secret group", path, &secrets); err != nil {
		return notAfter, false, err
	}
	for _, s := range secrets {
		if s.Name != name {
			continue
		}
		// A list may leave out what it tells of a single one.
		if s.ExpirationDate.IsZero() && plainID.MatchString(s.Meta.ID) {
			if _, err = a.secrets(ctx, in, "asking for the certificate's expiry", path+"/"+s.Meta.ID, &s); err != nil {
				return notAfter, false, err
			}
		}
		if found = true; s.ExpirationDate.After(notAfter) {
			notAfter = s.ExpirationDate.Time
		}
	}
	return notAfter, found, nil
}

func (a *Account) secrets(ctx context.Context, in Environment, doing, path string, answer any) (question, error) {
	q := ask(doing, "secrets", path)
	q.environment = in
	q.scope = "the credentials may not do this: let the connected app, or the user, read secret groups in Secrets Manager in this organization and environment, and check their ids"
	return q, a.get(ctx, q, answer)
}
