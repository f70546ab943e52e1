package httpclient

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	testclock "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// What each service adds is tested with it, and so is most of what is here: see packages platform and salesforce.

const token = "t0k3n-t0k3n"

type bench struct {
	*WithT
	clock   *testclock.FakeClock
	account *Account
	logins  int
}

func newBench(t *testing.T, answer http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), clock: testclock.NewFakeClock(time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC))}
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	client, err := New(Options{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), UserAgent: "test", Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	b.account = &Account{Client: client, Service: "Somebody", Base: server.URL, Key: "a", Scrub: anypoint.Credentials{}.Scrub}
	b.account.Login = func(context.Context) (string, time.Duration, *Error) {
		b.logins++
		return token, time.Hour, nil
	}
	return b
}

func (b *bench) ask(once bool) error {
	return b.account.Ask(context.Background(), func(string) Request {
		r := b.account.Request("asking", "it", "/it")
		r.Once, r.Body = once, []byte("x")
		r.Refused, r.Decode = func(int, http.Header, []byte) *Error { return nil }, func([]byte) *Error { return nil }
		return r
	})
}

func TestSessionsAreKeptAsLongAsTheyLastAndNotShown(t *testing.T) {
	b := newBench(t, func(http.ResponseWriter, *http.Request) {})
	b.Expect(b.ask(false)).To(Succeed())
	b.Expect(b.ask(false)).To(Succeed())
	b.Expect(b.logins).To(Equal(1))
	s, err := b.account.fetch(t.Context())
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(s).To(BeIdenticalTo(b.account.Client.known("a")), "who comes when another has fetched it gets that")
	b.Expect(fmt.Sprintf("%+v %#v", s, s)).NotTo(ContainSubstring(token))
	b.clock.Step(time.Hour)
	b.account.Key = "b"
	b.Expect(b.ask(false)).To(Succeed())
	b.Expect(b.account.Client.sessions.Len()).To(Equal(1), "what has ended is not kept")
}

// A request that may have taken effect is sent once, whatever the answer, but where the token was refused before.
func TestOnce(t *testing.T) {
	var sent int
	status := 503
	b := newBench(t, func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(status)
	})
	b.Expect(b.ask(true)).To(MatchError(ContainSubstring("Somebody is not available")))
	b.Expect(sent).To(Equal(1))
	status = 200
	b.Expect(b.ask(true)).To(Succeed())
	status = 401
	b.Expect(b.ask(true)).NotTo(Succeed())
	b.Expect([]int{sent, b.logins}).To(Equal([]int{4, 2}), "with another token")
}

func TestHost(t *testing.T) {
	g := NewWithT(t)
	for url, host := range map[string]string{
		"https://Example.my.salesforce.com": "example.my.salesforce.com", "https://example.com:443/": "example.com", "https://127.0.0.1:8443": "127.0.0.1:8443",
		"http://example.com": "", "https://user@example.com": "", "https://example.com/x": "", "https://example.com?x": "", "https://example.com#x": "",
		"https://": "", "https://exämple.com": "", "https://example.com\\@x": "", "": "", "example.com": "",
	} {
		g.Expect(Host(url)).To(Equal(host), url)
	}
}
