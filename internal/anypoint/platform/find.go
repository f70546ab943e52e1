package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
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
	asked        time.Time  // for the last time; guarded by Client.mu
	mu           sync.Mutex // held while it is being listed, so that who asks meanwhile gets that
	listed       time.Time
	organization string
	environments map[string]string // by gateway
	// unlisted says why an environment could not be looked into, nil where all were.
	unlisted error
	// failure is why nothing could be listed.
	failure error
}

// Find tells in which environment of an organization a gateway is; "" stands for the credentials' own organization. It
// lists the organization's environments and their gateways, once in a while for all that ask with these credentials. Business
// groups are organizations of their own.
func (a *Account) Find(ctx context.Context, organization, gatewayID string) (Environment, error) {
	d := a.directory(organization)
	d.mu.Lock()
	defer d.mu.Unlock()
	id, found := d.environments[gatewayID]
	if age := a.client.Clock.Since(d.listed); age >= directoryLifetime || !found && age >= missLifetime {
		d.listed = a.client.Clock.Now()
		d.failure = a.fill(ctx, organization, d)
		id, found = d.environments[gatewayID]
	}
	switch {
	case found:
		return Environment{OrganizationID: d.organization, ID: id}, nil
	case d.failure != nil:
		return Environment{}, d.failure
	case d.unlisted != nil:
		return Environment{}, d.unlisted
	}
	return Environment{}, &Error{Class: GatewayNotFound, Message: fmt.Sprintf("none of the environments of organization %s has the gateway: "+
		"name the business group and the environment that it is in, or register it anew", d.organization)}
}

// directory is the one for an organization that these credentials are for.
func (a *Account) directory(organization string) *directory {
	a.client.mu.Lock()
	defer a.client.mu.Unlock()
	key := a.Key + " " + organization
	now := a.client.Clock.Now()
	for other, d := range a.client.directories {
		if now.Sub(d.asked) >= directoryLifetime {
			delete(a.client.directories, other)
		}
	}
	if a.client.directories[key] == nil {
		a.client.directories[key] = &directory{}
	}
	a.client.directories[key].asked = now
	return a.client.directories[key]
}

// fill lists what is in a directory. An environment that may not be read hides what is in it, and nothing else.
func (a *Account) fill(ctx context.Context, organization string, d *directory) error {
	if organization == "" {
		var err error
		if organization, err = a.Organization(ctx); err != nil {
			return err
		}
	}
	environments, err := a.Environments(ctx, organization)
	if err != nil {
		return err
	}
	found, unlisted := map[string]string{}, error(nil)
	for _, in := range environments {
		gateways, err := a.Gateways(ctx, in)
		failed := &Error{}
		if errors.As(err, &failed) && (failed.Class == anypoint.MissingScope || failed.Class == EnvironmentNotFound) {
			unlisted = cmp.Or(unlisted, err)
			continue
		}
		if err != nil {
			return err
		}
		for _, g := range gateways {
			found[g.ID] = in.ID
		}
	}
	d.organization, d.environments, d.unlisted = organization, found, unlisted
	return nil
}

// Environments lists the environments of an organization.
//
// The call is published in MuleSoft's Access Management API.
func (a *Account) Environments(ctx context.Context, organization string) ([]Environment, error) {
	ctx, cancel := context.WithTimeout(ctx, a.client.CallTimeout)
	defer cancel()
	q := ask("listing the environments of the organization", "environments", "")
	if !plainID.MatchString(organization) {
		return nil, q.Fail(EnvironmentNotFound, "the id of the organization is not one: correct it")
	}
	q.Path = "/accounts/api/organizations/" + url.PathEscape(organization) + "/environments"
	q.environment.OrganizationID = organization
	var answer struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := a.get(ctx, q, &answer); err != nil {
		return nil, err
	}
	if answer.Data == nil || len(answer.Data) > maxEnvironments {
		return nil, q.Invalid(fmt.Sprintf("it lists no environments, or more than %d", maxEnvironments))
	}
	all := make([]Environment, 0, len(answer.Data))
	for _, e := range answer.Data {
		all = append(all, Environment{OrganizationID: organization, ID: e.ID})
	}
	return all, nil
}
