package platform

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

func TestCalls(t *testing.T) {
	b := newBench(t)
	expiry := noon.Add(90*time.Hour + 120*time.Millisecond)
	b.SetReplicas(b.gateway.AgentID, simulator.Replica{ID: "r-1", Name: "pod-1.gateway", CertificateExpirationDate: expiry},
		simulator.Replica{ID: "r-2", Status: simulator.Disconnected}, simulator.Replica{ID: "r-3", NoCertificateDate: true})

	b.Expect(b.account.Organization(t.Context())).To(Equal(b.OrganizationID()))
	g, err := b.account.Gateway(t.Context(), b.in, b.gateway.AgentID)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(g).To(Equal(Gateway{ID: b.gateway.AgentID, Status: Connected}))
	b.Expect(b.account.Gateways(t.Context(), b.in)).To(ConsistOf(HaveField("ID", b.gateway.AgentID)))

	connected, err := b.account.Replicas(t.Context(), b.in, b.gateway.AgentID)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(connected).To(HaveLen(2))
	b.Expect(connected[0]).To(Equal(Replica{ID: "r-1", Name: "pod-1.gateway", Status: Connected, CertificateExpirationDate: Date{expiry}}))
	b.Expect(connected[1].CertificateExpirationDate.IsZero()).To(BeTrue(), "it has none")

	b.DeleteGateway(b.gateway.AgentID)
	g, err = b.account.Gateway(t.Context(), b.in, b.gateway.AgentID)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(g.Status).To(Equal(Deleted))
	b.Expect(b.account.Gateways(t.Context(), b.in)).To(ConsistOf(HaveField("Status", Deleted)))
}

func TestSeveralHundredReplicas(t *testing.T) {
	for _, n := range []int{0, 99, 100, 101, 200, 730} {
		b := newBench(t)
		b.SetReplicas(b.gateway.AgentID, make([]simulator.Replica, n)...)
		all, err := b.account.Replicas(t.Context(), b.in, b.gateway.AgentID)
		b.Expect(err).NotTo(HaveOccurred())
		b.Expect(all).To(HaveLen(n))
		b.Expect(b.count(simulator.CallReplicas)).To(Equal(n/100 + 1))
	}
}

// What is there changes before each page: each replica is listed once, with what was last said of it, all have been
// there, and where none vanished all that were there from the first page to the last are listed.
func TestPagesOfWhatChanges(t *testing.T) {
	for seed := range uint64(36) {
		random := rand.New(rand.NewPCG(seed, 1))
		vanishing := seed%2 == 1
		size := 100
		if seed%3 == 0 {
			size = 30 // the platform may take another size than it was asked for
		}
		var there []string
		next, pages := 0, 0
		last := map[string]string{}
		add := func() {
			next++
			there = slices.Insert(there, random.IntN(len(there)+1), strconv.Itoa(next))
		}
		for range random.IntN(500) {
			add()
		}
		first := len(there)
		h := newHostile(t, func(w http.ResponseWriter, r *http.Request) {
			number, err := strconv.Atoi(r.URL.Query().Get("pageNumber"))
			if err != nil || number != pages {
				w.WriteHeader(400)
				return
			}
			for range random.IntN(5) {
				if pages == 0 {
					break
				}
				add()
				if at := random.IntN(len(there)); vanishing {
					there = slices.Delete(there, at, at+1)
				}
			}
			pages++
			content := []any{}
			for i := number * size; i < len(there) && i < (number+1)*size; i++ {
				name := fmt.Sprintf("as of page %d", number)
				content = append(content, map[string]any{"id": there[i], "name": name, "status": Connected})
				last[there[i]] = name
			}
			if number == 0 && len(content) < size { // Not what was asked for.
				content = append(content, map[string]any{"id": "gone", "status": "DISCONNECTED"})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"content": content, "pageNumber": number, "pageSize": size})
		})
		all, err := h.account.Replicas(t.Context(), prod, "gw")
		h.Expect(err).NotTo(HaveOccurred(), "seed %d", seed)
		listed := map[string]string{}
		for _, r := range all {
			h.Expect(listed).NotTo(HaveKey(r.ID), "seed %d", seed)
			listed[r.ID] = r.Name
		}
		h.Expect(listed).To(Equal(last), "seed %d", seed)
		for id := 1; id <= first && !vanishing; id++ {
			h.Expect(listed).To(HaveKey(strconv.Itoa(id)), "seed %d", seed)
		}
	}
}

