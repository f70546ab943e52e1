package simulator

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// How flexctl talks to the real platform is unpublished. These paths are the
// simulator's own and can be mistaken for no real ones.
const (
	registerPath = "/simulator/v1/register"
	renewPath    = "/simulator/v1/renew"
)

// Renewal is a certificate that was issued in a renewal.
type Renewal struct {
	AgentID                        string // whose registration was to be renewed
	OldSerial, NewSerial           string // hexadecimal
	OldFingerprint, NewFingerprint string // SHA-256 of the DER, hexadecimal
	Time                           time.Time
}

// ask is what flexctl sends to register or to renew.
type ask struct {
	Name        string `json:"name,omitempty"`        // register
	AgentID     string `json:"agentId,omitempty"`     // renew
	Certificate string `json:"certificate,omitempty"` // renew: the present one
	CSR         string `json:"csr"`
}

// registered is what flexctl gets: what a registration consists of but for the
// key, and the fault that it shall carry out.
type registered struct {
	AgentID          string    `json:"agentId"`
	Name             string    `json:"name"`
	AnypointURL      string    `json:"anypoint"`
	MeteringSchemaID string    `json:"meteringSchemaId"`
	Certificate      string    `json:"certificate"`
	Fault            FaultKind `json:"fault,omitempty"`
}

// registered describes a gateway with its newest certificate. p.mu is held.
func (p *Platform) registered(g *gateway) registered {
	return registered{
		AgentID: g.agentID, Name: g.name, AnypointURL: p.URL(),
		MeteringSchemaID: g.meteringSchemaID, Certificate: p.authority.chain(g.newest),
	}
}

// Renewals gives a gateway's renewals in order, also those whose result never
// reached anyone.
func (p *Platform) Renewals(agentID string) []Renewal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.renewals), func(r Renewal) bool { return r.AgentID != agentID })
}

// asked reads what flexctl asks for, with the key to certify, if it may ask.
func asked(x *exchange) (a ask, public any, refused *answer) {
	if refused = x.authorize(neededScopes...); refused != nil {
		return a, nil, refused
	}
	err := json.Unmarshal(x.body, &a)
	if err == nil {
		public, err = parseRequest(a.CSR)
	}
	if err != nil {
		bad := problem(http.StatusBadRequest, err.Error())
		return a, nil, &bad
	}
	return a, public, nil
}

// register answers `flexctl registration create`.
func (p *Platform) register(x *exchange) answer {
	a, public, refused := asked(x)
	if refused != nil {
		return *refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.addGateway(a.Name, public, p.now(), p.now().Add(p.validity))
	if err != nil {
		return problem(http.StatusBadRequest, err.Error())
	}
	return object(p.registered(g))
}

// renew answers `flexctl registration renew`. It takes every certificate that
// the gateway ever had, expired ones too; what the real platform makes of one
// that has been renewed before is unknown.
func (p *Platform) renew(x *exchange) answer {
	a, public, refused := asked(x)
	if refused != nil {
		return *refused
	}
	old, err := parseCertificate(a.Certificate)
	if err != nil {
		return problem(http.StatusBadRequest, err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(a.AgentID)
	if g == nil || g.deleted {
		return problem(http.StatusBadRequest, "Gateway not found by id")
	}
	if old.Subject.CommonName != g.agentID || old.CheckSignatureFrom(p.authority.certificate) != nil {
		return problem(http.StatusBadRequest, "the certificate is not the gateway's")
	}
	result := p.registered(g)
	if x.fault.Kind.resultOfRenewal() {
		result.Fault = x.fault.Kind
	}
	if result.Fault == OldCertificate {
		result.Certificate = a.Certificate
		return object(result)
	}
	issued, err := p.issueRenewal(g, public, result.Fault)
	if err != nil {
		return problem(http.StatusBadRequest, err.Error())
	}
	result.AgentID, result.Certificate = issued.Subject.CommonName, p.authority.chain(issued)
	p.renewals = append(p.renewals, Renewal{
		AgentID:   g.agentID,
		OldSerial: serial(old), NewSerial: serial(issued),
		OldFingerprint: fingerprint(old), NewFingerprint: fingerprint(issued),
		Time: p.clock.Now(),
	})
	return object(result)
}

// issueRenewal issues the certificate of a renewal, odd in the way that the
// fault names. p.mu is held.
func (p *Platform) issueRenewal(g *gateway, public any, fault FaultKind) (*x509.Certificate, error) {
	agentID, notBefore := g.agentID, p.now()
	switch fault {
	case OtherGateway:
		agentID = uuid.NewString()
	case AlreadyExpired:
		notBefore = notBefore.Add(-p.validity - time.Hour)
	case NotYetValid:
		notBefore = notBefore.Add(24 * time.Hour)
	}
	issued, err := p.authority.issue(agentID, public, notBefore, notBefore.Add(p.validity))
	if err == nil && fault != OtherGateway {
		g.newest, g.updated = issued, p.now()
	}
	return issued, err
}
