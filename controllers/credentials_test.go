package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	anypointhttp "github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("Credentials", Ordered, func() {
	// The operator of the other specs has nobody to ask.
	BeforeAll(func() {
		path := filepath.Join(GinkgoT().TempDir(), "ca.crt")
		Expect(platform.WriteCA(path)).To(Succeed())
		ca, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		operatorOptions.Platform, err = anypointhttp.New(anypointhttp.Options{Hosts: operatorOptions.AnypointHosts, CA: ca, UserAgent: "test", Clock: clk})
		Expect(err).NotTo(HaveOccurred())
		restart()
		DeferCleanup(func() {
			operatorOptions.Platform = nil
			restart()
		})
	})
	tokens := func() int {
		asked := 0
		for _, request := range platform.Requests() {
			if request.Call == simulator.CallToken {
				asked++
			}
		}
		return asked
	}

	It("are checked long before a renewal is due, once a day, and when they change", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		asked := tokens()
		clk.Step(23 * time.Hour)
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Annotations = map[string]string{"a": "b"} })
		Consistently(tokens).Should(Equal(asked))

		By("telling that they are refused, which Ready does not depend on")
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong")})
		s.eventually(v1alpha1.ConditionCredentialsValid, "False/CredentialsRejected")
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Eventually(s.events).Should(ContainElement(And(HavePrefix("CredentialsRejected: "), Not(ContainSubstring("wrong")))))
		asked = tokens()
		restart()
		Consistently(tokens).Should(Equal(asked), "a refused credential is not tried again and again")

		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret)})
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		asked = tokens()
		clk.Step(27 * time.Hour)
		Eventually(tokens).Should(Equal(asked + 1))
	})

	It("share one token, and one answer to how they are", func(ctx context.Context) {
		first := newScene(ctx, 300*day)
		first.create()
		first.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		asked := tokens()
		second := newScene(ctx, 300*day)
		second.create()
		second.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		Expect(tokens()).To(Equal(asked))
	})

	It("are Unknown where the platform does not answer, and are asked for an hour later", func(ctx context.Context) {
		platform.Inject(simulator.Fault{Call: simulator.CallToken, Kind: simulator.Unavailable503, Times: -1})
		clk.Step(48 * time.Hour) // no token lives so long
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() string { clk.Step(time.Second); return s.condition(v1alpha1.ConditionCredentialsValid) }).Should(Equal("Unknown/PlatformUnavailable"))
		platform.ClearFaults()
		clk.Step(61 * time.Minute)
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
	})
})
