// Package faults breaks the operator at every call that a renewal makes, to Kubernetes and to Anypoint, and checks
// that it comes to the same end.
package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// Call is one request of the operator: the n-th of its kind in a run. Those of informers don't count.
type Call struct {
	Verb, Resource, Name string
	Occurrence           int
}

func (c Call) String() string {
	return fmt.Sprintf("%s %s %s #%d", c.Verb, c.Resource, c.Name, c.Occurrence)
}

// Way is how a call is broken.
type Way string

// The ways.
const (
	FailsBefore Way = "fails before it takes effect"
	ThenDies    Way = "takes effect, then the operator dies"
	AnswerLost  Way = "takes effect, but the answer is lost"
)

// Ways are all of them.
var Ways = []Way{FailsBefore, ThenDies, AnswerLost}

// Fault is one broken call.
type Fault struct {
	Call Call
	Way  Way
}

// breaker stands between the operator and the API server. It lists the calls, breaks those that it is told to,
// and hands every write that took effect to a watcher.
type breaker struct {
	die   func()
	wrote func(Call, []byte)

	mu     sync.Mutex
	seen   map[Call]int
	calls  []Call
	faults map[Call]Way
	fired  []Fault
}

func newBreaker(faults []Fault, die func(), wrote func(Call, []byte)) *breaker {
	b := &breaker{die: die, wrote: wrote, seen: map[Call]int{}, faults: map[Call]Way{}}
	for _, f := range faults {
		b.faults[f.Call] = f.Way
	}
	return b
}

// identify returns the kind of a request, and false for those of informers and of discovery. Paths look like
// /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE and /apis/GROUP/VERSION/…
func identify(r *http.Request) (Call, bool) {
	query := r.URL.Query()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case query.Has("watch"), query.Has("resourceVersion"):
		return Call{}, false
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		parts = parts[3:]
	default:
		return Call{}, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	c := Call{Verb: strings.ToLower(r.Method), Resource: parts[0]}
	if len(parts) > 1 && c.Resource != "events" {
		c.Name = parts[1]
	}
	if len(parts) > 2 {
		c.Resource += "/" + parts[2]
	}
	return c, true
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

// Wrap is a transport for the operator.
func (b *breaker) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		kind, counts := identify(r)
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
		if response.StatusCode < 300 && call.Verb != "get" {
			b.wrote(call, body)
		}
		switch way {
		case ThenDies:
			b.die()
		case AnswerLost:
		default:
			return response, nil
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

// writtenSecret decodes the Secret that a request has written, nil if it was none.
func writtenSecret(body []byte) *corev1.Secret {
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil
	}
	secret, _ := object.(*corev1.Secret)
	return secret
}
