package platform

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

func TestOneTokenForAll(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	b.Inject(simulator.Fault{Call: simulator.CallToken, Hook: func() { <-release }})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { // each with an account of its own making
			organization, err := b.of(app(t, b.app, b.secret)).Organization(t.Context())
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(organization).To(Equal(b.OrganizationID()))
		})
	}
	b.Eventually(func() int { return b.count(simulator.CallToken) }).Should(Equal(1))
	close(release)
	all.Wait()
	b.Expect(b.count(simulator.CallToken)).To(Equal(1))
	b.Expect(b.count(simulator.CallMe)).To(Equal(20))

	b.AddUser("ana", "pw", false)
	for range 2 {
		b.Expect(b.of(user(t, "ana", "pw")).Organization(t.Context())).To(Equal(b.OrganizationID()))
	}
	b.Expect(b.count(simulator.CallLogin)).To(Equal(1))
	b.account.Forget(0)
	b.Expect(b.account.Organization(t.Context())).To(Equal(b.OrganizationID()))
	b.Expect(b.count(simulator.CallToken)).To(Equal(2), "after Forget")
}

func TestTokensAreKeptByURLAndTheWholeCredential(t *testing.T) {
	h := newHostile(t, answering(200, "{}"))
	keys := map[string]bool{}
	h.client.hosts = append(h.client.hosts, "other")
	for _, c := range []anypoint.Credentials{app(t, "a", "b"), app(t, "a", "c"), app(t, "ab", "c"), app(t, "a", "bc"), user(t, "a", "b")} {
		for _, base := range []string{h.URL, "https://other"} {
			a, err := h.client.Account(base, c)
			h.Expect(err).NotTo(HaveOccurred())
			keys[a.Key] = true
		}
	}
	h.Expect(keys).To(HaveLen(10))
}

func TestLifetimeOfTokens(t *testing.T) {
	for _, c := range []struct {
		expiresIn string
		lifetime  time.Duration
	}{
		{``, 30 * time.Minute}, {`,"expires_in":3600`, 54 * time.Minute}, {`,"expires_in":"3600"`, 54 * time.Minute},
		{`,"expires_in":0`, 30 * time.Minute}, {`,"expires_in":-5`, 30 * time.Minute}, {`,"expires_in":null`, 30 * time.Minute},
		{`,"expires_in":{"x":1}`, 30 * time.Minute}, {`,"expires_in":1e99`, 30 * time.Minute},
		{`,"expires_in":9223372036854775807`, 24 * time.Hour * 9 / 10},
	} {
		logins := 0
		h := newRaw(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				logins++
				answering(200, `{"access_token":"x"`+c.expiresIn+`}`)(w, r)
				return
			}
			answering(200, `{"client":{"org_id":"o"}}`)(w, r)
		})
		for _, step := range []struct {
			wait   time.Duration
			logins int
		}{{0, 1}, {c.lifetime - time.Second, 1}, {time.Second, 2}} {
			h.clock.Step(step.wait)
			h.Expect(h.account.Organization(t.Context())).To(Equal("o"))
			h.Expect(logins).To(Equal(step.logins), "%s after %s", c.expiresIn, step.wait)
		}
		h.clock.Step(c.lifetime)
		h.Expect(h.of(app(t, "another", "x")).Organization(t.Context())).To(Equal("o"))
	}
}

func TestRefusedCredentialsAreAskedOnce(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		credentials anypoint.Credentials
		call        simulator.Call
		class       anypoint.Class
	}{
		"wrong secret":   {app(t, b.app, "wrong"), simulator.CallToken, anypoint.CredentialsRejected},
		"wrong password": {user(t, "ben", "wrong"), simulator.CallLogin, anypoint.CredentialsRejected},
		"MFA":            {user(t, "ana", "pw"), simulator.CallLogin, anypoint.MFARequired},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b.AddUser("ana", "pw", true)
			b.AddUser("ben", "pw", false)
			b.ResetRequests()
			account := b.of(c.credentials)
			try := func(left time.Duration) {
				_, err := account.Gateways(t.Context(), b.in)
				e := failed(t, err)
				g.Expect(e.Class).To(Equal(c.class))
				g.Expect(e.Status).To(Equal(401))
				g.Expect(e.RetryAfter).To(Equal(left))
			}
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { try(24 * time.Hour) })
			}
			all.Wait()
			g.Expect(b.count(c.call)).To(Equal(1), "sixty gateways must not lock an account")
			b.clock.Step(23 * time.Hour)
			try(time.Hour)
			g.Expect(b.count(c.call)).To(Equal(1))
			b.clock.Step(time.Hour)
			try(24 * time.Hour)
			g.Expect(b.count(c.call)).To(Equal(2), "a day has passed")
			account.Forget(0)
			try(24 * time.Hour)
			g.Expect(b.count(c.call)).To(Equal(3), "asked anew")
			b.AddUser("ana", "new", false)
			good := map[simulator.Call]anypoint.Credentials{simulator.CallToken: app(t, b.app, b.secret), simulator.CallLogin: user(t, "ana", "new")}[c.call]
			g.Expect(b.of(good).Gateways(t.Context(), b.in)).To(HaveLen(1), "other credentials are tried at once")
			g.Expect(b.Requests()).NotTo(ContainElement(HaveField("Path", ContainSubstring("wrong"))))
		})
	}
}

