package platform

import (
	"context"
	"slices"
	"time"

	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// SecretKind is what a secret group has.
type SecretKind string

// The kinds that have a certificate.
const (
	Certificates SecretKind = "certificates"
	Keystores    SecretKind = "keystores"
)

// secret is a secret group, or something in one.
type secret struct {
	Name           string          `json:"name"`
	ExpirationDate httpclient.Time `json:"expirationDate"`
	Meta           struct {
		ID string `json:"id"`
	} `json:"meta"`
}

// Expiry tells when a certificate in Secrets Manager expires, by the names of its secret group and of its own; of several the
// last. The time is zero where it isn't told. It asks for nothing that is secret.
func (a *Account) Expiry(ctx context.Context, in Environment, group string, kind SecretKind, name string) (notAfter time.Time, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.client.CallTimeout)
	defer cancel()
	var groups, secrets []secret
	q := a.askSecrets(in, "listing the secret groups of the environment", "")
	if err = a.get(ctx, q, &groups); err != nil {
		return notAfter, false, err
	}
	i := slices.IndexFunc(groups, func(g secret) bool { return g.Name == group })
	switch {
	case i < 0:
		return notAfter, false, q.Fail(SecretGroupNotFound, "Secrets Manager shows no secret group of that name in this organization and environment: check the name and the ids, and that the credentials may read it")
	case !plainID.MatchString(groups[i].Meta.ID):
		return notAfter, false, q.Invalid("the secret group's id is not one")
	}
	inGroup := "/" + groups[i].Meta.ID + "/" + string(kind)
	if err = a.get(ctx, a.askSecrets(in, "listing what is in the secret group", inGroup), &secrets); err != nil {
		return notAfter, false, err
	}
	for _, s := range secrets {
		if s.Name != name {
			continue
		}
		// A list may leave out what it tells of a single one.
		if s.ExpirationDate.IsZero() && plainID.MatchString(s.Meta.ID) {
			if err = a.get(ctx, a.askSecrets(in, "asking for the certificate's expiry", inGroup+"/"+s.Meta.ID), &s); err != nil {
				return notAfter, false, err
			}
		}
		if found = true; s.ExpirationDate.After(notAfter) {
			notAfter = s.ExpirationDate.Time
		}
	}
	return notAfter, found, nil
}

func (a *Account) askSecrets(in Environment, doing, inGroups string) question {
	q := a.askIn(in, doing, "secrets", "secrets-manager", "secretGroups"+inGroups)
	q.scopes = secretScopes
	return q
}
