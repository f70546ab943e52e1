package controllers

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
)

// uncertain is when credentials are checked again of which it could not be found out whether they are good.
const uncertain = time.Hour

// checkCredentials asks Anypoint who the credentials are, where they have changed or the last check is long ago: that they
// don't work should be known before a renewal is due. It returns when to look again, zero where that does not matter. The
// result is told in a condition of its own.
func (r *Reconciler) checkCredentials(ctx context.Context, o *observation) time.Time {
	fr := o.flexRegistration
	if r.Platform == nil || o.Follow || o.registration == nil || o.Unreadable != nil || fr.Spec.Suspend {
		return time.Time{}
	}
	now, last := r.Clock.Now(), fr.Status.CredentialsCheck
	tell := func(status metav1.ConditionStatus, reason, message string) {
		o.credentialsValid = &metav1.Condition{Type: v1alpha1.ConditionCredentialsValid, Status: status, Reason: reason, Message: message}
	}
	if len(o.credentials.Data()) == 0 {
		tell(metav1.ConditionUnknown, v1alpha1.ReasonNotChecked, "there are no credentials that could be checked")
		return time.Time{}
	}
	if last != nil && last.Version == o.Credentials && now.Before(last.NextTime.Time) {
		return last.NextTime.Time
	}
	// A fleet that was made at once is not to ask at once, next time.
	next := now.Add(r.CredentialsCheckInterval + time.Duration(o.Jitter*float64(r.CredentialsCheckInterval)/10))
	failed := &platform.Error{}
	switch err := r.whoAmI(ctx, o); {
	case err == nil:
		tell(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "Anypoint accepts the credentials in Secret "+fr.Spec.CredentialsRef.Name)
	case errors.As(err, &failed) && (failed.Class == anypoint.CredentialsRejected || failed.Class == anypoint.MFARequired):
		tell(metav1.ConditionFalse, string(failed.Class), err.Error())
	case errors.As(err, &failed):
		tell(metav1.ConditionUnknown, string(failed.Class), err.Error())
		next = now.Add(max(uncertain, failed.RetryAfter))
	}
	o.credentialsCheck = &v1alpha1.CredentialsCheck{Version: o.Credentials, NextTime: metav1.NewTime(next.Truncate(time.Second))}
	was := meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionCredentialsValid)
	if is := o.credentialsValid; is.Status == metav1.ConditionFalse && (was == nil || was.Status != is.Status) {
		r.event(fr, corev1.EventTypeWarning, is.Reason, "CheckCredentials", "%s", bounded(is.Message))
	}
	return next
}

// whoAmI asks Anypoint who the credentials are. Its errors are *platform.Error.
func (r *Reconciler) whoAmI(ctx context.Context, o *observation) error {
	account, err := r.Platform.Account(o.registration.AnypointURL(), o.credentials)
	if err != nil {
		return err
	}
	_, err = account.Organization(ctx)
	return err
}
