// Package platform asks Anypoint Platform, over its published HTTP API, what it knows of gateways and their replicas.
// It stands apart from package anypoint, which is part of flexctl-runner, so that that program has no HTTP in it.
package platform

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// Options of a client. Hosts are compared as they stand, port included.
type Options = httpclient.Options

// Client asks control planes, with the manners of package httpclient.
type Client struct {
	*httpclient.Client
	hosts []string

	mu          sync.Mutex      // held from looking for a directory to keeping it
	directories *cache.Expiring // by Account.Key and organization
}

// New makes a client. It fails if the CA bundle or the system's certificates can't be read.
func New(options Options) (*Client, error) {
	client, err := httpclient.New(options)
	if err != nil {
		return nil, err
	}
	return &Client{Client: client, hosts: options.Hosts, directories: cache.NewExpiringWithClock(options.Clock)}, nil
}

// Account is a pair of credentials at one control plane.
type Account struct {
	*httpclient.Account
	client      *Client
	credentials anypoint.Credentials
}

// Account checks that a base URL is https://HOST or https://HOST:PORT of an allowed control plane. Hosts must be equal
// as they stand, port included; case does not matter and neither does the default port 443. It sends nothing. The
// error is an *Error.
func (c *Client) Account(baseURL string, credentials anypoint.Credentials) (*Account, error) {
	host := httpclient.Host(baseURL)
	// The URL itself is not shown: it may have a password in it.
	if host == "" {
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the base URL of Anypoint is not https://HOST or https://HOST:PORT: correct it in the registration, or in spec.anypoint.url"}
	}
	if !slices.ContainsFunc(c.hosts, func(allowed string) bool { return httpclient.Canonical(allowed) == host }) {
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the host " + host +
			" is not an allowed control plane: correct it in the registration, or in spec.anypoint.url, or have the operator's administrator allow the host"}
	}
	base := "https://" + host
	a := &Account{client: c, credentials: credentials, Account: &httpclient.Account{
		Client: c.Client, Service: "Anypoint", Base: base, Key: base + " " + c.Digest(credentials.Data()), Scrub: credentials.Scrub,
	}}
	a.Login = a.login
	return a, nil
}
