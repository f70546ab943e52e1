package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// counted counts requests to the API server about one namespace by what they do. Other specs have left records, which are
// retired meanwhile.
type counted struct {
	namespace string
	mu        sync.Mutex
	by        map[string]int
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func (c *counted) wrap(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		if !strings.Contains(r.URL.Path+"/", "/namespaces/"+c.namespace+"/") {
			return next.RoundTrip(r)
		}
		kind := r.Method
		switch path := strings.Split(strings.Trim(r.URL.Path, "/"), "/"); {
		case r.URL.Query().Get("dryRun") != "":
			kind = "dry run"
		case r.Method != http.MethodGet:
			kind += " " + path[len(path)-1]
		}
		c.mu.Lock()
		c.by[kind]++
		c.mu.Unlock()
		return next.RoundTrip(r)
	})
}

func (c *counted) reset() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.by
	c.by = map[string]int{}
	return was
}

var _ = Describe("A week at rest", Ordered, func() {
	requests := &counted{namespace: "fleet", by: map[string]int{}}
	BeforeAll(func() {
		operatorOptions.Transport = requests.wrap
		DeferCleanup(func() { operatorOptions.Transport = nil })
		asking()
	})

	It("costs a fleet of a hundred that shares its credentials the daily checks", func(ctx context.Context) {
		const fleet = 100
		clk.Step(2 * time.Hour)
		Expect(admin.Create(ctx, operator.Namespace("fleet"))).To(Succeed())
		Expect(admin.Create(ctx, operator.CredentialsSecret("fleet", appID, appSecret))).To(Succeed())
		agents := map[string]bool{}
		for i := range fleet {
			name := fmt.Sprintf("gateway-%d", i)
			g, err := platform.Register(name, 300*day)
			Expect(err).NotTo(HaveOccurred())
			agents[g.AgentID] = true
			platform.SetReplicas(g.AgentID, simulator.Replica{})
			Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: name}, Data: map[string][]byte{"registration.yaml": g.File}})).To(Succeed())
		}
		platform.ResetRequests()
		for i := range fleet {
			fr := operator.FlexRegistration("fleet", fmt.Sprintf("gateway-%d", i))
			fr.Spec.TargetRef, fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: fr.Name}
			Expect(admin.Create(ctx, fr)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, fr)).To(Succeed()) })
		}
		var all v1alpha1.FlexRegistrationList
		settled := func(g Gomega) {
			clk.Step(15 * time.Second) // Only some workers ask at a time; others wait.
			g.Expect(admin.List(ctx, &all, client.InNamespace("fleet"))).To(Succeed())
			for i := range all.Items {
				g.Expect(all.Items[i].Status.Checks).To(HaveLen(3))
				for _, check := range all.Items[i].Status.Checks {
					g.Expect(check.Version).NotTo(BeEmpty(), "it was made")
					// A wait may begin after the clock was moved on, and is then longer by that.
					g.Expect(check.NextTime.Time).To(BeTemporally(">", clk.Now().Add(-2*time.Hour)))
				}
			}
		}
		Eventually(settled).WithTimeout(time.Minute).Should(Succeed())
		Expect([]int{tokens(), asked(simulator.CallMe), asked(simulator.CallEnvironments), asked(simulator.CallGateway), asked(simulator.CallReplicas)}).
			To(Equal([]int{1, 1, 1, fleet, fleet}), "one token and one listing for all")

		requests.reset()
		platform.ResetRequests()
		for range 7 * 24 {
			clk.Step(time.Hour)
			Eventually(settled).Should(Succeed())
		}
		perAgent := map[string]int{}
		for _, request := range platform.Requests() {
			perAgent[string(request.Call)+" "+request.AgentID]++
		}
		for agent := range agents {
			Expect(perAgent["gateway "+agent]).To(BeNumerically("~", 6, 1), "the days drift apart")
			Expect(perAgent["replicas "+agent]).To(BeNumerically("~", 6, 1))
		}
		Expect(asked(simulator.CallMe, simulator.CallEnvironments, simulator.CallGateways)).To(BeZero(), "where gateways are is remembered")
		Expect(tokens()).To(BeNumerically("<=", 7*24), "no token lives for the hour by which the clock is moved, and all that ask meanwhile share one")
		by := requests.reset()
		AddReportEntry("requests of a week", fmt.Sprintf("platform: %d tokens, %d gateways, %d replicas; API server: %v", tokens(), asked(simulator.CallGateway), asked(simulator.CallReplicas), by))
		for kind := range by {
			Expect(kind).To(Or(Equal("GET"), Equal("dry run"), Equal("PATCH status")), "nothing is written but what the checks have found")
		}
		Expect(by["PATCH status"]).To(BeNumerically("~", 6*fleet, fleet), "one write for all checks of a day")

		By("costing nothing for each at a restart")
		Eventually(func(g Gomega) {
			clk.Step(time.Minute)
			settled(g)
			for i := range all.Items {
				for _, check := range all.Items[i].Status.Checks {
					g.Expect(check.NextTime.Time).To(BeTemporally(">", clk.Now().Add(time.Minute)), "nothing is due just now")
				}
			}
		}).WithTimeout(time.Minute).Should(Succeed())
		Eventually(requests.reset).Should(BeEmpty())
		before := len(platform.Requests())
		logged := len(logs.String())
		restart()
		Eventually(func() string { return logs.String()[logged:] }).Should(ContainSubstring("Starting workers"))
		Consistently(requests.reset).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(platform.Requests()).To(HaveLen(before))
	})
})
