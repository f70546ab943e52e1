// Package platform asks Anypoint Platform, over its published HTTP API, what it knows of gateways and their replicas.
// It stands apart from package anypoint, which is part of flexctl-runner, so that that program has no HTTP in it.
package platform

import (
	"slices"
	"sync"

	"k8s.io/utils/clock"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// Options of a client.
type Options struct {
	// Hosts are the control planes that credentials may be sent to, as host or host:port.
	Hosts []string
	// CA are certificates, in PEM, to trust beside the system's. None by default.
	CA []byte
	// UserAgent is what requests carry as such.
	UserAgent string
	// Clock is what lifetimes and waits are reckoned from. The deadlines of requests are the machine's.
	Clock clock.Clock
	// Observe, where it is set, is told of each request that was sent: the call, which is one of a few words, and the HTTP
	// status of the answer, or 0 where there was none.
	Observe func(call string, status int)
}

// Client asks control planes, with the manners of package httpclient.
type Client struct {
	*httpclient.Client
	hosts []string

	mu          sync.Mutex            // guards what follows
	directories map[string]*directory // by Account.Key and organization
}

// New makes a client. It fails if the CA bundle or the system's certificates can't be read.
func New(options Options) (*Client, error) {
	client, err := httpclient.New(httpclient.Options{CA: options.CA, UserAgent: options.UserAgent, Clock: options.Clock, Observe: options.Observe})
	if err != nil {
		return nil, err
	}
	c := &Client{Client: client, directories: map[string]*directory{}}
	for _, host := range options.Hosts {
		c.hosts = append(c.hosts, httpclient.Canonical(host))
	}
	return c, nil
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
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the base URL of Anypoint is not https://HOST or https://HOST:PORT: correct the registration"}
	}
	if !slices.Contains(c.hosts, host) {
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the host " + host +
			" is not an allowed control plane: correct the registration, or have the operator's administrator allow the host"}
	}
	base := "https://" + host
	a := &Account{client: c, credentials: credentials, Account: &httpclient.Account{
		Client: c.Client, Service: service, Base: base, Key: base + " " + c.Digest(credentials.Data()), Scrub: credentials.Scrub,
	}}
	a.Login = a.login
	return a, nil
}
