package faults

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// breaker stands between who makes calls and the API server. Once it is armed it lists the calls and breaks those that it
// is told to. It hands every write of the operator that took effect to a watcher.
type breaker struct {
	// strike carries out the ways of dying.
	strike func(Fault)
	wrote  func(Call, []byte)

	mu     sync.Mutex
	seen   map[Call]int
	calls  []Call
	faults map[Call]Way
	fired  []Fault
}

func newBreaker(strike func(Fault), wrote func(Call, []byte)) *breaker {
	return &breaker{strike: strike, wrote: wrote, seen: map[Call]int{}}
}

// arm forgets the calls so far, and breaks those that come from now on.
func (b *breaker) arm(faults []Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen, b.calls, b.faults, b.fired = map[Call]int{}, nil, map[Call]Way{}, nil
	for _, f := range faults {
		b.faults[f.Call] = f.Way
	}
}

// next numbers a call and says how it is to be broken.
func (b *breaker) next(c Call) (Call, Way) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[c]++
	c.Occurrence = b.seen[c]
	b.calls = append(b.calls, c)
	way, ok := b.faults[c]
	if ok {
		b.fired = append(b.fired, Fault{c, way})
	}
	return c, way
}

// met notes a fault that somebody else has brought about.
func (b *breaker) met(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fired = append(b.fired, f)
}

// Wrap is a transport for a party.
func (b *breaker) Wrap(by Party, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		kind, counts := identify(by, r)
		if !counts {
			return next.RoundTrip(r)
		}
		call, way := b.next(kind)
		if way == FailsBefore {
			return nil, errors.New("injected: connection refused")
		}
		body, err := replayable(r)
		if err != nil {
			return nil, err
		}
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if by == Operator && response.StatusCode < 300 && call.Verb != "get" {
			b.wrote(call, body)
		}
		switch way {
		case "":
			return response, nil
		case AnswerLost:
		default:
			b.strike(Fault{call, way})
		}
		if way == Synced || way == ThenDies && by != Operator {
			return response, nil // The answer is another's, who lives.
		}
		_ = response.Body.Close()
		return nil, errors.New("injected: connection reset")
	})
}

// report returns the calls so far and the faults that were met.
func (b *breaker) report() ([]Call, []Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Call{}, b.calls...), append([]Fault{}, b.fired...)
}

// replayable returns a request's body and puts it back.
func replayable(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// relent breaks nothing any more.
func (b *breaker) relent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}
