package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// call makes one of the calls.
func call(t *testing.T, a *Account, which string) (any, error) {
	switch which {
	case "me":
		return a.Organization(t.Context())
	case "gateways":
		return a.Gateways(t.Context(), prod)
	case "gateway":
		return a.Gateway(t.Context(), prod, "gw-1")
	default:
		return a.Replicas(t.Context(), prod, "gw-1")
	}
}

func TestClassesOfRefusals(t *testing.T) {
	const capacity = "503 Service Unavailable: Back-end server is at capacity"
	gone := `{"message":"Gateway not found by id"}`
	for name, c := range map[string]struct {
		call     string
		status   int
		body     string
		class    anypoint.Class
		requests int
	}{
		"missing scope, 401":       {"me", 401, "Unauthorized", anypoint.MissingScope, 1},
		"missing scope, 403":       {"gateways", 403, "Forbidden", anypoint.MissingScope, 1},
		"gateway gone":             {"gateway", 404, gone, GatewayNotFound, 1},
		"gateway of replicas gone": {"replicas", 404, gone, GatewayNotFound, 1},
		"no environment":           {"gateways", 404, "", EnvironmentNotFound, 1},
		"no environment, gateway":  {"gateway", 404, "Not Found", EnvironmentNotFound, 1},
		"odd words about gateways": {"gateways", 404, gone, EnvironmentNotFound, 1},
		"no such call":             {"me", 404, "Not Found", anypoint.RequestRefused, 1},
		"wrong page size":          {"gateways", 400, "Wrong page size", anypoint.RequestRefused, 1},
		"conflict":                 {"gateway", 409, "", anypoint.RequestRefused, 1},
		"failure":                  {"gateway", 500, "", anypoint.PlatformUnavailable, 3},
		"bad gateway":              {"gateway", 502, "", anypoint.PlatformUnavailable, 3},
		"unavailable":              {"gateway", 503, "", anypoint.PlatformUnavailable, 3},
		"capacity":                 {"gateway", 503, capacity, anypoint.RateLimited, 1},
		"too many":                 {"gateway", 429, "", anypoint.RateLimited, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, answering(c.status, c.body))
			_, err := call(t, h.account, c.call)
			e := failed(t, err)
			h.Expect(e.Class).To(Equal(c.class))
			h.Expect(e.Status).To(Equal(c.status))
			h.Expect(e.Said).To(Equal(c.body))
			requests, logins := h.seen()
			h.Expect(requests).To(HaveLen(c.requests))
			h.Expect(logins).To(Equal(1), "a fresh token is not fetched again")
			h.Expect(e.Error()).To(And(ContainSubstring("GET "+requests[0].URL.Path), ContainSubstring("HTTP %d", c.status), Not(ContainSubstring("?"))))
		})
	}
}

func TestClassesOfRefusedCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		user     bool
		status   int
		body     string
		class    anypoint.Class
		requests int32
	}{
		"app":              {false, 401, "Unauthorized", anypoint.CredentialsRejected, 1},
		"app, OAuth":       {false, 400, `{"error":"invalid_client"}`, anypoint.CredentialsRejected, 1},
		"app, forbidden":   {false, 403, "", anypoint.CredentialsRejected, 1},
		"app, of MFA":      {false, 401, "MFA", anypoint.CredentialsRejected, 1},
		"user":             {true, 401, "Unauthorized", anypoint.CredentialsRejected, 1},
		"user, MFA":        {true, 401, "multi-factor authentication is required", anypoint.MFARequired, 1},
		"user, MFA by 403": {true, 403, "MFA is on", anypoint.MFARequired, 1},
		"user, two-factor": {true, 400, "Two-Factor", anypoint.MFARequired, 1},
		"elsewhere":        {false, 404, "", anypoint.RequestRefused, 1},
		"down":             {false, 500, "", anypoint.PlatformUnavailable, 3},
		"user, down":       {true, 503, "", anypoint.PlatformUnavailable, 3},
		"limited":          {false, 429, "", anypoint.RateLimited, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			h := newRaw(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				answering(c.status, c.body)(w, r)
			})
			if c.user {
				h.account = h.of(user(t, "ana", testPassword))
			}
			_, err := h.account.Organization(t.Context())
			h.Expect(failed(t, err).Class).To(Equal(c.class))
			h.Expect(err.Error()).To(ContainSubstring("asking for a token with POST /accounts/"))
			h.Expect(requests.Load()).To(Equal(c.requests))
		})
	}
}