func TestOutagesAreNotTakenForRefusals(t *testing.T) {
	b := newBench(t)
	for _, kind := range []simulator.FaultKind{simulator.Status500, simulator.Unavailable503, simulator.DropBefore, simulator.Garbage} {
		b.account.Forget(0)
		b.Inject(simulator.Fault{Call: simulator.CallToken, Kind: kind, Times: -1})
		b.ResetRequests()
		_, err := b.account.Organization(t.Context())
		class, requests := anypoint.PlatformUnavailable, 3
		if kind == simulator.Garbage {
			class, requests = httpclient.AnswerInvalid, 1
		}
		b.Expect(failed(t, err).Class).To(Equal(class), "%s", kind)
		b.Expect(b.count(simulator.CallToken)).To(Equal(requests), "%s", kind)
		b.ClearFaults()
		b.Expect(b.account.Organization(t.Context())).To(Equal(b.OrganizationID()), "%s", kind)
	}
}

func TestTokenThatIsRefusedIsFetchedAnewOnce(t *testing.T) {
	b := newBench(t)
	_, err := b.account.Organization(t.Context())
	b.Expect(err).NotTo(HaveOccurred())
	b.ExpireTokens()
	b.ResetRequests()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := b.account.Gateways(t.Context(), b.in)
			b.Expect(err).NotTo(HaveOccurred())
		})
	}
	all.Wait()
	b.Expect(b.count(simulator.CallToken)).To(Equal(1))
}

func TestMissingScopeCostsOneToken(t *testing.T) {
	// What the simulated platform refuses with 403 is here refused with 401, as the real one may.
	var logins, refusals atomic.Int32
	h := newRaw(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/accounts/api/v2/oauth2/token":
			answering(200, fmt.Sprintf(`{"access_token":"%s-%d"}`, testToken, logins.Add(1)))(w, r)
		case "/accounts/api/me":
			answering(200, `{"client":{"org_id":"o"}}`)(w, r)
		default:
			refusals.Add(1)
			answering(401, "Unauthorized")(w, r)
		}
	})
	for n := range int32(5) {
		_, err := h.account.Organization(t.Context())
		h.Expect(err).NotTo(HaveOccurred(), "the token is good elsewhere")
		_, err = h.account.Gateways(t.Context(), prod)
		h.Expect(failed(t, err).Class).To(Equal(anypoint.MissingScope))
		h.Expect(logins.Load()).To(BeEquivalentTo(2), "the old token and one new")
		h.Expect(refusals.Load()).To(Equal(n + 2))
	}
}

// Others may use the new token with success while it is refused here.
func TestTokenIsNotFetchedTwice(t *testing.T) {
	var h *hostile
	h = newHostile(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/accounts/api/me" {
			answering(200, `{"client":{"org_id":"o"}}`)(w, r)
			return
		}
		_, err := h.account.Organization(r.Context())
		h.Expect(err).NotTo(HaveOccurred())
		answering(401, "Unauthorized")(w, r)
	})
	_, err := h.account.Gateways(t.Context(), prod)
	h.Expect(failed(t, err).Class).To(Equal(anypoint.MissingScope))
	_, logins := h.seen()
	h.Expect(logins).To(Equal(2))
}

func TestWhoeverAskedFirstMayLeave(t *testing.T) {
	b := newBench(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	b.Inject(simulator.Fault{Call: simulator.CallToken, Hook: func() { close(arrived); <-release }})
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		_, err := b.account.Organization(ctx)
		b.Expect(err).To(MatchError(context.Canceled))
		b.Expect(failed(t, err).Class).To(Equal(httpclient.Interrupted))
		close(release)
	})
	<-arrived
	all.Go(func() {
		_, err := b.account.Organization(t.Context())
		b.Expect(err).NotTo(HaveOccurred())
	})
	leave()
	all.Wait()
	b.Expect(b.count(simulator.CallToken)).To(Equal(1))
}
