package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
)

func intstrOf(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }

var _ = Describe("A fleet", Ordered, func() {
	// The operator of the other specs takes no notice of the rollouts that fail there.
	BeforeAll(func() {
		operatorOptions.MaxFailedRollouts = 2
		restart()
		DeferCleanup(func() {
			operatorOptions.MaxFailedRollouts = 0
			restart()
		})
	})

	// failing has a rollout that fails.
	failing := func(ctx context.Context) *scene {
		GinkgoHelper()
		clk.Step(time.Second) // Times in the status have seconds.
		s := newScene(ctx, 2*day)
		s.edit(func(d *appsv1.Deployment) {
			d.Spec.Paused = true
			d.Spec.ProgressDeadlineSeconds = ptr.To[int32](1)
		})
		s.annotate(map[string]string{controlplane.PodAnnotation: controlplane.PodNotReady})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		s.edit(resumedDeployment)
		Eventually(func() bool { return s.status().Rollout.FailureTime != nil }).Should(BeTrue())
		return s
	}
	// succeeding ends every row of failures.
	succeeding := func(ctx context.Context) {
		GinkgoHelper()
		clk.Step(time.Second)
		s := newScene(ctx, 2*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	}

	// pausing has two rollouts fail in a row, of which it returns the last, and a renewal wait because of that.
	pausing := func(ctx context.Context) (failed, waiting *scene) {
		GinkgoHelper()
		succeeding(ctx)
		failing(ctx)
		failed = failing(ctx)
		waiting = newScene(ctx, 10*day)
		waiting.create()
		waiting.eventually(v1alpha1.ConditionReady, "True/FleetPaused")
		return failed, waiting
	}

	It("renews no more but what is urgent, or asked for, after two rollouts have failed, until one succeeds", func(ctx context.Context) {
		succeeding(ctx)
		first := failing(ctx)
		one := newScene(ctx, 10*day)
		one.create()
		one.eventually(v1alpha1.ConditionReady, "True/Scheduled") // One failure is none in a row, and this ends it.
		failing(ctx)
		failing(ctx)

		waiting, asking, urgent := newScene(ctx, 10*day), newScene(ctx, 10*day), newScene(ctx, 2*day)
		waiting.create()
		waiting.eventually(v1alpha1.ConditionReady, "True/FleetPaused")
		Expect(waiting.message(v1alpha1.ConditionReady)).To(ContainSubstring("the last 2 rollouts of gateways have failed"))
		Expect(waiting.message(v1alpha1.ConditionReady)).NotTo(ContainSubstring("gateway-"), "other namespaces are nobody's business")
		Eventually(waiting.events).Should(ContainElement(HavePrefix("FleetPaused: ")))
		restart()
		Consistently(waiting.renewals).Should(BeZero())

		By("going on with what a person asks for, whose success ends the pause")
		clk.Step(time.Second)
		asking.annotate(map[string]string{controlplane.PodAnnotation: controlplane.PodSlow, controlplane.AfterAnnotation: "1s"})
		asking.fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		asking.create()
		Eventually(asking.renewals).Should(Equal(1))
		urgent.create()
		Eventually(urgent.renewals).Should(Equal(1))
		asking.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		waiting.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(first.condition(v1alpha1.ConditionReady)).To(Equal("False/RolloutFailed"))
	})

	It("is not set going by a gateway that went back to what it had", func(ctx context.Context) {
		back, s := pausing(ctx)
		back.annotate(map[string]string{controlplane.PodAnnotation: ""})
		before, err := registration.Parse(map[string][]byte{registration.DefaultKey: back.gateway.File}, registration.DefaultKey)
		Expect(err).NotTo(HaveOccurred())
		back.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = before.Certificate().SerialNumber })
		Eventually(func() string { return back.condition(v1alpha1.ConditionReady) }).Should(HaveSuffix("/Pinned"))
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/FleetPaused"))
	})

	It("does not count gateways that are suspended", func(ctx context.Context) {
		known, s := pausing(ctx)
		known.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("tries one renewal a day", func(ctx context.Context) {
		succeeding(ctx)
		failing(ctx)
		failing(ctx)
		bad := map[string]string{controlplane.PodAnnotation: controlplane.PodNotReady}
		both := []*scene{newScene(ctx, 20*day), newScene(ctx, 20*day)}
		for _, s := range both {
			s.edit(pausedDeployment)
			s.annotate(bad)
			s.create()
			s.eventually(v1alpha1.ConditionReady, "True/FleetPaused")
		}
		renewed := func() int { return both[0].renewals() + both[1].renewals() }
		for range 2 {
			before := renewed()
			clk.Step(24*time.Hour + time.Second)
			Eventually(renewed).Should(Equal(before + 1))
			Consistently(renewed).Should(Equal(before + 1))
		}
	})
})

var _ = Describe("Turns", func() {
	It("counts rollouts among what may be under way, and begins with the most urgent", func(ctx context.Context) {
		var rolling []*scene
		for range 4 { // as many as the operator may have under way
			s := newScene(ctx, 10*day)
			s.edit(func(d *appsv1.Deployment) { d.Spec.ProgressDeadlineSeconds = ptr.To[int32](600) })
			s.annotate(map[string]string{controlplane.PodAnnotation: controlplane.PodNotReady})
			s.create()
			s.eventually(v1alpha1.ConditionReady, "True/RollingOut")
			rolling = append(rolling, s)
		}
		later, sooner := newScene(ctx, 12*day), newScene(ctx, 8*day)
		later.create()
		later.eventually(v1alpha1.ConditionReady, "True/Queued")
		sooner.create()
		sooner.eventually(v1alpha1.ConditionReady, "True/Queued")
		restart()
		Consistently(func() int { return later.renewals() + sooner.renewals() }).Should(BeZero())
		rolling[0].annotate(map[string]string{controlplane.PodAnnotation: ""})
		rolling[0].eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() int { clk.Step(time.Second); return sooner.renewals() }).Should(Equal(1))
		sooner.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() int { clk.Step(time.Second); return later.renewals() }).Should(Equal(1))
		later.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(platform.Renewals(later.gateway.AgentID)[0].Time).To(BeTemporally(">=", platform.Renewals(sooner.gateway.AgentID)[0].Time))
	})
})
