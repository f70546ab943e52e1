package platform

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

var quiet = log.New(io.Discard, "", 0)

func TestAccountChecksTheBaseURL(t *testing.T) {
	h := newHostile(t, answering(200, "{}"))
	h.client.hosts = nil
	for _, allowed := range []string{"anypoint.mulesoft.com", "EU1.anypoint.mulesoft.com:443", "localhost:8443", "[::1]:8443"} {
		h.client.hosts = append(h.client.hosts, httpclient.Canonical(allowed))
	}
	for base, want := range map[string]string{
		"https://anypoint.mulesoft.com":            "https://anypoint.mulesoft.com",
		"https://anypoint.mulesoft.com/":           "https://anypoint.mulesoft.com",
		"HTTPS://Anypoint.MuleSoft.com:443":        "https://anypoint.mulesoft.com",
		"https://eu1.anypoint.mulesoft.com":        "https://eu1.anypoint.mulesoft.com",
		"https://localhost:8443":                   "https://localhost:8443",
		"https://[::1]:8443":                       "https://[::1]:8443",
		"":                                         "",
		"anypoint.mulesoft.com":                    "",
		"http://anypoint.mulesoft.com":             "",
		"wss://anypoint.mulesoft.com":              "",
		"https:anypoint.mulesoft.com":              "",
		"https://":                                 "",
		"https://anypoint.mulesoft.com:8443":       "",
		"https://anypoint.mulesoft.com.":           "",
		"https://xanypoint.mulesoft.com":           "",
		"https://anypoint.mulesoft.com.example":    "",
		"https://gov.anypoint.mulesoft.com":        "",
		"https://localhost":                        "",
		"https://u:hunter2@anypoint.mulesoft.com":  "",
		"https://anypoint.mulesoft.com@evil":       "",
		"https://evil\\@anypoint.mulesoft.com":     "",
		"https://anypoint.mulesoft.com/accounts":   "",
		"https://anypoint.mulesoft.com?x=hunter2":  "",
		"https://anypoint.mulesoft.com?":           "",
		"https://anypoint.mulesoft.com#hunter2":    "",
		"https://\u212aypoint.mulesoft.com":        "", // folds to an ASCII letter
		"https://anypoint.mulesoft.com%20hunter2":  "",
		"https://anypoint.mulesoft.com\nhunter2":   "",
		"https://anypoint.mulesoft.com:443:443":    "",
		"https://" + strings.Repeat("hunter2", 99): "",
	} {
		a, err := h.client.Account(base, app(t, "id", testSecret))
		if want != "" {
			h.Expect(err).NotTo(HaveOccurred(), base)
			h.Expect(a.Base).To(Equal(want), base)
			continue
		}
		h.Expect(failed(t, err).Class).To(Equal(anypoint.HostNotAllowed), base)
		h.Expect(err.Error()).NotTo(ContainSubstring("hunter2"), base)
	}
	requests, logins := h.seen()
	h.Expect(len(requests)+logins).To(BeZero(), "nothing is sent")
}

func TestNewRefusesABundleWithoutCertificates(t *testing.T) {
	_, err := New(Options{CA: []byte("no PEM")})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("holds no certificate")))
}

