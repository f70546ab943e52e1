package platform

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	testclock "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

func TestRateLimitOfThePlatform(t *testing.T) {
	b := newBench(t)
	b.SetRateLimit(2)
	list := func() error {
		_, err := b.account.Gateways(t.Context(), b.in)
		return err
	}
	b.Expect(list()).To(Succeed())
	b.Expect(list()).To(Succeed())
	b.ResetRequests()
	e := failed(t, list())
	b.Expect(e.Class).To(Equal(anypoint.RateLimited))
	b.Expect(e.RetryAfter).To(Equal(time.Minute))
	b.Expect(b.Requests()).To(BeEmpty(), "it has said that none remains")
	// Another account of the same platform holds back too, another endpoint need not.
	id, secret := b.AddConnectedApp()
	_, err := b.of(app(t, id, secret)).Gateways(t.Context(), b.in)
	b.Expect(failed(t, err).Class).To(Equal(anypoint.RateLimited))
	b.Expect(b.account.Organization(t.Context())).To(Equal(b.OrganizationID()))

	b.clock.Step(52 * time.Second) // eight are left, which are waited for
	before := b.clock.Now()
	b.Expect(list()).To(Succeed())
	b.Expect(b.clock.Now().Sub(before)).To(And(BeNumerically(">", 8*time.Second), BeNumerically("<=", 9*time.Second)))
}

func TestWhatThePlatformSaysOfWaiting(t *testing.T) {
	in := func(d time.Duration) string { return strconv.FormatInt(noon.Add(d).Unix(), 10) }
	for name, c := range map[string]struct {
		status   int
		header   []string
		class    anypoint.Class
		wait     time.Duration // told to the caller
		requests int
	}{
		"reset":                 {429, []string{"X-RateLimit-Reset", in(40 * time.Second)}, anypoint.RateLimited, 40 * time.Second, 1},
		"reset soon":            {429, []string{"X-RateLimit-Reset", in(4 * time.Second)}, anypoint.RateLimited, 0, 2},
		"reset far off":         {429, []string{"X-RateLimit-Reset", in(time.Hour)}, anypoint.RateLimited, time.Minute, 1},
		"reset past":            {429, []string{"X-RateLimit-Reset", in(-time.Hour)}, anypoint.RateLimited, time.Minute, 1},
		"reset garbage":         {429, []string{"X-RateLimit-Reset", "soon"}, anypoint.RateLimited, time.Minute, 1},
		"reset huge":            {429, []string{"X-RateLimit-Reset", "9223372036854775807"}, anypoint.RateLimited, time.Minute, 1},
		"nothing":               {429, nil, anypoint.RateLimited, time.Minute, 1},
		"503, none remains":     {503, []string{"X-RateLimit-Remaining", "0"}, anypoint.RateLimited, time.Minute, 1},
		"503, some remain":      {503, []string{"X-RateLimit-Remaining", "5"}, anypoint.PlatformUnavailable, 0, 3},
		"seconds":               {429, []string{"Retry-After", "90"}, anypoint.RateLimited, 90 * time.Second, 1},
		"a date":                {429, []string{"Retry-After", noon.Add(2 * time.Minute).Format(http.TimeFormat)}, anypoint.RateLimited, 2 * time.Minute, 1},
		"an outage":             {503, []string{"Retry-After", "90"}, anypoint.PlatformUnavailable, 90 * time.Second, 1},
		"both":                  {429, []string{"Retry-After", "90", "X-RateLimit-Reset", in(40 * time.Second)}, anypoint.RateLimited, 90 * time.Second, 1},
		"for ever":              {429, []string{"Retry-After", "9223372036854775807"}, anypoint.RateLimited, time.Hour, 1},
		"negative":              {429, []string{"Retry-After", "-9223372036854775807"}, anypoint.RateLimited, time.Minute, 1},
		"a distant date":        {429, []string{"Retry-After", noon.Add(9000 * time.Hour).Format(http.TimeFormat)}, anypoint.RateLimited, time.Hour, 1},
		"of a refusal, ignored": {404, []string{"Retry-After", "90"}, EnvironmentNotFound, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			h := newHostile(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) > 1 && name == "reset soon" {
					answering(200, `{"content":[]}`)(w, r)
					return
				}
				answering(c.status, "", c.header...)(w, r)
			})
			_, err := h.account.Gateways(t.Context(), prod)
			requests, _ := h.seen()
			h.Expect(requests).To(HaveLen(c.requests))
			if name == "reset soon" {
				h.Expect(err).NotTo(HaveOccurred())
				h.Expect(h.clock.waits()).To(ConsistOf(And(BeNumerically(">", 4*time.Second), BeNumerically("<=", 5*time.Second))))
				return
			}
			e := failed(t, err)
			h.Expect(e.Class).To(Equal(c.class))
			h.Expect(e.RetryAfter).To(Equal(c.wait))
			if c.wait > 0 { // nothing is sent meanwhile
				h.clock.Step(c.wait - h.client.Patience - time.Second)
				_, err = h.account.Gateways(t.Context(), prod)
				h.Expect(failed(t, err).RetryAfter).To(Equal(h.client.Patience + time.Second))
				requests, _ = h.seen()
				h.Expect(requests).To(HaveLen(c.requests))
			}
		})
	}
}

