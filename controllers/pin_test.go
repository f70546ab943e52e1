package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("Going back", func() {
	pin := func(s *scene, serial string) {
		GinkgoHelper()
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = serial })
	}

	It("publishes and rolls the registration before, stays there, and leaves again", func(ctx context.Context) {
		s := newScene(ctx, 60*day)
		s.fr.Spec.Renewal.Before = &metav1.Duration{Duration: 1440 * time.Hour}
		before := s.certificate()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		newest := s.certificate()
		Expect(newest).NotTo(Equal(before))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Renewal.Before = &metav1.Duration{Duration: 24 * time.Hour}
		})

		pin(s, before.SerialNumber)
		s.eventually(v1alpha1.ConditionReady, "True/Pinned")
		Expect(s.certificate()).To(Equal(before))
		Expect(s.rolledTo()).To(Equal(before.Fingerprint + "-2"))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring(before.SerialNumber))
		Eventually(s.events).Should(ContainElement(HavePrefix("Pinned: ")))

		By("renewing nothing, also when it is due and asked for, and telling so")
		clk.Step(59*day + 13*time.Hour)
		s.eventually(v1alpha1.ConditionReady, "False/Pinned")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/Pinned"))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "please"}
		})
		Consistently(s.renewals).Should(Equal(1))
		restart()
		Consistently(s.renewals).Should(Equal(1))
		Expect(s.certificate()).To(Equal(before))

		By("going on with the newest")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin, fr.Annotations = "", nil })
		Eventually(s.certificate).Should(Equal(newest))
		Eventually(s.rolledTo).Should(Equal(newest.Fingerprint + "-3"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("keeps the newest where that is pinned, and fights nobody", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		newest := s.certificate()
		pin(s, newest.SerialNumber)
		s.eventually(v1alpha1.ConditionReady, "True/Pinned")
		Expect(s.rolledTo()).To(HaveSuffix("-1"), "nothing is rolled that is there")
		s.put(operator.SecretName, old)
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("instead of " + newest.SerialNumber))
		Consistently(s.certificate).ShouldNot(Equal(newest))
		pin(s, "")
		Eventually(s.certificate).Should(Equal(newest))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("loses nothing that somebody else has renewed meanwhile", func(ctx context.Context) {
		s, _ := renewedScene(ctx)
		pin(s, s.certificate().SerialNumber)
		s.eventually(v1alpha1.ConditionReady, "True/Pinned")
		s.renewByHand()
		theirs := s.certificate()
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("holds certificate " + theirs.SerialNumber))
		Consistently(s.certificate).Should(Equal(theirs))
		pin(s, "")
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate()).To(Equal(theirs))
		Expect(s.rolledTo()).To(HavePrefix(theirs.Fingerprint))
	})

	It("says which certificates there are to go back to", func(ctx context.Context) {
		s, _ := renewedScene(ctx)
		newest := s.certificate()
		pin(s, "ABC123")
		s.eventually(v1alpha1.ConditionReady, "False/PinUnknown")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/PinUnknown"))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("only " + newest.SerialNumber + " and "))
		pin(s, "")
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.rolledTo()).To(HaveSuffix("-1"))
	})
})
