package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// fields is a JSON object.
type fields = map[string]any

// listEnvironments tells of the environment, and of one without gateways.
func (p *Platform) listEnvironments(x *exchange) answer {
	if refused := x.authorize(ScopeViewOrganization); refused != nil {
		return *refused
	}
	if x.PathValue("org") != p.organization {
		return problem(http.StatusNotFound, "Organization not found")
	}
	data := []fields{
		{"id": p.sandbox, "name": "Sandbox", "organizationId": p.organization, "isProduction": false, "type": "sandbox"},
		{"id": p.environment, "name": "Production", "organizationId": p.organization, "isProduction": true, "type": "production"},
	}
	return object(fields{"data": data, "total": len(data)})
}

func (p *Platform) listGateways(x *exchange) answer {
	if refused := p.authorizeReading(x); refused != nil {
		return *refused
	}
	var all []any
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.PathValue("env") == p.environment {
		for _, g := range p.gateways {
			listed := p.describe(g)
			delete(listed, "versions") // only told of a single gateway
			all = append(all, listed)
		}
	}
	return page(x, all)
}

func (p *Platform) getGateway(x *exchange) answer {
	return p.withGateway(x, func(g *gateway) answer { return object(p.describe(g)) })
}

func (p *Platform) listReplicas(x *exchange) answer {
	return p.withGateway(x, func(g *gateway) answer {
		var all []any
		wanted := x.URL.Query().Get("status")
		for _, r := range p.listed(g) {
			if wanted == "" || wanted == r.Status {
				all = append(all, r.describe(g.agentID))
			}
		}
		return page(x, all)
	})
}

// authorizeReading refuses who may not read the servers of the path's organization.
func (p *Platform) authorizeReading(x *exchange) *answer {
	if refused := x.authorize(ScopeReadServers); refused != nil || x.PathValue("org") == p.organization {
		return refused
	}
	a := text(http.StatusForbidden, "Forbidden")
	return &a
}

// withGateway answers about the gateway of the path, under p.mu.
func (p *Platform) withGateway(x *exchange, about func(*gateway) answer) answer {
	if refused := p.authorizeReading(x); refused != nil {
		return *refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.find(x.PathValue("id"))
	if g == nil || x.PathValue("env") != p.environment {
		return problem(http.StatusNotFound, "Gateway not found by id")
	}
	return about(g)
}

// page gives the page of all that is asked for. A page past the end says that
// there are no elements at all.
func page(x *exchange, all []any) answer {
	query := x.URL.Query()
	size, err := strconv.Atoi(cmp.Or(query.Get("pageSize"), "30"))
	if err != nil || size < 1 || size > 100 {
		return problem(http.StatusBadRequest, "Wrong page size")
	}
	number, err := strconv.Atoi(cmp.Or(query.Get("pageNumber"), "0"))
	if err != nil || number < 0 {
		return problem(http.StatusBadRequest, "Wrong page number")
	}
	content, total := []any{}, 0
	if pages := slices.Collect(slices.Chunk(all, size)); number < len(pages) {
		content, total = pages[number], len(all)
	}
	return object(fields{"content": content, "pageNumber": number, "pageSize": size, "totalElements": total})
}

// describe is a gateway as the platform tells it. p.mu is held.
func (p *Platform) describe(g *gateway) fields {
	status, versions := Disconnected, []string{}
	counts, dates := map[string]int{}, map[string][]string{Connected: {}, Disconnected: {}}
	for _, r := range p.listed(g) {
		counts[r.Status]++
		if !r.CertificateExpirationDate.IsZero() {
			dates[r.Status] = addNew(dates[r.Status], date(r.CertificateExpirationDate))
		}
		versions = addNew(versions, r.GatewayVersion)
		if r.Status == Connected {
			status = Connected
		}
	}
	if g.deleted {
		status = Deleted
	}
	replicas := []fields{}
	for _, s := range []string{Connected, Disconnected} {
		replicas = append(replicas, fields{"status": s, "count": counts[s], "certificateExpirationDates": dates[s]})
	}
	return fields{
		"id": g.agentID, "name": g.name, "status": status, "organizationId": p.organization,
		"lastUpdate": date(g.updated), "tags": []string{}, "versions": versions, "replicas": replicas,
	}
}

func addNew(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// date is a time in the platform's notation, which has two decimals.
func date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.00Z07:00") }