// However often the platform asks for a little more, all waits of a request together are bounded.
func TestPatienceEnds(t *testing.T) {
	h := newHostile(t, answering(429, "", "Retry-After", "6"))
	_, err := h.account.Gateways(t.Context(), prod)
	e := failed(t, err)
	h.Expect(e.Class).To(Equal(anypoint.RateLimited))
	h.Expect(e.RetryAfter).To(Equal(6 * time.Second))
	h.Expect(h.clock.waits()).To(HaveLen(1))
}

func TestWaitsEndWithTheContext(t *testing.T) {
	h := newHostile(t, answering(429, "", "Retry-After", "6"))
	still := testclock.NewFakeClock(noon) // nobody moves it
	h.client.Clock = still
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_, err := h.account.Gateways(ctx, prod)
		h.Expect(err).To(MatchError(context.Canceled))
		h.Expect(failed(t, err).Class).To(Equal(httpclient.Interrupted))
	})
	h.Eventually(still.HasWaiters).Should(BeTrue())
	cancel()
	waiting.Wait()
	h.Expect(still.HasWaiters()).To(BeFalse(), "the timer is stopped")

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	still.Step(6 * time.Second)
	_, err := h.account.Gateways(ctx, prod)
	h.Expect(failed(t, err).Class).To(Equal(anypoint.RateLimited), "which tells more than that time ran out")
}

func TestLimitsAreSharedByAllThatAsk(t *testing.T) {
	var requests atomic.Int32
	h := newHostile(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		answering(200, `{"content":[]}`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.FormatInt(noon.Add(30*time.Second).Unix(), 10))(w, r)
	})
	_, err := h.account.Gateways(t.Context(), prod)
	h.Expect(err).NotTo(HaveOccurred())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := h.of(app(t, "an-app", testSecret)).Gateways(t.Context(), prod)
			h.Expect(failed(t, err).RetryAfter).To(Equal(30 * time.Second))
		})
	}
	all.Wait()
	h.Expect(requests.Load()).To(BeEquivalentTo(1))
}

func TestRateLimitAsTheSimulatedPlatformTellsIt(t *testing.T) {
	b := newBench(t)
	b.Inject(simulator.Fault{Call: simulator.CallMe, Kind: simulator.RateLimited})
	_, err := b.account.Organization(t.Context())
	b.Expect(failed(t, err).Class).To(Equal(anypoint.RateLimited))
	b.Expect(failed(t, err).RetryAfter).To(Equal(time.Minute))
}
