package httpclient

import (
	"context"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	// window is what Anypoint's rate limits count in. It is the longest that a reset is waited for.
	window = time.Minute
	// maxRetryAfter bounds what a service may ask for.
	maxRetryAfter = time.Hour
)

var atCapacity = regexp.MustCompile(`(?i)back-end server is at capacity`)

// limited tells whether an answer is the refusal of one request too many.
func limited(status int, header http.Header, body []byte) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable &&
		(header.Get("X-RateLimit-Remaining") == "0" || atCapacity.Match(body))
}

// heed keeps what an answer says of when to ask next, and returns that, or 0.
func (c *Client) heed(limit string, status int, header http.Header, body []byte) (wait time.Duration) {
	now, refused := c.Clock.Now(), limited(status, header, body)
	reset, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64)
	if err == nil && (refused || header.Get("X-RateLimit-Remaining") == "0") {
		wait = min(time.Unix(reset, 0).Sub(now), window)
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		wait = max(wait, retryAfter(header.Get("Retry-After"), now))
	}
	if refused && wait <= 0 {
		wait = window
	}
	if wait <= 0 {
		return 0 // Nothing is to be kept of most answers.
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := now.Add(wait); until.After(c.holds[limit]) {
		c.holds[limit] = until
	}
	return wait
}

// retryAfter reads the header of that name: seconds, or a time.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// held is for how long an endpoint is to be left alone.
func (c *Client) held(limit string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds[limit].Sub(c.Clock.Now())
}

// sleep waits, unless the context is over.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := c.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jitter is a random time from half of d to d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) } //nolint:gosec // nobody is to be kept from guessing it
