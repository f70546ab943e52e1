package simulator

import (
	"crypto/x509"
	"slices"
	"strconv"
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

// Replica is what the platform knows of one replica of a gateway. Where a
// field is empty SetReplicas fills in what a healthy replica has.
type Replica struct {
	ID, Name, NodeID          string
	GatewayVersion            string
	Status                    string
	ConnectedAt               time.Time
	DisconnectedAt            time.Time // left out of a connected one
	ConfigurationStatus       string
	ConfigurationMessage      string
	CertificateExpirationDate time.Time
	NoCertificateDate         bool // leaves CertificateExpirationDate null
}

// gateway is the platform's side of a Gateway.
type gateway struct {
	agentID, name, meteringSchemaID string
	deleted                         bool
	updated                         time.Time
	newest                          *x509.Certificate
	replicas                        []Replica
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
	g := &gateway{agentID: uuid.NewString(), name: name, meteringSchemaID: uuid.NewString(), updated: p.now()}
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

// SetReplicas sets the replicas that the platform lists for a gateway.
// Unless they say otherwise they are connected, since now and with the
// gateway's newest certificate.
func (p *Platform) SetReplicas(agentID string, replicas ...Replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(agentID)
	if g == nil {
		return
	}
	replicas = slices.Clone(replicas)
	for i := range replicas {
		r, id := &replicas[i], uuid.NewString()
		fill(&r.ID, id)
		fill(&r.NodeID, r.ID)
		fill(&r.Name, "replica-"+strconv.Itoa(i)+".default")
		fill(&r.GatewayVersion, "1.8.0")
		fill(&r.Status, Connected)
		fill(&r.ConfigurationStatus, "UP_TO_DATE")
		fill(&r.ConnectedAt, p.now())
		fill(&r.CertificateExpirationDate, g.newest.NotAfter)
		if r.NoCertificateDate {
			r.CertificateExpirationDate = time.Time{}
		}
		if r.Status == Disconnected {
			fill(&r.DisconnectedAt, p.now())
		}
	}
	g.replicas, g.updated = replicas, p.now()
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// DeleteGateway deletes a gateway on the platform, which keeps a tombstone.
func (p *Platform) DeleteGateway(agentID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.find(agentID); g != nil {
		g.deleted, g.replicas, g.updated = true, nil, p.now()
	}
}
