package httpclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

// Account is somebody with credentials at a service.
type Account struct {
	Client *Client
	// Service names it, for errors.
	Service string
	// Base is https://host or https://host:port.
	Base string
	// Key tells accounts apart: the base URL and a digest of the credentials.
	Key string
	// Scrub takes the credentials, and further secrets, out of what others have said, of which it makes one short line.
	Scrub func(text string, secrets ...string) string
	// Login gets a token and tells how long it may be used.
	Login func(context.Context) (token string, lifetime time.Duration, failed *Error)
}

// Request is one to be made.
type Request struct {
	service string
	// Doing says what it is for, in errors.
	Doing string
	// Endpoint is what the service counts against a rate limit of its own.
	Endpoint    string
	Path, Query string
	Header      http.Header
	// Body makes a POST of it, ContentType says of what kind it is. Default: JSON.
	Body        []byte
	ContentType string
	// Once: it is not repeated by itself, because it may have taken effect although no answer came.
	Once bool
	// Refused says what an answer that is an error means; nil where that is nothing that only this service knows.
	Refused func(status int, header http.Header, body []byte) *Error
	// Decode reads an answer that is none. It returns why it can't, without showing anything of it.
	Decode func(body []byte) *Error

	token string
}

// Request makes one, which has what an Account knows.
func (a *Account) Request(doing, endpoint, path string) Request {
	return Request{service: a.Service, Doing: doing, Endpoint: endpoint, Path: path}
}

func (r Request) method() string {
	if r.Body != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// JSON is a Decode for an answer in JSON.
func (r Request) JSON(answer any) func([]byte) *Error {
	return func(body []byte) *Error {
		if json.Unmarshal(body, answer) != nil { // whose error may quote the answer
			return r.Invalid("it is not the JSON that was asked for")
		}
		return nil
	}
}

// Send sends a request without a token, and again where that is of use, and has the answer decoded. While the service wants an
// endpoint to be left alone nothing is sent to it, whoever asks: for a short while that is waited for here, and otherwise told.
func (a *Account) Send(ctx context.Context, r Request) *Error {
	c, limit, patience := a.Client, a.Base+" "+r.Endpoint, a.Client.Patience
	var last *Error
	for attempt := range attempts {
		var wait time.Duration
		if attempt > 0 {
			wait = jitter(pause << (attempt - 1))
		}
		if held := c.held(limit); held > 0 {
			if held > patience {
				last = cmp.Or(last, r.Fail(anypoint.RateLimited, r.rateLimit()))
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
			return r.ended(ctx)
		}
		if last = a.once(ctx, r); last == nil || r.Once || !last.passing() {
			return last
		}
	}
	return last
}

// once sends a request and has the answer decoded.
func (a *Account) once(ctx context.Context, r Request) *Error {
	status, header, body, err := a.send(ctx, r)
	if observe := a.Client.observe; observe != nil {
		observe(r.Endpoint, status)
	}
	incomplete := ""
	switch {
	case err != nil && ctx.Err() != nil:
		return r.ended(ctx)
	case err != nil && status < 300:
		e := r.Fail(anypoint.PlatformUnavailable, r.service+" can't be reached: look at DNS, proxy and egress rules, and at the CA that signs for it")
		e.Said = a.Scrub(err.Error(), r.token)
		return e
	case err != nil:
		incomplete = "it broke off"
	case len(body) > maxAnswer:
		incomplete = fmt.Sprintf("it has more than %d bytes", maxAnswer)
	}
	if incomplete != "" {
		body = nil // It may end within a secret, of which half would not be recognised.
	}
	wait := a.Client.heed(a.Base+" "+r.Endpoint, status, header, body)
	if status >= 300 {
		e := r.refused(status, header, body)
		e.Status, e.RetryAfter, e.TokenRefused = status, wait, e.TokenRefused || status == http.StatusUnauthorized
		e.Said = a.Scrub(cmp.Or(e.Said, incomplete, string(body)), r.token)
		return e
	}
	if incomplete != "" {
		return r.Invalid(incomplete)
	}
	e := r.Decode(body)
	if e == nil {
		return nil
	}
	if e.Class == AnswerInvalid {
		e.Said += "; it is said to be " + header.Get("Content-Type")
	}
	e.Said = a.Scrub(e.Said, r.token)
	return e
}

func (a *Account) send(ctx context.Context, r Request) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.Client.RequestTimeout)
	defer cancel()
	// Who makes an Account checks the host, and who makes a Request the path.
	request, err := http.NewRequestWithContext(ctx, r.method(), a.Base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return 0, nil, nil, err
	}
	request.URL.RawQuery = r.Query
	request.Header.Set("Accept", cmp.Or(r.ContentType, "application/json"))
	maps.Copy(request.Header, r.Header)
	request.Header.Set("User-Agent", a.Client.userAgent)
	if r.Body != nil {
		request.Header.Set("Content-Type", cmp.Or(r.ContentType, "application/json"))
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	response, err := a.Client.http.Do(request)
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
