package controllers

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

func TestWhatTheAPIServerSaysToARehearsal(t *testing.T) {
	secrets := corev1.Resource("secrets")
	for name, c := range map[string]struct {
		err     error
		warning string
		status  metav1.ConditionStatus
		says    string
	}{
		"nothing":            {nil, "", metav1.ConditionTrue, "would go through"},
		"a right is missing": {apierrors.NewForbidden(secrets, "s", errors.New(`User "operator" cannot update resource`)), "", metav1.ConditionFalse, "give the operator's ServiceAccount this right"},
		"a quota":            {apierrors.NewForbidden(secrets, "s", errors.New("exceeded quota: few")), "", metav1.ConditionFalse, "raise the quota"},
		"a webhook denies":   {apierrors.NewBadRequest(`admission webhook "w" denied the request: no`), "", metav1.ConditionFalse, "let the operator through"},
		"a webhook is down":  {apierrors.NewInternalError(errors.New(`failed calling webhook "w"`)), "", metav1.ConditionFalse, "failed calling webhook"},
		"no dry runs":        {apierrors.NewBadRequest(`admission webhook "w" does not support dry run`), "", metav1.ConditionUnknown, "does not support dry run"},
		"a conflict":         {apierrors.NewConflict(secrets, "s", errors.New("changed")), "", metav1.ConditionUnknown, "changed"},
		"overload":           {apierrors.NewTooManyRequests("later", 1), "", metav1.ConditionUnknown, "later"},
		"no connection":      {&url.Error{Op: "Put", URL: "https://k", Err: errors.New("connection refused")}, "", metav1.ConditionUnknown, "connection refused"},
		"out of time":        {context.DeadlineExceeded, "", metav1.ConditionUnknown, "deadline"},
		"its own doing":      {errors.New("the record would be too large"), "", metav1.ConditionFalse, "too large"},
		"a name like that":   {apierrors.NewForbidden(secrets, "dry-run", errors.New(`User "operator" cannot update`)), "", metav1.ConditionFalse, "this right"},
		"what it quotes":     {apierrors.NewForbidden(secrets, "s", errors.New("denied: "+strings.Repeat("c2VjcmV0", 8))), "", metav1.ConditionFalse, "denied: [redacted]"},
		"another warning":    {nil, "deprecated", metav1.ConditionTrue, "note: writing: deprecated"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := &rehearsal{}
			r.try(t.Context(), "writing", func(ctx context.Context) error {
				if c.warning != "" {
					Warnings{rest.NoWarnings{}}.HandleWarningHeaderWithContext(ctx, 299, "", c.warning)
				}
				return c.err
			})
			v := r.verdict()
			g.Expect(v.status).To(Equal(c.status))
			g.Expect(v.message).To(ContainSubstring(c.says))
			g.Expect(v.soonest > 0).To(Equal(c.status != metav1.ConditionTrue), "what is not as it should be is tried again soon")
		})
	}
}

func TestChecksAreRepeatedTheLaterTheLongerNothingChanges(t *testing.T) {
	g := NewWithT(t)
	now := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	r := &Reconciler{Clock: clocktesting.NewFakeClock(now), CheckInterval: 24 * time.Hour}
	next := func(age, latest time.Duration, status metav1.ConditionStatus, changed ...bool) time.Duration {
		fr := &v1alpha1.FlexRegistration{}
		fr.Status.Conditions = []metav1.Condition{{Type: "C", Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(now.Add(-age))}}
		return r.again(fr, "C", verdict{status: status, soonest: 10 * time.Minute, latest: latest}, len(changed) > 0, 0.5).Sub(now)
	}
	g.Expect(next(0, 0, metav1.ConditionFalse)).To(Equal(12*time.Minute + 30*time.Second))
	g.Expect(next(4*time.Hour, 0, metav1.ConditionFalse)).To(Equal(time.Hour))
	g.Expect(next(4*time.Hour, 0, metav1.ConditionUnknown)).To(Equal(12*time.Minute+30*time.Second), "it has just come to be so")
	g.Expect(next(96*time.Hour, 0, metav1.ConditionFalse, true)).To(Equal(12*time.Minute+30*time.Second), "what is looked at has changed")
	g.Expect(next(100*time.Hour, time.Hour, metav1.ConditionFalse)).To(Equal(time.Hour))
	g.Expect(next(1000*time.Hour, 0, metav1.ConditionFalse)).To(Equal(24*time.Hour + 72*time.Minute))
	g.Expect(r.again(&v1alpha1.FlexRegistration{}, "C", verdict{status: metav1.ConditionTrue}, true, 1).Sub(now)).To(Equal(24*time.Hour + 144*time.Minute))
}

func TestPodSecurityCountsWhereItIsEnforced(t *testing.T) {
	const warning = `would violate PodSecurity "restricted:latest": runAsNonRoot != true`
	for level, want := range map[string]metav1.ConditionStatus{"restricted": metav1.ConditionFalse, "baseline": metav1.ConditionFalse, "privileged": metav1.ConditionTrue, "": metav1.ConditionTrue, "?": metav1.ConditionUnknown} {
		g := NewWithT(t)
		r := &rehearsal{}
		warn := func(ctx context.Context) error {
			Warnings{rest.NoWarnings{}}.HandleWarningHeaderWithContext(ctx, 299, "", warning)
			return nil
		}
		r.try(t.Context(), "creating the Job", warn)
		var err error
		if level == "?" {
			err = errors.New("not now")
		}
		r.podSecurity(level, err)
		r.try(t.Context(), "rolling the gateway, whose own pods are there already", warn)
		g.Expect(r.verdict().status).To(Equal(want), level)
		g.Expect(r.verdict().message).NotTo(ContainSubstring("rolling"))
	}
}
