package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

const (
	// directoryLifetime is for how long a listing of all gateways is used for those that it has. It is only needed for
	// gateways whose environment nobody knows yet.
	directoryLifetime = time.Hour
	// missLifetime is for how long a listing that failed, or lacks a gateway, is not repeated for anybody.
	missLifetime = time.Minute
	// maxEnvironments bounds what is listed.
	maxEnvironments = 100
)

// directory is where the gateways of an organization are.
type directory struct {
	mu       sync.Mutex // held while it is being listed, so that who asks meanwhile gets that
	listed   time.Time
	gateways map[string]Environment // by id
	missing  error                  // why another isn't there
}

// Find tells in which environment of an organization a gateway is; "" stands for the credentials' own organization. It
// lists the organization's environments and their gateways, once in a while for all that ask with these credentials. Business
// groups are organizations of their own.
func (a *Account) Find(ctx context.Context, organization, gatewayID string) (Environment, error) {
	d := a.directory(organization)
	d.mu.Lock()
	defer d.mu.Unlock()
	in, found := d.gateways[gatewayID]
	if age := a.client.Clock.Since(d.listed); age >= directoryLifetime || !found && age >= missLifetime {
		d.listed = a.client.Clock.Now()
		d.missing = a.fill(ctx, organization, d)
		in, found = d.gateways[gatewayID]
	}
	if !found {
		return Environment{}, d.missing
	}
	return in, nil
}

// directory is the one for an organization that these credentials are for. It is kept as long as it is asked for.
func (a *Account) directory(organization string) *directory {
	a.client.mu.Lock()
	defer a.client.mu.Unlock()
	key := a.Key + " " + organization
	d, known := a.client.directories.Get(key)
	if !known {
		d = &directory{}
	}
	a.client.directories.Set(key, d, directoryLifetime)
	return d.(*directory)
}

// fill lists what is in a directory, and tells why another gateway isn't there. An environment that may not be read hides what
// is in it, and nothing else.
func (a *Account) fill(ctx context.Context, organization string, d *directory) (missing error) {
	var err error
	if organization == "" {
		if organization, err = a.Organization(ctx); err != nil {
			return err
		}
	}
	environments, err := a.environments(ctx, organization)
	if err != nil {
		return err
	}
	found := map[string]Environment{}
	for _, in := range environments {
		gateways, err := a.Gateways(ctx, in)
		if failed := (&Error{}); errors.As(err, &failed) && (failed.Class == anypoint.MissingScope || failed.Class == EnvironmentNotFound) {
			missing = cmp.Or(missing, err)
		} else if err != nil {
			return err
		}
		for _, g := range gateways {
			found[g.ID] = in
		}
	}
	d.gateways = found
	return cmp.Or(missing, error(&Error{Class: GatewayNotFound, Message: fmt.Sprintf("none of the environments of organization %s has the gateway: "+
		"name the business group and the environment that it is in, or register it anew", organization)}))
}

// environments lists the environments of an organization.
//
// The call is published in MuleSoft's Access Management API.
func (a *Account) environments(ctx context.Context, organization string) ([]Environment, error) {
	if !plainID.MatchString(organization) {
		return nil, &Error{Class: EnvironmentNotFound, Message: "the id of the organization is not one: correct it"}
	}
	q := a.ask("listing the environments of the organization", "environments", "/accounts/api/organizations/"+organization+"/environments")
	q.environment = true
	var answer struct {
		Data []Environment `json:"data"`
	}
	if err := a.get(ctx, q, &answer); err != nil {
		return nil, err
	}
	if answer.Data == nil || len(answer.Data) > maxEnvironments {
		return nil, q.Invalid(fmt.Sprintf("it lists no environments, or more than %d", maxEnvironments))
	}
	for i := range answer.Data {
		answer.Data[i].OrganizationID = organization
	}
	return answer.Data, nil
}
