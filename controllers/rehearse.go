package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

func rehearsalHeld(o *observation, d renewal.Decision, now time.Time) *verdict {
	switch v := o.uncheckable(); {
	case v != nil:
		return v
	case o.ObserveOnly:
		return unknown(v1alpha1.ReasonObserving, "the operator runs with --observe-only and may not try its writes")
	case o.renewing(d, now) || !o.Record.Exists() && o.Excluded == nil:
		return asItIs
	default:
		return nil
	}
}

// rehearsalVersion leaves out what a renewal itself changes, so that none is followed by a rehearsal.
func rehearsalVersion(o *observation) string {
	of := []any{o.generation, o.Credentials, o.credentialsValid().Status, o.credentialsValid().Reason, o.expected().State,
		o.Image, o.secret.UID, o.secret.Immutable, gateway.Generator(o.secret), gateway.Appliers(o.secret, o.gateway.Key)}
	for _, d := range o.gateway.Deployments {
		of = append(of, shape(d, o.gateway.SecretName))
	}
	return digest(of...)
}

// expected is what the plan will decide when the renewal is to start, if nothing changes until then.
func (o *observation) expected() renewal.Decision {
	today := renewal.Plan(o.Observation, o.lookedAt)
	if today.Due || today.Start.IsZero() || today.Start.After(o.Certificate.NotAfter) {
		return today // In the last case it tells that no window comes in time.
	}
	return renewal.Plan(o.Observation, today.Start)
}

// unrehearsed is what nothing but a renewal can show.
const unrehearsed = "flexctl and what Anypoint answers it, and in Jobs the pulling of images, the scheduling of the pod and its network, can't be rehearsed"

// rehearse tries, without changing anything, whether a renewal would go through, in the order in which it goes: the
// credentials and the gateway on the platform, what the plan would decide, and, as dry runs, the writes.
func (r *Reconciler) rehearse(ctx context.Context, o *observation) verdict {
	t := &rehearsal{credentials: o.credentials}
	t.see(o.credentialsValid())
	t.plan(o.expected())
	if o.Excluded == nil {
		r.tryWrites(ctx, o, t)
	}
	for _, d := range o.gateway.Deployments {
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
	dry, now := client.NewDryRunClient(r.Client), r.Clock.Now()
	t.try(ctx, "storing the record", func(ctx context.Context) error {
		record := *o.record
		record.Record = record.Claimed(o.Certificate, "", renewal.Intent{Since: now, Until: now, By: r.Identity})
		return record.Save(ctx, dry, o.gateway)
	})
	if r.Jobs != nil && o.Image != "" {
		for _, each := range r.Jobs.Rehearsal(o.flexRegistration, o.gateway, dry) {
			t.try(ctx, each.Doing, each.Do)
		}
		if len(t.insecure) > 0 {
			t.podSecurity(r.podSecurity(ctx, o.gateway.Namespace))
		}
	}
	// What does not change could be written to what is immutable, and would concern no policy.
	secret := o.secret.DeepCopy()
	secret.Data[o.gateway.Key] = append(secret.Data[o.gateway.Key], '\n')
	switch {
	case o.Unwritable != nil:
	case o.External:
		t.try(ctx, "publishing to Secret "+o.publication.SecretName, func(ctx context.Context) error {
			publication := *o.publication
			return publication.Publish(ctx, dry, secret, o.gateway.Key, o.record.Desired())
		})
	default:
		t.try(ctx, "writing Secret "+o.gateway.SecretName, func(ctx context.Context) error {
			return dry.Update(ctx, secret, gateway.FieldOwner)
		})
	}
	for _, d := range o.gateway.Deployments {
		if !o.RolloutNever {
			t.try(ctx, "rolling Deployment "+d.Name, func(ctx context.Context) error { return gateway.Roll(ctx, dry, d, "rehearsal") })
		}
	}
}

// rehearsal is what was found out: what would fail, what could not be found out, and what else a reader should know. What
// others say in it is shown without credentials, keys and tokens: an admission policy may quote what it refuses.
type rehearsal struct {
	credentials           anypoint.Credentials
	fails, unknown, notes []string
	// insecure are the API server's warnings that pods would violate a Pod Security Standard.
	insecure []string
}

// podSecurity is the level that a namespace enforces on pods; "" where it says none.
func (r *Reconciler) podSecurity(ctx context.Context, namespace string) (string, error) {
	ns := &corev1.Namespace{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Name: namespace}, ns)
	return ns.Labels["pod-security.kubernetes.io/enforce"], err
}

// podSecurity judges warnings of Pod Security: it is enforced on the Job's pod, at a level that may be another than that which
// is warned of. The gateway's own pods, which may have been warned of too, are there already.
func (t *rehearsal) podSecurity(level string, err error) {
	switch {
	case err != nil:
		t.unknown = append(t.unknown, t.insecure...)
	case level == "baseline" || level == "restricted":
		t.fails = append(t.fails, t.insecure...)
	default:
		t.notes = append(t.notes, t.insecure...)
	}
}

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
	case d.State == renewal.RolloutFailed || d.State == renewal.RestartRequired:
		t.notes = append(t.notes, d.Message) // Neither holds up a renewal.
	case r.ready == onCourse:
		t.unknown = append(t.unknown, d.Message)
	case r.ready == notReady || r.ready == untilDue:
		t.fails = append(t.fails, d.Message)
	}
}

// try makes a write, and keeps what the API server says to it.
func (t *rehearsal) try(ctx context.Context, doing string, do func(context.Context) error) {
	var warnings []string
	err := do(keepingWarnings(ctx, &warnings))
	for _, warning := range warnings {
		said := doing + ": " + t.told(warning)
		if strings.Contains(warning, "violate PodSecurity") {
			t.insecure = append(t.insecure, said)
		} else {
			t.notes = append(t.notes, said)
		}
	}
	switch {
	case err == nil:
	case errors.As(err, new(job.Doubt)), dryRunRefused.MatchString(err.Error()), passes(err):
		t.unknown = append(t.unknown, doing+" ("+t.told(err.Error())+")")
	default:
		t.fails = append(t.fails, doing+": "+t.told(err.Error())+remedy(err))
	}
}

// told is what somebody says, as it may be shown.
func (t *rehearsal) told(text string) string { return gateway.Bounded(t.credentials.Redact(text)) }

// passes says that an error says nothing about the write: the connection, a conflict, or an API server that is busy.
func passes(err error) bool {
	return errors.As(err, new(*url.Error)) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		apierrors.IsConflict(err) || apierrors.IsTooManyRequests(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// dryRunRefused recognises what refuses the dry run and not the write: a webhook that has side effects, or a policy.
var dryRunRefused = regexp.MustCompile(`(?i)does not support dry run|denied.*dry[- ]?run`)

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
		v = verdict{status: metav1.ConditionFalse, reason: v1alpha1.ReasonWouldFail, message: "a renewal would fail: " + numbered(t.fails), soonest: soonest}
		if len(t.unknown) > 0 {
			v.message += "; not known is also: " + numbered(t.unknown)
		}
	case len(t.unknown) > 0:
		v = verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonIncomplete, message: "nothing is known that a renewal would fail by, but could not be tried: " + numbered(t.unknown), soonest: soonest}
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