// What is refused is told by the status, whatever becomes of the page that a proxy makes of it.
func TestRefusalsWithoutAWholePage(t *testing.T) {
	for said, page := range map[string]func(status int) http.HandlerFunc{
		"it has more than 1048576 bytes": func(status int) http.HandlerFunc { return answering(status, strings.Repeat("x", 2<<20)) },
		"it broke off":                   func(status int) http.HandlerFunc { return answering(status, "half", "Content-Length", "8") },
	} {
		for status, class := range map[int]anypoint.Class{403: anypoint.MissingScope, 429: anypoint.RateLimited, 503: anypoint.PlatformUnavailable} {
			_, err := newHostile(t, page(status)).account.Organization(t.Context())
			NewWithT(t).Expect(failed(t, err)).To(And(HaveField("Class", class), HaveField("Status", status), HaveField("Said", said)))
		}
		var logins atomic.Int32
		h := newRaw(t, func(w http.ResponseWriter, r *http.Request) {
			logins.Add(1)
			page(401)(w, r)
		})
		for range 2 {
			_, err := h.account.Organization(t.Context())
			h.Expect(failed(t, err).Class).To(Equal(anypoint.CredentialsRejected))
		}
		h.Expect(logins.Load()).To(BeEquivalentTo(1), "nothing brings the account nearer to being locked")
	}
}

func TestErrorsOfTheSimulatedPlatform(t *testing.T) {
	b := newBench(t)
	_, err := b.account.Gateway(t.Context(), b.in, "nobody")
	b.Expect(failed(t, err).Class).To(Equal(GatewayNotFound))
	_, err = b.account.Gateways(t.Context(), Environment{"another", b.EnvironmentID()})
	b.Expect(failed(t, err).Class).To(Equal(anypoint.MissingScope))
	b.SetScopes(b.app, simulator.ScopeViewOrganization)
	_, err = b.account.Replicas(t.Context(), b.in, b.gateway.AgentID)
	b.Expect(failed(t, err).Class).To(Equal(anypoint.MissingScope))
	b.Expect(b.count(simulator.CallToken)).To(Equal(1))
	b.Expect(err).To(MatchError(ContainSubstring("give the connected app the scopes")))
}

func TestFaultsThatPass(t *testing.T) {
	b := newBench(t)
	for _, kind := range []simulator.FaultKind{simulator.Status500, simulator.Unavailable503, simulator.DropBefore, simulator.DropAfter} {
		b.Inject(simulator.Fault{Kind: kind, Times: 2})
		b.account.Forget(0)
		_, err := b.account.Gateways(t.Context(), b.in)
		b.Expect(err).NotTo(HaveOccurred(), "%s", kind)
	}
	for _, wait := range b.clock.waits() {
		b.Expect(wait).To(BeNumerically("<=", 800*time.Millisecond))
		b.Expect(wait).To(BeNumerically(">=", 200*time.Millisecond))
	}
	b.Expect(b.clock.waits()).NotTo(BeEmpty())

	b.Inject(simulator.Fault{Call: simulator.CallGateways, Kind: simulator.DropBefore, Times: -1})
	_, err := b.account.Gateways(t.Context(), b.in)
	b.Expect(failed(t, err).Class).To(Equal(anypoint.PlatformUnavailable))
	b.Expect(err.Error()).NotTo(Or(ContainSubstring("pageSize"), ContainSubstring(b.Host())), "of the URL the path only")
}

func TestSlowAnswers(t *testing.T) {
	slow := map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drops": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		},
	}
	for name, answer := range slow {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, answer)
			h.client.RequestTimeout = 50 * time.Millisecond
			_, err := h.account.Organization(t.Context())
			h.Expect(failed(t, err).Class).To(Equal(anypoint.PlatformUnavailable))
			requests, _ := h.seen()
			h.Expect(requests).To(HaveLen(3))

			h.client.RequestTimeout, h.client.CallTimeout = time.Minute, 50*time.Millisecond
			_, err = h.account.Organization(t.Context())
			h.Expect(failed(t, err).Class).To(Equal(anypoint.PlatformUnavailable))
			h.Expect(err).To(MatchError(context.DeadlineExceeded))

			h.client.CallTimeout = time.Minute
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = h.account.Organization(ctx)
			h.Expect(err).To(MatchError(context.DeadlineExceeded))
		})
	}
}

