// Package httpclient has the manners in which the operator asks services over HTTPS: deadlines, bounded answers, no redirects,
// repeats where they are safe, rate limits that are heeded, tokens that are shared, and errors without anything secret.
package httpclient

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
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

// Options of a client.
type Options struct {
	// Hosts are those that credentials may be sent to, as host or host:port. It is the service's package that checks them.
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

// Client asks services. All that use one share its tokens, what it knows of refused credentials, and the rate limits that it
// was told. It is safe for concurrent use. Proxies are those of the environment; no redirect is followed.
type Client struct {
	// Clock is that of the options.
	Clock clock.Clock
	// RequestTimeout is for one request with its answer; CallTimeout for one call with its pages, waits and repeats; Patience
	// for all that one request waits because of a rate limit or between repeats.
	RequestTimeout, CallTimeout, Patience time.Duration

	userAgent string
	observe   func(call string, status int)
	http      *http.Client
	key       func() []byte // of digests: this process's
	logins    singleflight.Group

	sessions *cache.Expiring // by Account.Key

	mu    sync.Mutex           // guards what follows
	holds map[string]time.Time // by base URL and endpoint: until when nothing is asked
}

// New makes a client. It fails if the CA bundle or the system's certificates can't be read.
func New(options Options) (*Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's CA certificates: %w", err)
	}
	if len(options.CA) > 0 && !roots.AppendCertsFromPEM(options.CA) {
		return nil, errors.New("the CA bundle holds no certificate in PEM")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // has the environment's proxies
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = 64 << 10
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &Client{
		Clock:          options.Clock,
		RequestTimeout: 15 * time.Second,
		CallTimeout:    time.Minute,
		Patience:       10 * time.Second,
		userAgent:      options.UserAgent,
		observe:        options.Observe,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		key:      func() []byte { return key },
		sessions: cache.NewExpiringWithClock(options.Clock),
		holds:    map[string]time.Time{},
	}, nil
}

// Digest makes of credentials what nobody else can make or guess.
func (c *Client) Digest(credentials map[string][]byte) string {
	mac := hmac.New(sha256.New, c.key())
	_ = json.NewEncoder(mac).Encode(credentials) // never fails, and sorts the keys
	return hex.EncodeToString(mac.Sum(nil))
}

var plainHost = regexp.MustCompile(`^[-.a-zA-Z0-9:\[\]]{1,260}$`)

// Host gives the host, or host:port, of https://HOST or https://HOST:PORT in its canonical form. It is "" for anything else:
// another scheme, user info, a path, a query.
func Host(baseURL string) string {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || !plainHost.MatchString(u.Host) || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return ""
	}
	return Canonical(u.Host)
}

// Canonical folds case, and leaves out the default port. Hosts that aren't ASCII are never those of a URL that Host takes.
func Canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }
