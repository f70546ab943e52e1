// Package simulator stands for Anypoint Platform, for flexctl, its
// closed-source client, and for the main process of a Flex Gateway, in tests
// and in the demo.
//
// It answers the platform's published calls as the platform does, and keeps
// what is unpublished (how a registration is made and renewed) below
// /simulator/, a path of its own that only the simulated flexctl knows. What
// gateways and the platform say to each other is unpublished too: at the
// address in a registration they speak a protocol of the simulator's own.
// Where the real answer is unknown the code says so beside its choice.
package simulator

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
)

// Options for Start; the zero value is good.
type Options struct {
	// Clock is what all validity and every rate limit is reckoned from.
	// Default: the real one.
	Clock clock.Clock
	// Validity of issued gateway certificates. Default: 450 days.
	Validity time.Duration
	// Address to listen on. Default: 127.0.0.1:0, a free port.
	Address string
	// Hosts are names and IP addresses that clients reach the platform by, as
	// a pod's or a Service's. The server's certificate is valid for all of
	// them, and the first stands in registrations. Default: that of Address.
	Hosts []string
}

// Platform is a running simulated Anypoint Platform with one organization and
// one environment that has gateways. It is safe for concurrent use.
type Platform struct {
	clock                     clock.Clock
	authority                 *authority
	host                      string
	organization, environment string
	sandbox                   string // an environment without gateways

	server *http.Server
	served chan struct{} // closed when the server has stopped accepting

	mu       sync.Mutex // guards what follows
	validity time.Duration
	accounts map[string]*account // by client ID or username
	tokens   map[string]*account
	gateways []*gateway // in the order of their registration
	renewals []Renewal
	requests []*Request
	faults   []*Fault
	limit    int
	windows  map[Call]*window

	secretGroups map[string]*secretGroup // by name
}

// Start starts a platform. Close ends it.
func Start(options Options) (*Platform, error) {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Validity == 0 {
		options.Validity = 450 * 24 * time.Hour
	}
	if options.Address == "" {
		options.Address = "127.0.0.1:0"
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", options.Address)
	if err != nil {
		return nil, err
	}
	host := reachable(options.Address, listener.Addr())
	if len(options.Hosts) > 0 {
		_, port, _ := net.SplitHostPort(host)
		host = net.JoinHostPort(options.Hosts[0], port)
	}
	certificate, err := ca.serverCertificate(host, options.Hosts...)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	p := &Platform{
		clock:        options.Clock,
		authority:    ca,
		host:         host,
		organization: uuid.NewString(),
		environment:  uuid.NewString(),
		sandbox:      uuid.NewString(),
		served:       make(chan struct{}),
		validity:     options.Validity,
		accounts:     map[string]*account{},
		tokens:       map[string]*account{},
		limit:        unlimited,
		windows:      map[Call]*window{},
		secretGroups: map[string]*secretGroup{},
	}
	p.server = &http.Server{
		Handler: p.routes(),
		// Clients that go away in the middle of a handshake are what tests do.
		ErrorLog: log.New(io.Discard, "", 0),
		// flexctl prints answers as they came: they begin with HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
			// Gateways show a certificate, which has to be valid by the
			// platform's clock. Other clients have none.
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: ca.pool(), Time: p.clock.Now,
		}))
	}()
	return p, nil
}

// reachable gives the host and port for clients of a listener at bound, which
// was asked to listen on address.
func reachable(address string, bound net.Addr) string {
	_, port, _ := net.SplitHostPort(bound.String())
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Close stops the platform. It closes every connection, which ends the calls
// under way, hanging ones too.
func (p *Platform) Close() error {
	err := p.server.Close()
	<-p.served
	return err
}

// URL is the platform's base URL, as it stands in registrations.
func (p *Platform) URL() string { return "https://" + p.host }

// Host is the host and port of URL.
func (p *Platform) Host() string { return p.host }

// OrganizationID is the one organization's.
func (p *Platform) OrganizationID() string { return p.organization }

// EnvironmentID is the one environment's.
func (p *Platform) EnvironmentID() string { return p.environment }

// WriteCA writes the CA that the server's certificate is under, for SSL_CERT_FILE.
func (p *Platform) WriteCA(path string) error {
	return os.WriteFile(path, p.authority.pem, 0o644)
}

// Client gives an HTTP client that trusts the platform, for calls from a
// process that does not run with SSL_CERT_FILE.
func (p *Platform) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.authority.pool()}}}
}

// SetValidity sets how long certificates issued from now on are valid.
func (p *Platform) SetValidity(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.validity = d
}
