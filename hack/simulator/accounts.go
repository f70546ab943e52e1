package simulator

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// The scopes that renewing takes.
const (
	ScopeReadServers      = "Read Servers"
	ScopeManageServers    = "Manage Servers"
	ScopeViewOrganization = "View Organization"
)

var neededScopes = []string{ScopeReadServers, ScopeManageServers, ScopeViewOrganization}

// account is a connected app or a user.
type account struct {
	id, secret string
	scopes     []string
	user, mfa  bool
}

// AddConnectedApp makes a connected app with the scopes given, or with the
// three that renewing takes if none is.
func (p *Platform) AddConnectedApp(scopes ...string) (clientID, clientSecret string) {
	if len(scopes) == 0 {
		scopes = neededScopes
	}
	a := &account{id: uuid.NewString(), secret: newSecret(), scopes: scopes}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accounts[a.id] = a
	return a.id, a.secret
}

// AddUser makes a user, who has every permission, or replaces the one of that name.
func (p *Platform) AddUser(username, password string, mfa bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accounts[username] = &account{id: username, secret: password, scopes: neededScopes, user: true, mfa: mfa}
}

// ReplaceSecret rotates a connected app's secret or a user's password: the old
// one is refused from now on, tokens got with it stay good.
func (p *Platform) ReplaceSecret(clientID, clientSecret string) {
	p.changeAccount(clientID, func(a *account) { a.secret = clientSecret })
}

// SetScopes changes the scopes of a connected app, for its tokens too.
func (p *Platform) SetScopes(clientID string, scopes ...string) {
	p.changeAccount(clientID, func(a *account) { a.scopes = scopes })
}

// changeAccount replaces an account by a changed copy, as calls under way read
// theirs without the lock.
func (p *Platform) changeAccount(id string, change func(*account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.accounts[id]
	if old == nil {
		return
	}
	changed := *old
	change(&changed)
	p.accounts[id] = &changed
	for token, a := range p.tokens {
		if a == old {
			p.tokens[token] = &changed
		}
	}
}

// ExpireTokens makes the platform refuse every token that it has issued.
func (p *Platform) ExpireTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}

func (p *Platform) token(x *exchange) answer {
	var ask struct {
		GrantType    string `json:"grant_type"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	if err := json.Unmarshal(x.body, &ask); err != nil || ask.GrantType != "client_credentials" {
		return problem(http.StatusBadRequest, "unsupported grant type")
	}
	return p.admit(ask.ClientID, ask.ClientSecret, false)
}

func (p *Platform) login(x *exchange) answer {
	var ask struct{ Username, Password string }
	if err := json.Unmarshal(x.body, &ask); err != nil {
		return problem(http.StatusBadRequest, "not JSON")
	}
	return p.admit(ask.Username, ask.Password, true)
}

// admit gives a token for good credentials. What the platform says to a user
// with MFA is unknown but for that it refuses.
func (p *Platform) admit(id, secret string, user bool) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.accounts[id]
	if a == nil || a.user != user || a.secret != secret {
		return text(http.StatusUnauthorized, "Unauthorized")
	}
	if a.mfa {
		return problem(http.StatusUnauthorized, "multi-factor authentication is required")
	}
	token := newSecret()
	p.tokens[token] = a
	return object(map[string]string{"access_token": token})
}

func (p *Platform) me(x *exchange) answer {
	if refused := x.authorize(); refused != nil {
		return *refused
	}
	if x.account.user {
		return object(fields{"user": fields{
			"username": x.account.id, "organization": fields{"id": p.organization},
		}})
	}
	return object(fields{"client": fields{"client_id": x.account.id, "org_id": p.organization}})
}

// authorize refuses a call without a token (401) or without the scopes. For
// missing scopes the platform gives 401 or 403, which of them when is unknown:
// here a missing View Organization gives 401, a missing server scope 403, so
// that clients meet both.
func (x *exchange) authorize(scopes ...string) *answer {
	if x.account == nil {
		a := text(http.StatusUnauthorized, "Unauthorized")
		return &a
	}
	for _, scope := range scopes {
		if slices.Contains(x.account.scopes, scope) {
			continue
		}
		a := text(http.StatusForbidden, "Forbidden")
		if scope == ScopeViewOrganization {
			a = text(http.StatusUnauthorized, "Unauthorized")
		}
		return &a
	}
	return nil
}

func newSecret() string { return uuid.NewString() + uuid.NewString() }
