package simulator

import (
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Replica is what the platform knows of one replica of a gateway, which is
// connected to it or was set by SetReplicas. Where a field is empty
// SetReplicas fills in what a healthy replica has.
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

// Replicas gives the replicas that the platform lists for a gateway: those
// that are connected, with the expiration of the certificate that they
// presented, and those that were within the last seven days.
func (p *Platform) Replicas(agentID string) []Replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(agentID)
	if g == nil {
		return nil
	}
	return p.listed(g)
}

// SetReplicas sets the replicas that the platform lists for a gateway without
// there being any, in place of those that it lists. Replicas that are
// connected stay. Unless they say otherwise those that are set are connected,
// since now and with the gateway's newest certificate.
func (p *Platform) SetReplicas(agentID string, replicas ...Replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(agentID)
	if g == nil {
		return
	}
	g.replicas = slices.DeleteFunc(slices.Clone(g.replicas), func(r Replica) bool { return g.connections[r.ID] == nil })
	for i, r := range replicas {
		fill(&r.Name, "replica-"+strconv.Itoa(i)+".default")
		g.replicas = append(g.replicas, p.complete(g, r))
	}
	g.updated = p.now()
}

// complete fills in what is empty with what a healthy replica has. p.mu is held.
func (p *Platform) complete(g *gateway, r Replica) Replica {
	fill(&r.ID, uuid.NewString())
	fill(&r.NodeID, r.ID)
	fill(&r.GatewayVersion, DefaultGatewayVersion)
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
	return r
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// listed gives a gateway's replicas; a disconnected one for seven days. p.mu is held.
func (p *Platform) listed(g *gateway) []Replica {
	return slices.DeleteFunc(slices.Clone(g.replicas), func(r Replica) bool {
		return r.Status == Disconnected && p.clock.Now().Sub(r.DisconnectedAt) > 7*24*time.Hour
	})
}

// describe is a replica as the platform tells it.
func (r Replica) describe(agentID string) fields {
	orNull := func(empty bool, value string) any {
		if empty {
			return nil
		}
		return value
	}
	return fields{
		"id": r.ID, "targetId": agentID, "name": r.Name, "nodeId": r.NodeID,
		"gatewayVersion": r.GatewayVersion, "status": r.Status,
		"connectedAt":    date(r.ConnectedAt),
		"disconnectedAt": orNull(r.DisconnectedAt.IsZero(), date(r.DisconnectedAt)),
		"configurationStatus": fields{
			"status":  r.ConfigurationStatus,
			"message": orNull(r.ConfigurationMessage == "", r.ConfigurationMessage),
		},
		"certificateExpirationDate": orNull(r.CertificateExpirationDate.IsZero(), date(r.CertificateExpirationDate)),
	}
}
