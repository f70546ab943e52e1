package experiencehub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	simulated "github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// way is how a call is broken.
type way string

const (
	failsBefore way = "fails before it takes effect"
	answerLost  way = "takes effect, but the answer is lost"
	diesBefore  way = "the operator dies before it takes effect"
	diesAfter   way = "takes effect, then the operator dies"
)

var ways = []way{failsBefore, answerLost, diesBefore, diesAfter}

// call is one that the operator makes: the n-th of its kind, from 0.
type call struct {
	to, kind string
	n        int
}

func (c call) String() string { return fmt.Sprintf("%s: %s #%d", c.to, c.kind, c.n) }

// breaker stands between an operator and the API server, and breaks one call.
type breaker struct {
	target call
	way    way
	kill   func()

	mu    sync.Mutex
	seen  map[string]int
	calls []call
	fired bool
}

// kindOf tells the kind of a request, "" for those of informers and of discovery.
func kindOf(r *http.Request) string {
	query, path := r.URL.Query(), strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if query.Has("watch") || query.Has("resourceVersion") || path[0] == "api" && len(path) < 3 || path[0] == "apis" && len(path) < 4 {
		return ""
	}
	kind := r.Method
	for i, part := range path {
		switch {
		case i > 0 && path[i-1] == "namespaces", part == "api", part == "apis", part == "namespaces", strings.Contains(part, "."), part == "v1", part == "v1alpha1", path[max(0, i-1)] == "events":
		default:
			kind += " " + part
		}
	}
	return kind
}

func (b *breaker) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		kind := kindOf(r)
		if kind == "" || !b.counts(call{to: "API server", kind: kind}) {
			return next.RoundTrip(r)
		}
		if b.way == diesBefore {
			b.kill()
		}
		if b.way == failsBefore || b.way == diesBefore {
			return nil, errors.New("connection refused, by the test")
		}
		response, err := next.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		if b.way == diesAfter {
			b.kill()
		}
		return nil, errors.New("connection reset, by the test")
	})
}

