package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// report writes the status, and tells an Event where Ready has changed. Both are left alone where nothing has.
// The Event goes first: one that is told twice after a crash is better than one that is never told.
func (r *Reconciler) report(ctx context.Context, o *observation, d renewal.Decision) error {
	fr := o.flexRegistration
	before := fr.DeepCopy()
	r.project(o, d)
	is := fr.Status
	if before.Status.Inspected != "" && !r.daily(o) {
		is.Inspected = before.Status.Inspected // What others do to the Secrets is worth no write, but once a day.
	}
	if equality.Semantic.DeepEqual(before.Status, is) {
		fr.Status = before.Status
		return nil
	}
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady)
	ready := meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionReady)
	if was == nil || was.Status != ready.Status || was.Reason != ready.Reason && !progress(was, ready) {
		kind := corev1.EventTypeNormal
		if warns(ready) {
			kind = corev1.EventTypeWarning
		}
		r.event(fr, kind, ready.Reason, string(d.Step), "%s", ready.Message)
	}
	if err := patchStatus(ctx, r.Client, fr, before); err != nil {
		fr.Status = before.Status // The next report compares with what is there.
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("writing the status of FlexRegistration %s/%s: %w", fr.Namespace, fr.Name, err)
	}
	fr.ManagedFields = nil // which nobody reads
	r.written.Store(client.ObjectKeyFromObject(fr), written{fr.DeepCopy(), r.Clock.Now()})
	if cached := (&v1alpha1.FlexRegistration{}); r.Client.Get(ctx, client.ObjectKeyFromObject(fr), cached) == nil {
		r.behind(cached) // The watch may have been faster than the answer.
	}
	return nil
}

// progress says that Ready goes from one step of a renewal to the next, of which Events of their own tell what has come of it.
func progress(was, is *metav1.Condition) bool {
	return !warns(was) && !warns(is) && (table[is.Reason].reconciling || table[was.Reason].reconciling && is.Reason == v1alpha1.ReasonScheduled)
}

// warns says that a Ready condition is more than news.
func warns(ready *metav1.Condition) bool {
	return ready.Status == metav1.ConditionFalse || table[ready.Reason].warn
}

// project makes the status from the observation and the decision. What could not be observed keeps its last
// value, so that an expiry stays visible while a reference is broken.
func (r *Reconciler) project(o *observation, d renewal.Decision) {
	now := r.Clock.Now()
	fr := o.flexRegistration
	s := &fr.Status
	s.ObservedGeneration = o.generation
	if o.gateway != nil {
		s.SecretRef = &v1alpha1.SecretKeyReference{Name: o.gateway.SecretName, Key: o.gateway.Key}
	}
	if o.registration != nil {
		s.Gateway = &v1alpha1.GatewayStatus{AgentID: o.registration.AgentID(), Name: bounded(o.registration.Name()), AnypointURL: bounded(o.registration.AnypointURL()),
			OrganizationID: o.environment.OrganizationID, EnvironmentID: o.environment.ID}
		s.Certificate = &v1alpha1.CertificateStatus{
			SerialNumber: o.Certificate.SerialNumber, Fingerprint: o.Certificate.Fingerprint,
			NotBefore: metav1.NewTime(o.Certificate.NotBefore), NotAfter: metav1.NewTime(o.Certificate.NotAfter),
		}
		s.ServingUntil = timeOrNil(o.ServingUntil())
		s.RenewBefore = &metav1.Duration{Duration: d.Before}
		s.RenewalTime = timeOrNil(planned(d, now))
	}
	if o.Record.Exists() {
		s.LastRenewalTime = timeOrNil(o.Record.Renewed.Time)
		if fr.Annotations[v1alpha1.AnnotationRenew] != s.LastHandledRequest {
			s.LastHandledRequest = o.Record.HandledRequest
		}
		attempts := o.Record.AttemptsFor(o.Certificate.Fingerprint)
		s.FailedAttempts = int32(attempts.Failed) //nolint:gosec // It grows by a few a day.
		s.NextAttemptTime, s.RefusedCredentials = nil, ""
		if attempts.Next.After(now) {
			s.NextAttemptTime, s.RefusedCredentials = timeOrNil(attempts.Next), attempts.Refused
		}
		if !d.NextAttempt.IsZero() {
			s.NextAttemptTime = timeOrNil(d.NextAttempt)
		}
		s.History = nil
		for _, e := range o.Record.History {
			s.History = append(s.History, v1alpha1.HistoryEntry{Time: metav1.NewTime(e.Time.Truncate(time.Second)), Action: e.Action, Cause: e.Cause, From: e.From, To: e.To, Outcome: e.Outcome})
		}
		was := s.Rollout
		s.Rollout = nil
		if rollout := o.Record.Rollout; rollout.Sequence > 0 {
			s.Rollout = &v1alpha1.RolloutStatus{Sequence: rollout.Sequence, Fingerprint: rollout.Fingerprint, StartTime: timeOrNil(rollout.Started), Completed: o.RolledOut(),
				CompletionTime: timeOrNil(rollout.Completed), FailureTime: timeOrNil(rollout.Failed)}
			for _, deployment := range o.Deployments {
				s.Rollout.Deployments = append(s.Rollout.Deployments, deployment.Name)
			}
			if !o.deploymentsRead && was != nil {
				s.Rollout.Deployments, s.Rollout.Completed = was.Deployments, was.Completed
			}
		}
	}
	all := o.annotate(conditions(o.Observation, d, now))
	// Nothing is known to be wrong with what could not be looked at just now, nor that it is as it should be.
	all = slices.DeleteFunc(all, func(c metav1.Condition) bool {
		unknown := c.Reason == v1alpha1.ReasonUnknown
		return o.Unreadable == nil && (o.registration == nil && unknown || !o.deploymentsRead && !unknown && c.Type == v1alpha1.ConditionRolledOut)
	})
	all = r.projectChecks(o, d, all)
	s.Inspected = r.inspected(o, d)
	setConditions(&fr.Status.Conditions, all, o.generation, now)
}

