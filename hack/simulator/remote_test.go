package simulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestRemote(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	// As through the API server, which puts a prefix before the paths and
	// verifies who calls, here with a transport of the client's own.
	const prefix = "/api/v1/namespaces/anypoint/pods/anypoint:8080/proxy"
	proxy := httptest.NewTLSServer(http.StripPrefix(prefix, b.Admin()))
	t.Cleanup(proxy.Close)
	remote := simulator.Remote{URL: proxy.URL + prefix, Client: proxy.Client()}

	g, err := remote.Register(ctx, "ingress", -time.Hour)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(g.NotAfter).To(Equal(noon.Add(-time.Hour)))
	pair, err := b.pair(g.File)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(pair.Leaf.Subject.CommonName).To(Equal(g.AgentID))

	id, secret, err := remote.AddConnectedApp(ctx, simulator.ScopeReadServers)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(b.renewStatus(g.File, id, secret)).To(Equal(1), "a scope is missing")
	id, secret, err = remote.AddConnectedApp(ctx)
	b.Expect(err).NotTo(HaveOccurred())

	b.Expect(remote.Inject(ctx, simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Status500, Times: -1})).To(Succeed())
	b.Expect(b.renewStatus(g.File, id, secret)).To(Equal(1))
	b.Expect(remote.ClearFaults(ctx)).To(Succeed())
	b.Expect(b.renewStatus(g.File, id, secret)).To(Equal(0))
	b.Expect(remote.Inject(ctx, simulator.Fault{Hook: func() {}})).To(MatchError(ContainSubstring("leave it out")))

	b.SetReplicas(g.AgentID, simulator.Replica{Name: "pod.gateway"})
	b.Expect(remote.Replicas(ctx, g.AgentID)).To(And(HaveLen(1), Equal(b.Replicas(g.AgentID))))
	b.Expect(remote.Renewals(ctx, g.AgentID)).To(And(HaveLen(1), Equal(b.Renewals(g.AgentID))))
	b.Expect(remote.Replicas(ctx, "nobody/else")).To(BeEmpty())
	b.Expect(remote.CA(ctx)).To(HavePrefix("-----BEGIN CERTIFICATE-----\n"))

	remote.URL = proxy.URL
	_, err = remote.CA(ctx)
	b.Expect(err).To(MatchError(ContainSubstring("GET /simulator/ca of the simulated platform: 404 Not Found")))
}

func TestAdminRefusesWhatItDoesNotUnderstand(t *testing.T) {
	b := newBench(t)
	admin := httptest.NewServer(b.Admin())
	t.Cleanup(admin.Close)
	for path, body := range map[string]string{
		"/simulator/gateways":       `{"name": "ingress", "remaining": "soon"}`,
		"/simulator/connected-apps": `{"scope": "Read Servers"}`,
		"/simulator/faults":         ``,
	} {
		response := b.send(admin.URL+path, body)
		b.Expect(response.StatusCode).To(Equal(400), path)
		b.Expect(response.text).To(HavePrefix("POST " + path + ": "))
	}
	b.Expect(b.get("/simulator/ca").StatusCode).To(Equal(404), "the platform's own port has none of it")
}

// renewStatus gives flexctl's exit status for a renewal by a connected app.
func (b *bench) renewStatus(file []byte, id, secret string) int {
	r, _ := b.renew(file, "--client-id="+id, "--client-secret="+secret)
	return r.status
}

// send posts a body as it is.
func (b *bench) send(url, body string) *response {
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	b.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	b.Expect(err).NotTo(HaveOccurred())
	return &response{Response: answer, text: string(data)}
}
