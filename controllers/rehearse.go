package controllers

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// rehearsalHeld also keeps a rehearsal from getting between the steps of a renewal.
func rehearsalHeld(o *observation, d renewal.Decision, now time.Time) *verdict {
	rollout := renewal.RolloutState(o.Observation, now)
	switch v := o.uncheckable(); {
	case v != nil:
		return v
	case o.ObserveOnly:
		return unknown(v1alpha1.ReasonObserving, "the operator runs with --observe-only and may not try its writes")
	case d.Step != renewal.StepWait || d.State == v1alpha1.ReasonQueued || o.Record.Intent != nil || !o.Record.Exists() && o.Excluded == nil,
		o.Standing != renewal.Same && d.State == renewal.Renewing,
		rollout != nil && rollout.State == renewal.RollingOut:
		return asItIs
	default:
		return nil
	}
}

// rehearsalVersion leaves out what a renewal itself changes, so that none is followed by a rehearsal.
func rehearsalVersion(o *observation) string {
	of := []any{o.generation, o.Credentials, o.credentialsValid().Status, o.credentialsValid().Reason, o.expected().State,
		o.Image, o.secret.UID, o.secret.Immutable, gateway.Generator(o.secret), gateway.Appliers(o.secret, o.gateway.Key)}
	for i := range o.gateway.Deployments {
		of = append(of, shape(&o.gateway.Deployments[i], o.gateway.SecretName))
	}
	return digest(of...)
}

// expected is what the plan will decide when the renewal is to start, if nothing changes until then.
func (o *observation) expected() renewal.Decision {
	now := o.lookedAt
	today := renewal.Plan(o.Observation, now)
	if today.Due || today.Start.IsZero() {
		return today
	}
	return renewal.Plan(o.Observation, today.Start)
}

// unrehearsed is what nothing but a renewal can show.
const unrehearsed = "flexctl and what Anypoint answers it, and in Jobs the pulling of images, the scheduling of the pod and its network, can't be rehearsed"

// rehearse tries, without changing anything, whether a renewal would go through, in the order in which it goes: the
// credentials and the gateway on the platform, what the plan would decide, and, as dry runs, the writes.
func (r *Reconciler) rehearse(ctx context.Context, o *observation) verdict {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	t := &rehearsal{}
	t.see(o.credentialsValid())
	t.plan(o.expected())
	if o.Excluded == nil {
		r.tryWrites(ctx, o, t)
	}
	for i := range o.gateway.Deployments {
		d := &o.gateway.Deployments[i]
		if why := gateway.Interrupts(d); why != "" && !o.RolloutNever {
			t.fails = append(t.fails, fmt.Sprintf("the rollout of Deployment %s takes the gateway down: %s; give it RollingUpdate with maxUnavailable 0", d.Name, why))
		}
		if why := gateway.Unguarded(d, o.gateway.SecretName); why != "" && !o.RolloutNever {
			t.notes = append(t.notes, fmt.Sprintf("Kubernetes would not hold up a rollout of Deployment %s whose pods fail: %s", d.Name, why))
		}
	}
	if appliers := gateway.Appliers(o.secret, o.gateway.Key); len(appliers) > 0 && !o.External {
		t.notes = append(t.notes, fmt.Sprintf("after a renewal, what %s applies to Secret %s is refused as a conflict (Renewed says what to do)", strings.Join(appliers, ", "), o.gateway.SecretName))
	}
	return t.verdict()
}

// tryWrites makes the writes of a renewal as dry runs, which change nothing but pass the same authorization, validation,
// quota and admission.
func (r *Reconciler) tryWrites(ctx context.Context, o *observation, t *rehearsal) {
	dry := client.NewDryRunClient(r.Client)
	t.try(ctx, "storing the record", func(ctx context.Context) error {
		record := *o.record
		return record.Save(ctx, dry, o.gateway)
	})
	if r.Jobs != nil && o.Image != "" {
		for _, each := range r.Jobs.Rehearsal(o.flexRegistration, o.gateway, dry) {
			t.try(ctx, each.Doing, each.Do)
		}
	}
	switch {
	case o.External && o.publication != nil && o.Unwritable == nil:
		t.try(ctx, "publishing to Secret "+o.publication.SecretName, func(ctx context.Context) error {
			publication := *o.publication
			return publication.Publish(ctx, dry, o.secret, o.gateway.Key, o.record.Desired())
		})
	case o.Unwritable == nil:
		t.try(ctx, "writing Secret "+o.gateway.SecretName, func(ctx context.Context) error {
			return dry.Update(ctx, o.secret.DeepCopy(), gateway.FieldOwner)
		})
	}
	for i := range o.gateway.Deployments {
		d := &o.gateway.Deployments[i]
		if !o.RolloutNever {
			t.try(ctx, "rolling Deployment "+d.Name, func(ctx context.Context) error { return gateway.Roll(ctx, dry, d, "rehearsal") })
		}
	}
}