// planned is when a renewal is to start: in a window, unless none comes.
func planned(d renewal.Decision, now time.Time) time.Time {
	if d.Start.After(now) {
		return d.Start
	}
	return d.RenewalTime
}

// annotate adds to Renewed and RolledOut what a reader should know before the next renewal and rollout.
func (o *observation) annotate(all []metav1.Condition) []metav1.Condition {
	if o.secret != nil {
		if appliers := gateway.Appliers(o.secret, o.gateway.Key); len(appliers) > 0 {
			meta.FindStatusCondition(all, v1alpha1.ConditionRenewed).Message += fmt.Sprintf("; field manager %s applies the registration in Secret %s server-side, which the API server will refuse as a conflict after a renewal: "+
				"take the registration out of what is applied (with MuleSoft's chart: annotate the Secret with helm.sh/resource-policy=keep, then set registration.secretName to it)", strings.Join(appliers, ", "), o.gateway.SecretName)
		}
	}
	if !o.deploymentsRead {
		return all
	}
	rolledOut := meta.FindStatusCondition(all, v1alpha1.ConditionRolledOut)
	for _, d := range o.gateway.Deployments {
		if why := gateway.Interrupts(d); why != "" {
			rolledOut.Message += fmt.Sprintf("; a rollout of Deployment %s takes the gateway down: %s", d.Name, why)
		}
	}
	for _, d := range o.gateway.Deployments {
		if why := gateway.Unguarded(d, o.gateway.SecretName); why != "" {
			rolledOut.Message += fmt.Sprintf("; Kubernetes does not hold a rollout of Deployment %s up whose new pods fail: %s", d.Name, why)
		}
	}
	if len(o.gateway.Others) > 0 {
		rolledOut.Message += "; other Deployments mount the Secret and are not rolled: " + strings.Join(o.gateway.Others, ", ")
	}
	return all
}

// row says how a state shows in conditions.
type row struct {
	// ready is what Ready is, as long as no certificate in use has expired; then it is False.
	ready readiness
	// reconciling and stalled say that the condition of that name is there.
	reconciling, stalled bool
	// warn makes the Event a warning although Ready may be True.
	warn bool
}

type readiness string

const (
	ready    readiness = "True"
	notReady readiness = "False"
	// untilDue: True until a renewal is due.
	untilDue readiness = "True until a renewal is due, then False"
	// untilUrgent: True until a renewal is urgent.
	untilUrgent readiness = "True until a renewal is urgent, then False"
	// onCourse: True until three attempts in a row have failed.
	onCourse readiness = "True for the first two failed attempts in a row, then False"
)

// attemptsOnCourse is how many failures in a row are taken for a passing fault.
const attemptsOnCourse = 3

