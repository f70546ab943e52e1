package platform

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

const (
	// attempts is how often a request is sent at most.
	attempts = 3
	// pause is the longest before the first repeat; it doubles.
	pause = 400 * time.Millisecond
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 1 << 20
)

// question is a request to be made. All of them are safe to repeat: they read, or get one more token.
type question struct {
	doing       string // for errors
	endpoint    string // what the platform counts against a rate limit of its own
	path, query string
	environment Environment
	gateway     bool // whether it is about one gateway
	token       string
	body        []byte // makes a POST of it
}

func (q question) method() string {
	if q.body != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// ask sends a request, and again where that is of use, and decodes the answer. While the platform wants an endpoint to
// be left alone nothing is sent to it, whoever asks: for a short while that is waited for here, and otherwise told.
func (a *Account) ask(ctx context.Context, q question, answer any) *Error {
	c, limit, patience := a.client, a.base+" "+q.endpoint, a.client.patience
	var last *Error
	for attempt := range attempts {
		var wait time.Duration
		if attempt > 0 {
			wait = jitter(pause << (attempt - 1))
		}
		if held := c.held(limit); held > 0 {
			if held > patience {
				last = cmp.Or(last, q.fail(anypoint.RateLimited, rateLimit))
				last.RetryAfter = held
				return last
			}
			wait = held + jitter(time.Second) // not all at once
		}
		patience -= wait
		if c.sleep(ctx, wait) != nil {
			if last != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return last // tells more
			}
			return q.ended(ctx)
		}
		if last = a.once(ctx, q, answer); last == nil || !last.passing() {
			return last
		}
	}
	return last
}

// once sends a request and decodes the answer.
func (a *Account) once(ctx context.Context, q question, answer any) *Error {
	status, header, body, err := a.send(ctx, q)
	if observe := a.client.observe; observe != nil {
		observe(q.endpoint, status)
	}
	if err != nil {
		if ctx.Err() != nil {
			return q.ended(ctx)
		}
		e := q.fail(anypoint.PlatformUnavailable, "Anypoint can't be reached: look at DNS, proxy and egress rules, and at the CA that signs for it")
		e.Said = a.credentials.Scrub(err.Error(), q.token)
		return e
	}
	wait := a.client.heed(a.base+" "+q.endpoint, status, header, body)
	switch {
	case len(body) > maxAnswer:
		return q.invalid(fmt.Sprintf("it has more than %d bytes", maxAnswer))
	case status >= 300:
		e := q.refused(status, header, body)
		e.Status, e.RetryAfter = status, wait
		e.Said = cmp.Or(e.Said, a.credentials.Scrub(string(body), q.token))
		return e
	case json.Unmarshal(body, answer) != nil: // whose error may quote the answer
		return q.invalid("it is not the JSON that was asked for; it is said to be " + a.credentials.Scrub(header.Get("Content-Type"), q.token))
	}
	return nil
}

func (a *Account) send(ctx context.Context, q question) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.client.requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, q.method(), a.base+q.path, bytes.NewReader(q.body)) //nolint:gosec // Account has checked the host, and Environment the ids.
	if err != nil {
		return 0, nil, nil, err
	}
	request.URL.RawQuery = q.query
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", a.client.userAgent)
	if q.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	if q.environment.ID != "" {
		request.Header.Set("X-ANYPNT-ORG-ID", q.environment.OrganizationID)
		request.Header.Set("X-ANYPNT-ENV-ID", q.environment.ID)
	}
	response, err := a.client.http.Do(request) //nolint:gosec // as above
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	return response.StatusCode, response.Header, body, err
}
