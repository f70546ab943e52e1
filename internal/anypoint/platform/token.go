package platform

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

const (
	// unknownLifetime is how long a token is used whose lifetime the platform doesn't tell. It is a guess that costs
	// little: a token that ends sooner is refused once and fetched anew.
	unknownLifetime = 30 * time.Minute
	// maxLifetime bounds what the platform tells.
	maxLifetime = 24 * time.Hour
	// refusalLifetime is for how long refused credentials aren't tried again: each try may bring an account nearer to
	// being locked.
	refusalLifetime = 24 * time.Hour
)

// standing is what is known of an account: a token or, without one, a refusal.
type standing struct {
	token    func() string // a function, because fmt doesn't look into one
	refusal  *Error
	since    time.Time
	until    time.Time
	accepted atomic.Bool // whether the platform has ever taken the token
	denied   sync.Map    // the paths, as keys, that refused it with 401 where another would be of no use
}

// Forget drops the account's token, or that it was refused, where that is at least so old, so that the next call asks anew.
func (a *Account) Forget(age time.Duration) {
	if s := a.client.known(a.key); s != nil && a.client.clock.Since(s.since) >= age {
		a.client.forget(a.key, s)
	}
}

// forget drops what is known of an account, if it is that.
func (c *Client) forget(key string, s *standing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.standings[key] == s {
		delete(c.standings, key)
	}
}

// known is what is known of an account and still holds, or nil.
func (c *Client) known(key string) *standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.standings[key]; s != nil && c.clock.Now().Before(s.until) {
		return s
	}
	return nil
}

func (c *Client) remember(key string, s *standing, lifetime time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	s.since, s.until = now, now.Add(lifetime)
	for other, old := range c.standings {
		if !now.Before(old.until) {
			delete(c.standings, other)
		}
	}
	c.standings[key] = s
}

// standing gives what has a token. Whoever asks while one is being fetched gets that one.
func (a *Account) standing(ctx context.Context) (*standing, error) {
	s := a.client.known(a.key)
	if s == nil {
		login := a.client.logins.DoChan(a.key, func() (any, error) { return a.fetch(context.WithoutCancel(ctx)) })
		select {
		case <-ctx.Done():
			return nil, question{doing: askingToken}.ended(ctx)
		case result := <-login:
			if result.Err != nil {
				return nil, result.Err
			}
			s = result.Val.(*standing)
		}
	}
	if s.refusal != nil {
		refusal := *s.refusal
		refusal.RetryAfter = s.until.Sub(a.client.clock.Now())
		return nil, &refusal
	}
	return s, nil
}

// fetch fetches what has a token unless another has just done so. It is for all that wait, and ends by a deadline of
// its own.
func (a *Account) fetch(ctx context.Context) (*standing, error) {
	if s := a.client.known(a.key); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.client.callTimeout)
	defer cancel()
	return a.login(ctx)
}

const askingToken = "asking for a token"

// login asks for a token. Credentials that are refused are remembered, and so is the token.
func (a *Account) login(ctx context.Context) (*standing, error) {
	data := a.credentials.Data()
	q := question{doing: askingToken, endpoint: "token", path: "/accounts/api/v2/oauth2/token"}
	body := map[string]string{"grant_type": "client_credentials", "client_id": string(data["client-id"]), "client_secret": string(data["client-secret"])}
	if len(data["username"]) > 0 {
		q.endpoint, q.path = "login", "/accounts/login"
		body = map[string]string{"username": string(data["username"]), "password": string(data["password"])}
	}
	q.body, _ = json.Marshal(body) // never fails
	var answer struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // of OAuth 2; whether it is there, and is a number, isn't known
	}
	refused := a.ask(ctx, q, &answer)
	switch {
	case refused == nil:
	case refused.Class == anypoint.CredentialsRejected || refused.Class == anypoint.MFARequired:
		s := &standing{refusal: refused}
		a.client.remember(a.key, s, refusalLifetime)
		return s, nil
	default:
		return nil, refused
	}
	if answer.AccessToken == "" || strings.ContainsFunc(answer.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, q.invalid("it has no token")
	}
	lifetime := unknownLifetime
	if seconds, err := strconv.ParseInt(strings.Trim(string(answer.ExpiresIn), `"`), 10, 64); err == nil && seconds > 0 {
		lifetime = time.Duration(min(seconds, int64(maxLifetime/time.Second))) * time.Second * 9 / 10
	}
	s := &standing{token: func() string { return answer.AccessToken }}
	a.client.remember(a.key, s, lifetime)
	return s, nil
}