// table is the truth table of Ready, Reconciling and Stalled by Ready's reason. docs/conditions.md shows it.
var table = map[string]row{
	v1alpha1.ReasonScheduled:          {ready: ready},
	v1alpha1.ReasonSuspended:          {ready: untilDue},
	v1alpha1.ReasonCertificateExpired: {ready: notReady, reconciling: true},
	v1alpha1.ReasonNotYetValid:        {ready: notReady},

	v1alpha1.ReasonWaitingForWindow:   {ready: ready},
	v1alpha1.ReasonObserving:          {ready: untilDue},
	v1alpha1.ReasonAwaitingApproval:   {ready: untilUrgent, warn: true},
	v1alpha1.ReasonFollowing:          {ready: untilUrgent},
	v1alpha1.ReasonAwaitingSync:       {ready: untilUrgent, warn: true},
	v1alpha1.ReasonFleetPaused:        {ready: ready, warn: true},
	v1alpha1.ReasonPinned:             {ready: untilDue},
	v1alpha1.ReasonQueued:             {ready: ready, reconciling: true},
	v1alpha1.ReasonRenewing:           {ready: ready, reconciling: true},
	v1alpha1.ReasonJobPending:         {ready: onCourse, reconciling: true, warn: true},
	v1alpha1.ReasonRenewalInterrupted: {ready: ready, reconciling: true, warn: true},
	v1alpha1.ReasonRestoring:          {ready: ready, reconciling: true},
	v1alpha1.ReasonRollingOut:         {ready: ready, reconciling: true},

	v1alpha1.ReasonTargetNotFound:      {ready: notReady, reconciling: true},
	v1alpha1.ReasonSecretNotFound:      {ready: notReady, reconciling: true},
	v1alpha1.ReasonCredentialsNotFound: {ready: notReady, reconciling: true},

	v1alpha1.ReasonVolumeNotFound:         {ready: notReady, stalled: true},
	v1alpha1.ReasonRegistrationInvalid:    {ready: notReady, stalled: true},
	v1alpha1.ReasonSecretImmutable:        {ready: notReady, stalled: true},
	v1alpha1.ReasonSecretGenerated:        {ready: notReady, stalled: true},
	v1alpha1.ReasonPublicationRefused:     {ready: notReady, stalled: true},
	v1alpha1.ReasonAnypointHostNotAllowed: {ready: notReady, stalled: true},
	v1alpha1.ReasonCredentialsIncomplete:  {ready: notReady, stalled: true},
	v1alpha1.ReasonWindowInvalid:          {ready: notReady, stalled: true},
	v1alpha1.ReasonNoWindowInTime:         {ready: notReady, stalled: true},
	v1alpha1.ReasonPinUnknown:             {ready: notReady, stalled: true},
	v1alpha1.ReasonFlexctlImageNotAllowed: {ready: notReady, stalled: true},
	v1alpha1.ReasonRecordRefused:          {ready: notReady, stalled: true},
	v1alpha1.ReasonClusterChanged:         {ready: notReady, stalled: true},
	v1alpha1.ReasonDuplicate:              {ready: notReady, stalled: true},
	v1alpha1.ReasonReverted:               {ready: notReady, stalled: true},
	v1alpha1.ReasonCredentialsRejected:    {ready: notReady, stalled: true},
	v1alpha1.ReasonMFARequired:            {ready: notReady, stalled: true},
	v1alpha1.ReasonMissingScope:           {ready: notReady, stalled: true},
	v1alpha1.ReasonUnresolvedAttempts:     {ready: notReady, stalled: true},

	v1alpha1.ReasonRateLimited:         {ready: onCourse, reconciling: true, warn: true},
	v1alpha1.ReasonPlatformUnavailable: {ready: onCourse, reconciling: true, warn: true},
	v1alpha1.ReasonRenewalTimedOut:     {ready: onCourse, reconciling: true, warn: true},
	v1alpha1.ReasonJobFailed:           {ready: onCourse, reconciling: true, warn: true},
	v1alpha1.ReasonJobNotStarted:       {ready: notReady, reconciling: true},
	v1alpha1.ReasonRequestRefused:      {ready: notReady},
	v1alpha1.ReasonFlexctlUnusable:     {ready: notReady},
	v1alpha1.ReasonFlexctlTooOld:       {ready: notReady},
	v1alpha1.ReasonFlexctlFailed:       {ready: notReady},
	v1alpha1.ReasonResultInvalid:       {ready: notReady},

	v1alpha1.ReasonRolloutFailed:   {ready: notReady},
	v1alpha1.ReasonRestartRequired: {ready: notReady, stalled: true},
	v1alpha1.ReasonForbidden:       {ready: notReady},
	v1alpha1.ReasonStepFailed:      {ready: notReady},
}