func TestListsWithoutAnEnd(t *testing.T) {
	var n atomic.Int64
	h := newHostile(t, func(w http.ResponseWriter, _ *http.Request) {
		content := []any{}
		for range 100 {
			content = append(content, map[string]any{"id": strconv.FormatInt(n.Add(1), 10)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"content": content})
	})
	_, err := h.account.Gateways(t.Context(), prod)
	h.Expect(failed(t, err).Class).To(Equal(httpclient.AnswerInvalid))
	requests, _ := h.seen()
	h.Expect(requests).To(HaveLen(maxPages))
}

func TestAnswersThatCantBeUsed(t *testing.T) {
	for name, c := range map[string]struct{ call, body string }{
		"garbage":              {"gateway", "<html>sign in"},
		"nothing":              {"gateway", ""},
		"null":                 {"gateway", "null"},
		"no id":                {"gateway", "{}"},
		"a list":               {"gateway", "[]"},
		"a number as id":       {"gateway", `{"id":7}`},
		"two answers":          {"gateway", `{"id":"a"}{"id":"b"}`},
		"cut off":              {"gateway", `{"id":"a"`},
		"deep":                 {"gateway", string(make([]byte, 100)) + `[`},
		"a list without list":  {"gateways", `{}`},
		"null as list":         {"gateways", `{"content":null}`},
		"null in a list":       {"gateways", `{"content":[null]}`},
		"replica without id":   {"replicas", `{"content":[{"name":"x"}]}`},
		"huge":                 {"replicas", `{"content":[]` + strings.Repeat(" ", 1<<20) + `}`},
		"nobody":               {"me", `{"client":{}}`},
		"an organization as 1": {"me", `{"client":{"org_id":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, answering(200, c.body, "Content-Type", "text/odd"+strings.Repeat("; very=odd", 30)))
			_, err := call(t, h.account, c.call)
			h.Expect(failed(t, err).Class).To(Equal(httpclient.AnswerInvalid))
			h.Expect(len(failed(t, err).Said)).To(BeNumerically("<=", 200))
			requests, _ := h.seen()
			h.Expect(requests).To(HaveLen(1), "a repeat would be of no use")
		})
	}
}

func TestAnswersWithoutAnEnd(t *testing.T) {
	h := newHostile(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 64<<10))
		}
	})
	_, err := h.account.Organization(t.Context())
	h.Expect(failed(t, err).Said).To(ContainSubstring("more than 1048576 bytes"))
}

func TestIDsThatWouldLeadElsewhereAreNotSent(t *testing.T) {
	h := newHostile(t, answering(200, `{"id":"a","content":[]}`))
	for _, id := range []string{"", ".", "..", "a/b", "../../x", "a?b", "a#b", "a%2fb", "a b", "ä", "a\n", string(make([]byte, 101))} {
		for _, in := range []Environment{{id, "env"}, {"org", id}} {
			_, err := h.account.Gateways(t.Context(), in)
			h.Expect(failed(t, err).Class).To(Equal(EnvironmentNotFound), "%q", id)
		}
		_, err := h.account.Gateway(t.Context(), prod, id)
		h.Expect(failed(t, err).Class).To(Equal(GatewayNotFound), "%q", id)
		_, err = h.account.Replicas(t.Context(), prod, id)
		h.Expect(failed(t, err).Class).To(Equal(GatewayNotFound), "%q", id)
	}
	requests, logins := h.seen()
	h.Expect(len(requests) + logins).To(BeZero())
}

func TestDates(t *testing.T) {
	at := time.Date(2027, 10, 31, 15, 31, 46, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2027-10-31T15:31:46.00Z"`:        at,
		`"2027-10-31T15:31:46Z"`:           at,
		`"2027-10-31T15:31:46.1Z"`:         at.Add(100 * time.Millisecond),
		`"2027-10-31T15:31:46.123Z"`:       at.Add(123 * time.Millisecond),
		`"2027-10-31T15:31:46.123456789Z"`: at.Add(123456789),
		`"2027-10-31T17:31:46.00+02:00"`:   at,
		`null`:                             {},
		`""`:                               {},
		`"soon"`:                           {},
		`"2027-10-31"`:                     {},
		`"2027-02-30T00:00:00Z"`:           {},
		`1824996706`:                       {},
		`{"at":"2027-10-31T15:31:46.00Z"}`: {},
	} {
		d := Date{at.Add(time.Hour)}
		NewWithT(t).Expect(json.Unmarshal([]byte(text), &d)).To(Succeed(), text)
		NewWithT(t).Expect(d.Time).To(Equal(want), text)
	}
}

func FuzzDate(f *testing.F) {
	for _, seed := range []string{"2027-10-31T15:31:46.00Z", "2027-10-31T15:31:46.1234567890123Z", "9999-12-31T23:59:59-23:59", "", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g := NewWithT(t)
		quoted, err := json.Marshal(text)
		g.Expect(err).NotTo(HaveOccurred())
		var r Replica
		g.Expect(json.Unmarshal([]byte(`{"id":"a","certificateExpirationDate":`+string(quoted)+`}`), &r)).To(Succeed())
		g.Expect(r.ID).To(Equal("a"), "the rest is read")
		d := r.CertificateExpirationDate
		g.Expect(d.Location()).To(Equal(time.UTC))
		if !d.IsZero() && d.Year() > 0 && d.Year() < 10000 {
			var again Date
			g.Expect(again.UnmarshalJSON([]byte(d.Format(`"` + time.RFC3339Nano + `"`)))).To(Succeed())
			g.Expect(again).To(Equal(d))
		}
	})
}
