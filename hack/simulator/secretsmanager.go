package simulator

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// CallSecrets are those to Secrets Manager, which are published.
const CallSecrets Call = "secrets"

// ScopeReadSecrets is the right to read secret groups. How it is called is unknown.
const ScopeReadSecrets = "Read Secrets"

// secretGroup has certificates and keystores, by kind.
type secretGroup struct {
	id, name string
	secrets  map[string][]fields
}

// SetSecret puts a certificate or a keystore, which is the kind's plural, with an expiry into a secret group of the environment,
// in place of the one of that name. How Secrets Manager writes the date is unknown.
func (p *Platform) SetSecret(group, kind, name string, notAfter time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.secretGroups[group]
	if g == nil {
		g = &secretGroup{id: uuid.NewString(), name: group, secrets: map[string][]fields{}}
		p.secretGroups[group] = g
	}
	made := fields{"name": name, "type": "PEM", "expirationDate": date(notAfter), "meta": fields{"id": uuid.NewString()}}
	for i, s := range g.secrets[kind] {
		if s["name"] == name {
			g.secrets[kind][i] = made
			return
		}
	}
	g.secrets[kind] = append(g.secrets[kind], made)
}

func (p *Platform) listSecretGroups(x *exchange) answer {
	return p.withSecrets(x, func() answer {
		all := []fields{}
		for _, g := range p.secretGroups {
			all = append(all, fields{"name": g.name, "meta": fields{"id": g.id}})
		}
		return object(all)
	})
}

func (p *Platform) listSecrets(x *exchange) answer {
	return p.withSecrets(x, func() answer {
		for _, g := range p.secretGroups {
			if g.id == x.PathValue("group") {
				return object(append([]fields{}, g.secrets[x.PathValue("kind")]...))
			}
		}
		return problem(http.StatusNotFound, "Secret group not found")
	})
}

// withSecrets answers about the environment's secret groups, under p.mu.
func (p *Platform) withSecrets(x *exchange, about func() answer) answer {
	if refused := x.authorize(ScopeReadSecrets); refused != nil {
		return *refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.PathValue("org") != p.organization || x.PathValue("env") != p.environment {
		return problem(http.StatusNotFound, "Environment not found")
	}
	return about()
}