// conditions makes all conditions from the observation and the decision; nothing else makes one.
func conditions(o renewal.Observation, d renewal.Decision, now time.Time) []metav1.Condition {
	certificate := certificateValid(o, now)
	reason, message := string(d.State), d.Message
	r := table[reason]
	status := metav1.ConditionFalse
	switch r.ready {
	case ready:
		status = metav1.ConditionTrue
	case untilDue:
		status = trueIf(!d.Due)
	case untilUrgent:
		status = trueIf(!d.Urgent)
	case onCourse:
		status = trueIf(o.Record.AttemptsFor(o.Certificate.Fingerprint).Failed < attemptsOnCourse)
	}
	if certificate.Status == metav1.ConditionFalse {
		if status == metav1.ConditionTrue {
			reason = v1alpha1.ReasonCertificateExpired
			if certificate.Reason == v1alpha1.ReasonNotYetValid {
				reason = v1alpha1.ReasonNotYetValid
			}
			r = table[reason]
		}
		status = metav1.ConditionFalse
		message = certificate.Message + "; " + message
	}
	all := []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message},
		certificate, renewed(o, d, now), rolledOut(o, now),
	}
	if r.reconciling {
		all = append(all, metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: reason, Message: message})
	}
	if r.stalled || r.ready == untilDue && d.Due || r.ready == untilUrgent && d.Urgent {
		all = append(all, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason, Message: message})
	}
	return all
}

func certificateValid(o renewal.Observation, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionCertificateValid, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonValid}
	until := o.ServingUntil()
	switch {
	case o.Certificate.Fingerprint == "" || o.Unreadable != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonUnknown, "the registration can't be read"
	case !now.Before(o.Certificate.NotAfter):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonExpired, "the gateway's certificate expired at "+stamp(until)
	case !now.Before(until):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonExpired, "pods that were not replaced yet may run with a certificate that expired at "+stamp(until)
	case now.Before(o.Certificate.NotBefore.Add(-registration.ClockSkew)):
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonNotYetValid, "the gateway's certificate is valid only from "+stamp(o.Certificate.NotBefore)+": look at the clocks"
	default:
		c.Message = "valid until " + stamp(until)
	}
	return c
}

func renewed(o renewal.Observation, d renewal.Decision, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionRenewed, Status: metav1.ConditionFalse, Reason: string(d.State), Message: d.Message}
	switch {
	case o.Unreadable != nil || o.Certificate.Fingerprint == "":
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonUnknown, "the registration can't be read"
	case o.Standing == renewal.Older && o.Record.Exists():
		// Not published, or reverted: whatever holds it up is the decision's state.
	case !d.Due:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonUpToDate, "the next renewal is due at "+stamp(planned(d, now))
	}
	return c
}

func rolledOut(o renewal.Observation, now time.Time) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionRolledOut, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonComplete}
	switch rollout := renewal.RolloutState(o, now); {
	case o.Unreadable != nil || !o.Record.Exists():
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonUnknown, "the gateway was not looked at yet, or can't be"
	case o.Standing != renewal.Same:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonUnknown, "the gateway's Secret does not hold the newest registration"
	case rollout != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, string(rollout.State), rollout.Message
	case len(o.Deployments) == 0:
		c.Message = "no Deployment mounts the registration"
	default:
		c.Message = "the gateway's pods run with the registration in the Secret"
	}
	return c
}

// patchStatus writes what has changed of an object's status since before: also while the process is being stopped, and where
// what is told is that time ran out.
func patchStatus(ctx context.Context, c client.Client, object, before client.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return c.Status().Patch(ctx, object, client.MergeFrom(before), gateway.FieldOwner)
}

// setConditions sets conditions, and removes Reconciling, Stalled and those named where they are not among them. A transition
// time changes with the status, as everywhere.
func setConditions(conditions *[]metav1.Condition, all []metav1.Condition, generation int64, now time.Time, optional ...string) {
	for _, c := range all {
		c.ObservedGeneration, c.LastTransitionTime = generation, metav1.NewTime(now)
		if len(c.Message) > maxMessage {
			c.Message = strings.ToValidUTF8(c.Message[:maxMessage], "")
		}
		meta.SetStatusCondition(conditions, c)
	}
	for _, kind := range append(optional, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled) {
		if meta.FindStatusCondition(all, kind) == nil {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
}

// maxMessage is what the API server takes as a condition's message, in bytes.
const maxMessage = 32768

func trueIf(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func timeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}