// A server that sends back whatever it was sent, in all ways that HTTP has, learns nothing about what is logged.
func TestSecretsAreInNoError(t *testing.T) {
	for kind, c := range map[string]struct {
		credentials anypoint.Credentials
		secrets     []string
	}{
		"app":  {app(t, "an-app", testSecret), []string{testSecret, testToken}},
		"user": {user(t, "pass", testPassword), []string{testPassword, testToken}}, // the name begins the password
	} {
		var spelled []string
		for _, s := range c.secrets {
			quoted, _ := json.Marshal(s)
			spelled = append(spelled, s, string(quoted[1:len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s), strings.ToLower(url.QueryEscape(s)))
		}
		everything := strings.Join(spelled, " ")
		ways := map[string]http.HandlerFunc{
			"text": nil,
			"pieces": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(500)
				_, _ = w.Write([]byte(strings.Join(strings.Split(everything, ""), "\x00")))
			},
			"far":    answering(400, strings.Repeat("\x01 ", 100_000)+everything),
			"at 200": answering(400, strings.Repeat("x ", 97)+everything),
			"JSON": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(404)
				_ = json.NewEncoder(w).Encode(c.secrets)
			},
			"redirect": answering(302, everything, "Location", "https://"+url.QueryEscape(everything)),
			"type":     answering(200, "x", "Content-Type", everything),
			"garbage":  answering(200, everything),
			"number":   answering(200, `{"client":{"org_id":"`+testToken+`"},"content":"`+testToken+`","id":{"`+testToken+`":1}}`),
			"labelled": answering(500, `{"access_token":"`+testToken+`","token_type":"bearer"}`),
			"bearer":   answering(500, "Authorization: Bearer "+testToken),
			"no HTTP":  raw("HTP " + everything + "\r\n\r\n"),
			"header":   raw("HTTP/1.1 200 OK\r\n" + everything + "\r\n\r\n"),
			"length":   raw("HTTP/1.1 200 OK\r\nContent-Length: " + testToken + "\r\n\r\n"),
			"encoding": raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + testToken + "\r\n\r\n"),
		}
		for _, status := range []int{400, 401, 403, 404, 409, 429, 500, 503} {
			ways[fmt.Sprint(status)] = answering(status, everything)
		}
		// What was sent, as it was sent.
		ways["text"] = func(w http.ResponseWriter, r *http.Request) {
			var sent bytes.Buffer
			_ = r.Write(&sent)
			w.WriteHeader(418)
			_, _ = w.Write(sent.Bytes())
		}
		for way, answer := range ways {
			for _, target := range []string{"token", "api"} {
				t.Run(kind+"/"+way+"/"+target, func(t *testing.T) {
					h := newRaw(t, func(w http.ResponseWriter, r *http.Request) {
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(bytes.NewReader(body))
						if target == "api" && r.Method == http.MethodPost {
							_, _ = w.Write([]byte(`{"access_token":"` + testToken + `"}`))
							return
						}
						answer(w, r)
					})
					account := h.of(c.credentials)
					for _, which := range []string{"me", "gateways", "gateway", "replicas"} {
						result, err := call(t, account, which)
						if err == nil { // the organization's name may be anything
							h.Expect(result).To(Equal(testToken))
							continue
						}
						e := failed(t, err)
						h.Expect(len(e.Said)).To(BeNumerically("<=", 200))
						h.Expect(utf8.ValidString(e.Said)).To(BeTrue())
						for _, shown := range []string{err.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e), fmt.Sprintf("%+v %#v", account, account)} {
							h.Expect(shown).NotTo(ContainSubstring("\n"))
							for _, secret := range spelled {
								// What is no answer to a request for a token has no token that was ever known, unless it says so.
								if secret != testToken || target == "api" || way == "labelled" || way == "bearer" || way == "text" {
									h.Expect(shown).NotTo(ContainSubstring(secret))
								}
							}
						}
					}
				})
			}
		}
	}
}

// raw sends bytes that need not be HTTP.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		_, _ = io.WriteString(connection, answer)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"content":[{"id":"a","certificateExpirationDate":"2027-10-31T15:31:46.00Z"}]}`, `{"id":"a","replicas":[{"count":1}]}`, `{`, "null", "\x00"} {
		f.Add(200, "text/plain", seed)
		f.Add(503, "", seed)
	}
	var answer atomic.Pointer[http.HandlerFunc]
	h := newHostile(f, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		if status < 200 || status > 599 || strings.ContainsAny(kind, "\r\n") {
			t.Skip()
		}
		next := answering(status, body, "Content-Type", kind)
		answer.Store(&next)
		for _, which := range []string{"me", "gateways", "gateway", "replicas"} {
			h.clock.Step(time.Hour)
			if _, err := call(t, h.account, which); err != nil {
				e := failed(t, err)
				NewWithT(t).Expect(e.Class).NotTo(BeEmpty())
				NewWithT(t).Expect(len(e.Said)).To(BeNumerically("<=", 200))
				NewWithT(t).Expect(e.Error()).NotTo(ContainSubstring("\n"))
			}
		}
	})
}