// rehearsal is what was found out: what would fail, what could not be found out, and what else a reader should know.
type rehearsal struct{ fails, unknown, notes []string }

func (t *rehearsal) see(credentials metav1.Condition) {
	switch {
	case credentials.Status == metav1.ConditionFalse, credentials.Reason == v1alpha1.ReasonGatewayDeleted:
		t.fails = append(t.fails, credentials.Message)
	case credentials.Status != metav1.ConditionTrue && credentials.Reason != v1alpha1.ReasonNotChecked:
		t.unknown = append(t.unknown, credentials.Message)
	}
}

// plan takes over what would hold a renewal up. What only puts it off is no failure.
func (t *rehearsal) plan(d renewal.Decision) {
	switch r := table[string(d.State)]; {
	case d.Step != renewal.StepWait:
	case d.State == renewal.AwaitingApproval:
		t.notes = append(t.notes, "when it is due, it waits for a person's approval")
	case r.ready == notReady || r.ready == untilDue || r.ready == onCourse:
		t.fails = append(t.fails, d.Message)
	}
}

// try makes a write, and keeps what the API server says to it. Pod security is about pods, so that a Job which makes one that
// is refused is only warned of it.
func (t *rehearsal) try(ctx context.Context, doing string, do func(context.Context) error) {
	ctx, warned := withWarnings(ctx)
	err := do(ctx)
	for _, warning := range warned.taken() {
		if strings.Contains(warning, "violate PodSecurity") {
			t.fails = append(t.fails, doing+": "+gateway.Bounded(warning)+": have the namespace let it pass")
		} else {
			t.notes = append(t.notes, doing+": "+gateway.Bounded(warning))
		}
	}
	switch {
	case err == nil:
	case errors.As(err, new(job.Doubt)), dryRunRefused.MatchString(err.Error()),
		apierrors.ReasonForError(err) == metav1.StatusReasonUnknown, apierrors.IsConflict(err), apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsServiceUnavailable(err):
		t.unknown = append(t.unknown, doing+" ("+gateway.Bounded(err.Error())+")")
	default:
		t.fails = append(t.fails, doing+": "+gateway.Bounded(err.Error())+remedy(err))
	}
}

// dryRunRefused recognises what refuses the dry run and not the write: a webhook that has side effects, or a policy.
var dryRunRefused = regexp.MustCompile(`(?i)dry[- ]?run`)

// remedy is what to do about a refusal of the API server.
func remedy(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "exceeded quota"):
		return ": raise the quota, or remove what it counts"
	case apierrors.IsForbidden(err) && strings.Contains(text, "cannot "):
		return ": give the operator's ServiceAccount this right"
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), strings.Contains(text, "admission webhook"):
		return ": have whatever refuses it let the operator through"
	default:
		return ""
	}
}

// verdict lists what was found. Of what can be known too little is known where something could not be tried.
func (t *rehearsal) verdict() verdict {
	v := verdict{status: metav1.ConditionTrue, reason: v1alpha1.ReasonPassed, message: "a renewal would go through; " + unrehearsed}
	switch {
	case len(t.fails) > 0:
		v = verdict{status: metav1.ConditionFalse, reason: v1alpha1.ReasonWouldFail, message: "a renewal would fail: " + numbered(t.fails), soonest: 10 * time.Minute}
		if len(t.unknown) > 0 {
			v.message += "; not known is also: " + numbered(t.unknown)
		}
	case len(t.unknown) > 0:
		v = verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonIncomplete, message: "nothing is known that a renewal would fail by, but could not be tried: " + numbered(t.unknown), soonest: 10 * time.Minute}
	}
	if len(t.notes) > 0 {
		v.message += "; note: " + numbered(t.notes)
	}
	return v
}

func numbered(all []string) string {
	all = slices.Compact(all)
	if len(all) == 1 {
		return all[0]
	}
	var b strings.Builder
	for i, each := range all {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "(%d) %s", i+1, each)
	}
	return b.String()
}

// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=list
