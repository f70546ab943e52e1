package simulator

import (
	"cmp"
	"crypto/x509"
	"net/http"
	"slices"
	"time"
)

// agentPath is where gateways connect, as it stands in registrations. What is
// spoken there is unpublished; here a replica asks by GET, tells its name and
// version in the query, and is connected from when it reads agentWelcome to
// the end of the answer.
const (
	agentPath    = "/agent"
	agentWelcome = "connected\n"
)

// connection is what a replica has while it is connected.
type connection struct {
	gateway *gateway
	replica string        // its ID
	ended   chan struct{} // closed when the platform doesn't want it any more
}

// agent admits a replica with a certificate of the platform's own CA for a
// gateway that it knows. After a renewal that is the old certificate too, as
// long as it is valid: whether the real platform revokes it is unknown.
func (p *Platform) agent(x *exchange) answer {
	if x.TLS == nil || len(x.TLS.VerifiedChains) == 0 {
		return problem(http.StatusUnauthorized, "a client certificate is required")
	}
	certificate := x.TLS.VerifiedChains[0][0]
	p.mu.Lock()
	defer p.mu.Unlock()
	x.record.AgentID = certificate.Subject.CommonName
	g := p.find(certificate.Subject.CommonName)
	if g == nil || g.deleted {
		return problem(http.StatusForbidden, "Gateway not found by id")
	}
	a := text(http.StatusOK, "")
	a.stream = func(w http.ResponseWriter) { p.hold(x, w, g, certificate) }
	return a
}

// hold keeps a replica connected until it leaves, its certificate expires by
// the platform's clock, or the platform doesn't want it any more; then it
// closes the connection. Whether the real platform ends a connection whose
// certificate expires, or only refuses the next one, is unknown.
func (p *Platform) hold(x *exchange, w http.ResponseWriter, g *gateway, certificate *x509.Certificate) {
	// A certificate is still valid at the moment of NotAfter. The timer comes
	// before the replica is listed: who sees it listed may move the clock.
	expired := p.clock.NewTimer(certificate.NotAfter.Sub(p.clock.Now()) + time.Nanosecond)
	defer expired.Stop()
	query := x.URL.Query()
	if c := p.connect(g, query.Get("name"), query.Get("version"), certificate); c != nil {
		defer p.disconnect(c)
		_, _ = w.Write([]byte(agentWelcome))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-expired.C():
		case <-c.ended:
		case <-x.Context().Done():
		}
	}
	panic(http.ErrAbortHandler) // which closes the connection
}

// connect lists a replica as connected, with the certificate that it has
// presented, or gives nil if it has no right to be. How the real platform
// recognises a replica that comes back is unknown; here it does by the name,
// and the connection that it had before, if it still has one, ends.
func (p *Platform) connect(g *gateway, name, version string, certificate *x509.Certificate) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.deleted || p.clock.Now().After(certificate.NotAfter) {
		return nil
	}
	r := Replica{Name: cmp.Or(name, "unnamed.default"), GatewayVersion: version, CertificateExpirationDate: certificate.NotAfter}
	g.replicas = slices.DeleteFunc(p.listed(g), func(old Replica) bool {
		if old.Name == r.Name {
			r.ID, r.NodeID = old.ID, old.NodeID
		}
		return old.Name == r.Name
	})
	r = p.complete(g, r)
	g.replicas, g.updated = append(g.replicas, r), p.now()
	if old := g.connections[r.ID]; old != nil {
		close(old.ended)
	}
	c := &connection{gateway: g, replica: r.ID, ended: make(chan struct{})}
	g.connections[r.ID] = c
	return c
}

// disconnect lists a replica as disconnected, unless it has another connection
// meanwhile.
func (p *Platform) disconnect(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := c.gateway
	if g.connections[c.replica] != c {
		return
	}
	delete(g.connections, c.replica)
	for i := range g.replicas {
		if r := &g.replicas[i]; r.ID == c.replica {
			r.Status, r.DisconnectedAt = Disconnected, p.now()
		}
	}
	g.updated = p.now()
}