func TestServersOfAnUnknownCAAreNotAsked(t *testing.T) {
	b := newBench(t)
	client, err := New(Options{Hosts: []string{b.Host()}, Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	b.client = client
	_, err = b.of(app(t, b.app, b.secret)).Organization(t.Context())
	e := failed(t, err)
	b.Expect(e.Class).To(Equal(anypoint.PlatformUnavailable))
	b.Expect(e.Said).To(ContainSubstring("unknown authority"))
	b.Expect(b.Requests()).To(BeEmpty())
}

func TestRequestsCarryHeaders(t *testing.T) {
	h := newHostile(t, answering(200, `{"content":[]}`))
	_, err := h.account.Replicas(t.Context(), prod, "gw-1")
	h.Expect(err).NotTo(HaveOccurred())
	requests, logins := h.seen()
	h.Expect(logins).To(Equal(1))
	h.Expect(requests).To(HaveLen(1))
	r := requests[0]
	h.Expect(r.URL.String()).To(Equal("/standalone/api/v1/organizations/org-1/environments/env-1/gateways/gw-1/replicas?pageNumber=0&pageSize=100&status=CONNECTED"))
	for name, value := range map[string]string{"X-ANYPNT-ORG-ID": "org-1", "X-ANYPNT-ENV-ID": "env-1",
		"Authorization": "Bearer " + testToken, "User-Agent": "test"} {
		h.Expect(r.Header.Get(name)).To(Equal(value), name)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var lured atomic.Int32
	elsewhere := newRaw(t, func(http.ResponseWriter, *http.Request) { lured.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308, 304} {
		h := newRaw(t, answering(status, "", "Location", elsewhere.URL+"/?"+testToken))
		_, err := h.account.Organization(t.Context())
		e := failed(t, err)
		h.Expect(e.Class).To(Equal(httpclient.AnswerInvalid), "%d", status)
		h.Expect(e.Said).To(ContainSubstring("redirects are not followed"))
		h.Expect(e.Status).To(Equal(status))
	}
	NewWithT(t).Expect(lured.Load()).To(BeZero())
}

// The environment's proxies are read once in a process, so that this runs itself with a proxy in its environment.
func TestProxyOfTheEnvironment(t *testing.T) {
	g := NewWithT(t)
	if base := os.Getenv("TEST_PROXIED"); base != "" {
		ca, err := os.ReadFile(os.Getenv("TEST_CA"))
		g.Expect(err).NotTo(HaveOccurred())
		client, err := New(Options{Hosts: []string{strings.TrimPrefix(base, "https://")}, CA: ca, Clock: newClock()})
		g.Expect(err).NotTo(HaveOccurred())
		account, err := client.Account(base, app(t, os.Getenv("TEST_APP"), os.Getenv("TEST_SECRET")))
		g.Expect(err).NotTo(HaveOccurred())
		_, err = account.Organization(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		return
	}
	p, err := simulator.Start(simulator.Options{Hosts: []string{"anypoint.test"}})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(p.Close()).To(Succeed()) }()
	ca := t.TempDir() + "/ca.pem"
	g.Expect(p.WriteCA(ca)).To(Succeed())
	id, secret := p.AddConnectedApp()
	proxy, asked := connectProxy(t, "127.0.0.1:"+p.Host()[strings.LastIndexByte(p.Host(), ':')+1:])
	command := exec.Command(os.Args[0], "-test.run=^TestProxyOfTheEnvironment$")
	command.Env = append(os.Environ(), "HTTPS_PROXY=http://"+proxy, "NO_PROXY=", "no_proxy=",
		"TEST_PROXIED="+p.URL(), "TEST_CA="+ca, "TEST_APP="+id, "TEST_SECRET="+secret)
	output, err := command.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", output)
	g.Expect(asked.Load()).To(Equal("CONNECT " + p.Host() + " HTTP/1.1"))
}

// connectProxy takes the connections that it is asked for to one address, whatever was asked for.
func connectProxy(t *testing.T, to string) (address string, asked *atomic.Value) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = listener.Close() })
	asked = &atomic.Value{}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = client.Close() }()
				_ = client.SetDeadline(time.Now().Add(30 * time.Second))
				reader := bufio.NewReader(client)
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				asked.Store(request.Method + " " + request.Host + " " + request.Proto)
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = server.Close() }()
				_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
				go func() { _, _ = io.Copy(server, reader) }()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	return listener.Addr().String(), asked
}

func TestRequestsAreObserved(t *testing.T) {
	b := newBench(t)
	var observed []string
	options := Options{Hosts: []string{b.Host()}, Clock: b.clock, Observe: func(call string, status int) { observed = append(observed, fmt.Sprint(call, " ", status)) }}
	ask := func() {
		client, err := New(options)
		b.Expect(err).NotTo(HaveOccurred())
		b.client = client
		_, _ = b.of(app(t, b.app, b.secret)).Organization(t.Context())
	}
	ask()
	b.Expect(observed).To(HaveEach("token 0"), "nobody has answered who can be trusted")
	b.Expect(observed).To(HaveLen(3), "each repeat is a request")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	b.Expect(b.WriteCA(ca)).To(Succeed())
	var err error
	options.CA, err = os.ReadFile(ca)
	b.Expect(err).NotTo(HaveOccurred())
	observed = nil
	ask()
	b.Expect(observed).To(Equal([]string{"token 200", "me 200"}))
}
