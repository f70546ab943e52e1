package metrics

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

// reviewer is an API server that knows a few tokens, one of which may get metrics. It counts what it is asked.
type reviewer struct {
	*WithT
	reviews map[string]int
	broken  bool
	// unsure: it can't tell whose tokens are that it doesn't know.
	unsure bool
}

func (s *reviewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	s.reviews[kind]++
	w.Header().Set("Content-Type", "application/json")
	if s.broken {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
		return
	}
	switch kind {
	case "tokenreviews":
		review := authenticationv1.TokenReview{}
		s.Expect(json.NewDecoder(r.Body).Decode(&review)).To(Succeed())
		if token := review.Spec.Token; token == "prometheus" || token == "somebody" || token == "denied" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{
				Username: token, UID: "7", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"e": {"v"}},
			}}
		} else if s.unsure {
			review.Status.Error = "the webhook can't be reached"
		}
		s.Expect(json.NewEncoder(w).Encode(review)).To(Succeed())
	case "subjectaccessreviews":
		review := authorizationv1.SubjectAccessReview{}
		s.Expect(json.NewDecoder(r.Body).Decode(&review)).To(Succeed())
		is := review.Spec
		s.Expect(is.UID).To(Equal("7"))
		s.Expect(is.Groups).To(Equal([]string{"g"}))
		s.Expect(is.Extra).To(Equal(map[string]authorizationv1.ExtraValue{"e": {"v"}}))
		review.Status.Denied = is.User == "denied"
		review.Status.Allowed = is.User != "somebody" && *is.NonResourceAttributes == authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}
		s.Expect(json.NewEncoder(w).Encode(review)).To(Succeed())
	default:
		http.NotFound(w, r)
	}
}

func TestMetricsAreForThoseWhoMayGetThem(t *testing.T) {
	g := NewWithT(t)
	cluster := &reviewer{WithT: g, reviews: map[string]int{}}
	api := httptest.NewServer(cluster)
	t.Cleanup(api.Close)
	config := &rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	clk := clocktesting.NewFakeClock(time.Now())
	filter, err := Access{clk}.Filter(config, api.Client())
	g.Expect(err).NotTo(HaveOccurred())
	var logged strings.Builder
	handler, err := filter(funcr.New(func(_, line string) { logged.WriteString(line) }, funcr.Options{}), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "the metrics")
	}))
	g.Expect(err).NotTo(HaveOccurred())
	get := func(method, path, authorization string) int {
		request := httptest.NewRequest(method, path, nil)
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		g.Expect(answer.Body.String() == "the metrics").To(Equal(answer.Code == http.StatusOK))
		return answer.Code
	}

	for authorization, want := range map[string]int{
		"":                    http.StatusUnauthorized,
		"Bearer":              http.StatusUnauthorized,
		"Bearer  ":            http.StatusUnauthorized,
		"Basic prometheus":    http.StatusUnauthorized,
		"prometheus":          http.StatusUnauthorized,
		"Bearer nobody-knows": http.StatusUnauthorized,
		"Bearer somebody":     http.StatusForbidden,
		"Bearer denied":       http.StatusForbidden,
		"Bearer prometheus":   http.StatusOK,
		"bearer prometheus":   http.StatusOK,
	} {
		g.Expect(get(http.MethodGet, "/metrics", authorization)).To(Equal(want), authorization)
	}
	g.Expect(cluster.reviews).To(Equal(map[string]int{"tokenreviews": 4, "subjectaccessreviews": 3}), "each token is asked about once, and no other header")
	g.Expect(get(http.MethodPost, "/metrics", "Bearer prometheus")).To(Equal(http.StatusForbidden), "what may be got is not to be posted to")
	g.Expect(get(http.MethodGet, "/debug", "Bearer prometheus")).To(Equal(http.StatusForbidden))

	cluster.unsure = true
	g.Expect(get(http.MethodGet, "/metrics", "Bearer late")).To(Equal(http.StatusUnauthorized))
	g.Expect(logged.String()).To(ContainSubstring("reviewing a token: the webhook can't be reached"))
	asked := cluster.reviews["tokenreviews"]
	g.Expect(get(http.MethodGet, "/metrics", "Bearer late")).To(Equal(http.StatusUnauthorized))
	g.Expect(cluster.reviews["tokenreviews"]).To(Equal(asked+1), "that nobody could say whose it is is not remembered")

	cluster.unsure, cluster.broken = false, true
	g.Expect(get(http.MethodGet, "/metrics", "Bearer prometheus")).To(Equal(http.StatusOK), "it is remembered")
	g.Expect(get(http.MethodGet, "/metrics", "Bearer another")).To(Equal(http.StatusInternalServerError))
	g.Expect(logged.String()).To(And(ContainSubstring("creating a TokenReview"), Not(ContainSubstring("another"))))
	clk.Step(time.Minute + time.Second)
	g.Expect(get(http.MethodGet, "/metrics", "Bearer prometheus")).To(Equal(http.StatusInternalServerError), "it is remembered for a minute")
	cluster.broken = false
	g.Expect(get(http.MethodGet, "/metrics", "Bearer another")).To(Equal(http.StatusUnauthorized), "that nobody could be asked is not remembered")
}
