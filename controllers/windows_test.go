package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

var _ = Describe("Windows", func() {
	// opensIn is a window that opens so long from now, each day.
	opensIn := func(d time.Duration) v1alpha1.RenewalWindow {
		at := clk.Now().UTC().Add(d)
		return v1alpha1.RenewalWindow{Schedule: fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour()), Duration: metav1.Duration{Duration: time.Hour}}
	}

	It("waits for the opening, says until when, and starts in it", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{opensIn(5 * time.Hour)}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/WaitingForWindow")
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("False/WaitingForWindow"))
		opening := clk.Now().Add(5 * time.Hour).Truncate(time.Minute)
		Expect(s.status().NextAttemptTime.Time).To(BeTemporally("==", opening))
		Expect(s.status().RenewalTime.Time).To(BeTemporally("==", opening))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring(opening.UTC().Format(time.RFC3339)))

		clk.Step(opening.Sub(clk.Now()) - time.Second)
		Consistently(s.renewals).Should(BeZero())
		clk.Step(time.Second)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("shows the window before the renewal is due", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{opensIn(5 * time.Hour)}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		planned, opening := s.status().RenewalTime.Time, clk.Now().Add(5*time.Hour)
		Expect(planned.UTC().Format("15:04")).To(Equal(opening.UTC().Format("15:04")))
		Expect(planned).To(BeTemporally(">=", s.gateway.NotAfter.Add(-30*day)))
		Expect(planned).To(BeTemporally("<", s.gateway.NotAfter.Add(-29*day)))
	})

	It("renews in a freeze when it is urgent, unless it is told to wait", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Renewal.Freezes = []v1alpha1.RenewalFreeze{{From: metav1.NewTime(clk.Now().Add(-day)), To: metav1.NewTime(clk.Now().Add(100 * day))}}
		s.fr.Spec.Renewal.UrgentPolicy = v1alpha1.UrgentWait
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/NoWindowInTime")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/NoWindowInTime"))
		clk.Step(7*day + time.Minute)
		Consistently(s.renewals).Should(BeZero())
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.UrgentPolicy = "" })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells what is wrong with a window, and renews when it is urgent all the same", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		broken := opensIn(0)
		broken.TimeZone = "Europe/Nowhere"
		s.fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{opensIn(0), broken}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/WindowInvalid")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("Europe/Nowhere"))
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/WindowInvalid"))
		clk.Step(7*day + time.Minute)
		Eventually(s.renewals).Should(Equal(1))
	})
})
