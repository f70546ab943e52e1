package simulator

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/google/uuid"
)

// The states of gateways and replicas.
const (
	Connected    = "CONNECTED"
	Disconnected = "DISCONNECTED"
	Deleted      = "DELETED"
)

// Gateway is a registered gateway and what its registration left.
type Gateway struct {
	AgentID, Name       string
	File                []byte // registration.yaml
	Serial, Fingerprint string // of its certificate: hexadecimal, and SHA-256 of the DER as hexadecimal
	NotBefore, NotAfter time.Time
}

// gateway is the platform's side of a Gateway.
type gateway struct {
	agentID, name, meteringSchemaID string
	deleted                         bool
	updated                         time.Time
	newest                          *x509.Certificate
	replicas                        []Replica
	connections                     map[string]*connection // of the replicas that have one, by ID
}

// Register makes a gateway as `flexctl registration create` would have done
// validity-remaining ago, so that its certificate expires in remaining.
// Negative: it has expired already.
func (p *Platform) Register(name string, remaining time.Duration) (Gateway, error) {
	key, csr, err := newRequest(name)
	if err != nil {
		return Gateway{}, err
	}
	public, err := parseRequest(string(csr))
	if err != nil {
		return Gateway{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	notAfter := p.now().Add(remaining)
	g, err := p.addGateway(name, public, notAfter.Add(-p.validity), notAfter)
	if err != nil {
		return Gateway{}, err
	}
	c := g.newest
	return Gateway{
		AgentID: g.agentID, Name: g.name,
		File:   newFile(p.registered(g), string(key)),
		Serial: serial(c), Fingerprint: fingerprint(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}, nil
}

// addGateway registers a gateway. p.mu is held.
func (p *Platform) addGateway(name string, public any, notBefore, notAfter time.Time) (*gateway, error) {
	g := &gateway{agentID: uuid.NewString(), name: name, meteringSchemaID: uuid.NewString(), updated: p.now(),
		connections: map[string]*connection{}}
	var err error
	if g.newest, err = p.authority.issue(g.agentID, public, notBefore, notAfter); err != nil {
		return nil, err
	}
	p.gateways = append(p.gateways, g)
	return g, nil
}

// now is the time to the second, as certificates have no finer one.
func (p *Platform) now() time.Time { return p.clock.Now().UTC().Truncate(time.Second) }

// find gives a gateway, or nil. p.mu is held.
func (p *Platform) find(agentID string) *gateway {
	i := slices.IndexFunc(p.gateways, func(g *gateway) bool { return g.agentID == agentID })
	if i < 0 {
		return nil
	}
	return p.gateways[i]
}

// DeleteGateway deletes a gateway on the platform, which keeps a tombstone.
// What becomes of its connections on the real platform is unknown; here they end.
func (p *Platform) DeleteGateway(agentID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.find(agentID); g != nil {
		g.deleted, g.replicas, g.updated = true, nil, p.now()
		for _, c := range g.connections {
			close(c.ended)
		}
		clear(g.connections)
	}
}