// counts a call, and says whether it is the one to be broken.
func (b *breaker) counts(c call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.n = b.seen[c.to+c.kind]
	b.seen[c.to+c.kind]++
	b.calls = append(b.calls, c)
	if c != b.target || b.fired {
		return false
	}
	b.fired = true
	return true
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// arm has the services break their call.
func (c *scene) arm(b *breaker) {
	hook := func() {
		b.mu.Lock()
		b.fired = true
		b.mu.Unlock()
		if b.way == diesBefore || b.way == diesAfter {
			b.kill()
		}
	}
	before := b.way == failsBefore || b.way == diesBefore
	switch b.target.to {
	case "Salesforce":
		kind := simulated.DropAfter
		if before {
			kind = simulated.DropBefore
		}
		c.org.Inject(simulated.Fault{Call: simulated.Call(b.target.kind), Kind: kind, Skip: b.target.n, Hook: hook})
	case "Anypoint":
		kind := simulator.DropAfter
		if before {
			kind = simulator.DropBefore
		}
		if b.target.n > 0 {
			c.anypoint.Inject(simulator.Fault{Call: simulator.Call(b.target.kind), Times: b.target.n})
		}
		c.anypoint.Inject(simulator.Fault{Call: simulator.Call(b.target.kind), Kind: kind, Hook: hook})
	}
}

// rotate tells a whole rotation, in which one call is broken, and gives all calls.
func (s *suite) rotate(t *testing.T, target call, how way) []call {
	c := s.scene(t)
	old := c.certificate(20 * day)
	var mu sync.Mutex
	var running *operator.Operator
	died := make(chan struct{}, 1)
	b := &breaker{target: target, way: how, seen: map[string]int{}}
	b.kill = func() {
		mu.Lock()
		defer mu.Unlock()
		running.Kill()
		died <- struct{}{}
	}
	c.options.Transport = b.wrap
	begin := func() {
		mu.Lock()
		defer mu.Unlock()
		var err error
		running, err = operator.Start(c.options)
		c.Expect(err).NotTo(HaveOccurred())
	}
	c.arm(b)
	begin()
	defer func() {
		if err := running.Stop(); !b.fired { // One that was killed ends as it likes.
			c.Expect(err).NotTo(HaveOccurred())
		}
	}()
	c.create(c.connection())

	// restart starts a successor of an operator that is dead, and says how many there were.
	restart := func() int {
		select {
		case <-died:
			_ = running.Wait()
			begin()
			return 1
		default:
			return 0
		}
	}
	var logins, restarts int
	deadline := time.Now().Add(time.Minute)
	for c.reason(required) != "False NothingToDo" || c.reason(ready) != "True Watching" || len(c.org.Changes()) < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("%s %s: it came to no end: %s, %s, %v, %v\n%s", target, how, c.reason(ready), c.reason(required), c.org.Changes(), c.org.Requests(), c.log.Tail(3000))
		}
		restarts += restart()
		if c.reason(required) == "True LoginRequired" && c.org.Login() {
			logins++
		}
		time.Sleep(20 * time.Millisecond)
		c.clock.Step(2 * time.Minute)
	}
	// The calls until here are those that are broken.
	counts := map[string]int{}
	b.mu.Lock()
	all := append([]call{}, b.calls...)
	b.mu.Unlock()
	for _, request := range c.org.Requests() {
		all = append(all, call{"Salesforce", string(request), counts[string(request)]})
		counts[string(request)]++
	}
	for i, request := range c.anypoint.Requests() {
		if i < 3 {
			all = append(all, call{"Anypoint", string(request.Call), counts["a"+string(request.Call)]})
			counts["a"+string(request.Call)]++
		}
	}
	// Events are told late. The last word is that of an operator that lives.
	if target.kind == "POST events" && how != failsBefore && how != answerLost {
		c.Eventually(func() int { restarts += restart(); return restarts }).Should(Equal(1))
	}
	restarts += restart()
	c.ask()
	name := "Anypoint_to_expire_" + old.NotAfter.Format("20060102")
	c.Expect(c.org.Changes()).To(Equal([]string{"rename Anypoint to " + name, "delete " + name}), "%s %s", target, how)
	c.Expect(c.org.OnlyOnes()).To(BeEmpty(), "%s %s", target, how)
	c.Expect(logins).To(Equal(1), "%s %s", target, how)
	c.Expect(c.org.Certificates()).To(ConsistOf(HaveField("Name", "SomethingElse"), HaveField("Name", "Anypoint")), "%s %s", target, how)
	c.Expect(len(c.org.Requests())).To(BeNumerically("<", 40), "%s %s: %v", target, how, c.org.Requests())
	if target.to != "" {
		c.Expect(b.fired).To(BeTrue(), "%s was not made", target)
		if how == diesAfter || how == diesBefore {
			c.Expect(restarts).To(Equal(1), "%s %s", target, how)
		}
	}
	for _, secret := range c.secrets {
		c.Expect(c.log.String()).NotTo(ContainSubstring(secret))
	}
	return all
}

// testBroken breaks each call of a rotation in each way. It always comes to the same end.
func testBroken(t *testing.T, s *suite) {
	calls := s.rotate(t, call{}, "")
	NewWithT(t).Expect(len(calls)).To(BeNumerically(">", 15))
	type plan struct {
		call call
		way  way
	}
	plans := make(chan plan)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for p := range plans {
				t.Run(fmt.Sprint(p.call, ", ", p.way), func(t *testing.T) { s.rotate(t, p.call, p.way) })
			}
		})
	}
	for _, c := range calls {
		for _, w := range ways {
			plans <- plan{c, w}
		}
	}
	close(plans)
	all.Wait()
	t.Logf("%d calls, each broken in %d ways", len(calls), len(ways))
}
