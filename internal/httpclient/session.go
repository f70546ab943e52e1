package httpclient

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
	// unknownLifetime is how long a token is used whose lifetime the service doesn't tell. It is a guess that costs
	// little: a token that ends sooner is refused once and fetched anew.
	unknownLifetime = 30 * time.Minute
	// maxLifetime bounds what the service tells.
	maxLifetime = 24 * time.Hour
	// refusalLifetime is for how long refused credentials aren't tried again: each try may bring an account nearer to
	// being locked.
	refusalLifetime = 24 * time.Hour
)

// session is what is known of an account: a token or, without one, a refusal.
type session struct {
	token    func() string // a function, because fmt doesn't look into one
	refusal  *Error
	since    time.Time
	until    time.Time
	over     atomic.Bool // whether it is to be used no more
	accepted atomic.Bool // whether the service has ever taken the token
	denied   sync.Map    // the paths, as keys, that refused it with 401 where another would be of no use
}

// Forget drops the account's token, or that it was refused, where that is at least so old, so that the next call asks anew.
func (a *Account) Forget(age time.Duration) {
	if s := a.Client.known(a.Key); s != nil && a.Client.Clock.Since(s.since) >= age {
		s.over.Store(true)
	}
}

// known is what is known of an account and still holds, or nil.
func (c *Client) known(key string) *session {
	if s, found := c.sessions.Get(key); found && !s.(*session).over.Load() {
		return s.(*session)
	}
	return nil
}

// session gives what has a token. Whoever asks while one is being fetched gets that one.
func (a *Account) session(ctx context.Context) (*session, error) {
	s := a.Client.known(a.Key)
	if s == nil {
		login := a.Client.logins.DoChan(a.Key, func() (any, error) { return a.fetch(context.WithoutCancel(ctx)) })
		select {
		case <-ctx.Done():
			return nil, a.Request("asking for a token", "", "").ended(ctx)
		case result := <-login:
			if result.Err != nil {
				return nil, result.Err
			}
			s = result.Val.(*session)
		}
	}
	if s.refusal != nil {
		refusal := *s.refusal
		refusal.RetryAfter = s.until.Sub(a.Client.Clock.Now())
		return nil, &refusal
	}
	return s, nil
}

// fetch fetches what has a token unless another has just done so. It is for all that wait, and ends by a deadline of
// its own. Credentials that are refused are remembered, and so is the token.
func (a *Account) fetch(ctx context.Context) (*session, error) {
	if s := a.Client.known(a.Key); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.Client.CallTimeout)
	defer cancel()
	token, lifetime, refused := a.Login(ctx)
	switch {
	case refused == nil:
	case refused.Class == anypoint.CredentialsRejected || refused.Class == anypoint.MFARequired:
		lifetime = refusalLifetime
	default:
		return nil, refused
	}
	now := a.Client.Clock.Now()
	s := &session{token: func() string { return token }, refusal: refused, since: now, until: now.Add(lifetime)}
	a.Client.sessions.Set(a.Key, s, lifetime)
	return s, nil
}

// Token reads the answer to a request for a token, which is OAuth 2's.
func (a *Account) Token(ctx context.Context, r Request) (token string, lifetime time.Duration, failed *Error) {
	var answer struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // whether it is there, and is a number, isn't known
	}
	r.Decode = r.JSON(&answer)
	if failed = a.Send(ctx, r); failed != nil {
		return "", 0, failed
	}
	if answer.AccessToken == "" || strings.ContainsFunc(answer.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", 0, r.Invalid("it has no token")
	}
	lifetime = unknownLifetime
	if seconds, err := strconv.ParseInt(strings.Trim(string(answer.ExpiresIn), `"`), 10, 64); err == nil && seconds > 0 {
		lifetime = time.Duration(min(seconds, int64(maxLifetime/time.Second))) * time.Second * 9 / 10
	}
	return answer.AccessToken, lifetime, nil
}

// Ask asks with a token, for which a request is made. One that the service has taken before and now refuses is fetched anew,
// once. Where a scope is missing each token is refused; that is found out at most once in a token's life.
func (a *Account) Ask(ctx context.Context, with func(token string) Request) error {
	ctx, cancel := context.WithTimeout(ctx, a.Client.CallTimeout)
	defer cancel()
	for again := false; ; again = true {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		r := with(s.token())
		r.token = s.token()
		refused := a.Send(ctx, r)
		switch {
		case refused == nil:
			s.accepted.Store(true)
			return nil
		case !refused.TokenRefused:
			return refused
		}
		if _, denied := s.denied.Load(r.Path); denied || again || !s.accepted.Load() {
			s.denied.Store(r.Path, true)
			return refused
		}
		s.over.Store(true)
	}
}
