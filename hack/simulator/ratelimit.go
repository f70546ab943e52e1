package simulator

import (
	"net/http"
	"strconv"
	"time"
)

// unlimited is told to clients as the limit until SetRateLimit.
const unlimited = 1_000_000

// window counts one call's requests within a minute.
type window struct {
	start time.Time
	used  int
}

// limits is what the X-RateLimit headers tell.
type limits struct {
	limit, remaining int
	reset            time.Time
	exceeded         bool
}

// SetRateLimit allows so many requests per call and minute of the platform's
// clock; 0 lifts the limit.
func (p *Platform) SetRateLimit(perMinute int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = perMinute
	if perMinute == 0 {
		p.limit = unlimited
	}
	clear(p.windows)
}

// count counts a call against its limit. p.mu is held.
func (p *Platform) count(call Call) limits {
	w, now := p.windows[call], p.clock.Now()
	if w == nil || !now.Before(w.start.Add(time.Minute)) {
		w = &window{start: now.Truncate(time.Second)}
		p.windows[call] = w
	}
	w.used++
	return limits{p.limit, max(0, p.limit-w.used), w.start.Add(time.Minute), w.used > p.limit}
}

func (l limits) set(h http.Header) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(l.remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(l.reset.Unix(), 10))
}
