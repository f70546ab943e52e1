// Package platform asks Anypoint Platform, over its published HTTP API, what it knows of gateways and their replicas.
// It stands apart from package anypoint, which is part of flexctl-runner, so that that program has no HTTP in it.
package platform

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
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
}

// Client asks control planes. All that use one share its tokens, what it knows of refused credentials, and the rate
// limits that it was told. It is safe for concurrent use. Proxies are those of the environment; no redirect is followed.
type Client struct {
	hosts     []string
	userAgent string
	clock     clock.Clock
	http      *http.Client
	// digest makes of credentials what nobody else can make or guess: its key is this process's.
	digest func(anypoint.Credentials) string
	logins singleflight.Group

	// requestTimeout is for one request with its answer; callTimeout for one call with its pages, waits and repeats;
	// patience for all that one request waits because of a rate limit or between repeats.
	requestTimeout, callTimeout, patience time.Duration

	mu          sync.Mutex            // guards what follows
	standings   map[string]*standing  // by Account.key
	holds       map[string]time.Time  // by base URL and endpoint: until when nothing is asked
	directories map[string]*directory // by Account.key and organization
}

// New makes a client. It fails if the CA bundle or the system's certificates can't be read.
func New(options Options) (*Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's CA certificates: %w", err)
	}
	if len(options.CA) > 0 && !roots.AppendCertsFromPEM(options.CA) {
		return nil, errors.New("the CA bundle for Anypoint holds no certificate in PEM")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // has the environment's proxies
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = 64 << 10
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	c := &Client{
		userAgent: options.UserAgent,
		clock:     options.Clock,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		digest: func(credentials anypoint.Credentials) string {
			mac := hmac.New(sha256.New, key)
			_ = json.NewEncoder(mac).Encode(credentials.Data()) // never fails, and sorts the keys
			return hex.EncodeToString(mac.Sum(nil))
		},
		requestTimeout: 15 * time.Second,
		callTimeout:    time.Minute,
		patience:       10 * time.Second,
		standings:      map[string]*standing{},
		holds:          map[string]time.Time{},
		directories:    map[string]*directory{},
	}
	for _, host := range options.Hosts {
		c.hosts = append(c.hosts, canonical(host))
	}
	return c, nil
}

// Account is a pair of credentials at one control plane.
type Account struct {
	client      *Client
	base        string // https://host or https://host:port
	credentials anypoint.Credentials
	key         string // tells accounts apart: the base URL and a digest of the credentials
}

var plainHost = regexp.MustCompile(`^[-.a-zA-Z0-9:\[\]]{1,260}$`)

// Account checks that a base URL is https://HOST or https://HOST:PORT of an allowed control plane. Hosts must be equal
// as they stand, port included; case does not matter and neither does the default port 443. It sends nothing. The
// error is an *Error.
func (c *Client) Account(baseURL string, credentials anypoint.Credentials) (*Account, error) {
	u, err := url.Parse(baseURL)
	// The URL itself is not shown: it may have a password in it.
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || !plainHost.MatchString(u.Host) || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the base URL of Anypoint is not https://HOST or https://HOST:PORT: correct the registration"}
	}
	host := canonical(u.Host)
	if !slices.Contains(c.hosts, host) {
		return nil, &Error{Class: anypoint.HostNotAllowed, Message: "the host " + u.Host +
			" is not an allowed control plane: correct the registration, or have the operator's administrator allow the host"}
	}
	base := "https://" + host
	return &Account{client: c, base: base, credentials: credentials, key: base + " " + c.digest(credentials)}, nil
}

// canonical folds case. Hosts that aren't ASCII never come here but from the list of allowed ones.
func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }
