package platform

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

const (
	testSecret   = `s3cr3t"<&>ä+/%\ of-an-app`
	testPassword = `pass"<&>ö+/%\ of-a-user`
	testToken    = "t0k3n-t0k3n"
)

// noon is where the simulated clock of the tests stands: far from the real one.
var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

var prod = Environment{OrganizationID: "org-1", ID: "env-1"}

// hasty is a clock on which every wait is over at once, and has taken its time.
type hasty struct {
	*testclock.FakeClock
	mu     sync.Mutex
	waited []time.Duration
}

func (c *hasty) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited = append(c.waited, d)
	c.Step(d)
	return timer
}

func (c *hasty) waits() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration{}, c.waited...)
}

// bench is a client of the simulated platform, with a connected app's account.
type bench struct {
	*WithT
	*simulator.Platform
	clock   *hasty
	client  *Client
	app     string
	secret  string
	account *Account
	in      Environment
	gateway simulator.Gateway
}

func newBench(t *testing.T, scopes ...string) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), clock: newClock()}
	p, err := simulator.Start(simulator.Options{Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { b.Expect(p.Close()).To(Succeed()) })
	b.Platform, b.in = p, Environment{p.OrganizationID(), p.EnvironmentID()}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	b.Expect(p.WriteCA(ca)).To(Succeed())
	bundle, err := os.ReadFile(ca)
	b.Expect(err).NotTo(HaveOccurred())
	b.client, err = New(Options{Hosts: []string{p.Host()}, CA: bundle, UserAgent: "flex-registration-operator/test", Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	b.app, b.secret = p.AddConnectedApp(scopes...)
	b.account = b.of(app(t, b.app, b.secret))
	b.gateway, err = p.Register("ingress", 100*time.Hour)
	b.Expect(err).NotTo(HaveOccurred())
	return b
}

func newClock() *hasty { return &hasty{FakeClock: testclock.NewFakeClock(noon)} }

func (b *bench) of(credentials anypoint.Credentials) *Account {
	a, err := b.client.Account(b.URL(), credentials)
	b.Expect(err).NotTo(HaveOccurred())
	return a
}

// count is how many requests of a call have arrived.
func (b *bench) count(call simulator.Call) (n int) {
	for _, r := range b.Requests() {
		if r.Call == call {
			n++
		}
	}
	return n
}

func app(t testing.TB, id, secret string) anypoint.Credentials {
	return credentials(t, "client-id", id, "client-secret", secret)
}

func user(t testing.TB, name, password string) anypoint.Credentials {
	return credentials(t, "username", name, "password", password)
}

func credentials(t testing.TB, idKey, id, secretKey, secret string) anypoint.Credentials {
	t.Helper()
	c, err := anypoint.ParseCredentials(map[string][]byte{idKey: []byte(id), secretKey: []byte(secret)})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

// hostile is a server that gives everybody a token and then answers as the test wants.
type hostile struct {
	*WithT
	*httptest.Server
	clock   *hasty
	client  *Client
	account *Account

	mu       sync.Mutex
	logins   int
	requests []*http.Request // but those for tokens
}

func newHostile(t testing.TB, answer http.HandlerFunc) *hostile {
	t.Helper()
	h := &hostile{WithT: NewWithT(t), clock: newClock()}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		login := r.URL.Path == "/accounts/api/v2/oauth2/token"
		if login {
			h.logins++
		} else {
			h.requests = append(h.requests, r)
		}
		h.mu.Unlock()
		if login {
			_, _ = w.Write([]byte(`{"access_token":"` + testToken + `"}`))
			return
		}
		answer(w, r)
	}))
	h.start(t)
	return h
}

// newRaw is a server that answers requests for tokens as the test wants, too.
func newRaw(t testing.TB, answer http.HandlerFunc) *hostile {
	t.Helper()
	h := &hostile{WithT: NewWithT(t), clock: newClock(), Server: httptest.NewUnstartedServer(answer)}
	h.start(t)
	return h
}

func (h *hostile) start(t testing.TB) {
	h.Config.ErrorLog = quiet
	h.StartTLS()
	t.Cleanup(h.Close)
	var err error
	h.client, err = New(Options{Hosts: []string{h.host()}, CA: h.ca(), UserAgent: "test", Clock: h.clock})
	h.Expect(err).NotTo(HaveOccurred())
	h.account = h.of(app(t, "an-app", testSecret))
}

func (h *hostile) host() string { return strings.TrimPrefix(h.URL, "https://") }

func (h *hostile) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
}

func (h *hostile) of(credentials anypoint.Credentials) *Account {
	a, err := h.client.Account(h.URL, credentials)
	h.Expect(err).NotTo(HaveOccurred())
	return a
}

// seen gives the requests that have arrived, and how many were for a token.
func (h *hostile) seen() (requests []*http.Request, logins int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*http.Request{}, h.requests...), h.logins
}

// failed gives an error of the package.
func failed(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	NewWithT(t).Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
	return e
}

func answering(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}
