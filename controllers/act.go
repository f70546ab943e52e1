package controllers

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// act performs one step and brings the observation up to date with what the API server answered.
func (r *Reconciler) act(ctx context.Context, o *observation, d renewal.Decision) error {
	log.FromContext(ctx).Info("acting", "step", d.Step, "message", d.Message)
	if d.Step == renewal.StepRenew {
		return r.renew(ctx, o, d)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ends := d.Step == renewal.StepComplete || d.Step == renewal.StepFail
	if ends && slices.ContainsFunc(o.Deployments, func(one renewal.Deployment) bool { return one.Name == d.Deployment && one.Unseen }) {
		return r.observeDeployments(ctx, o) // Time has passed since: by now its pods decide.
	}
	if err := r.perform(ctx, o, d); err != nil || !slices.Contains(changeRollout, d.Step) {
		return err
	}
	return r.observeDeployments(ctx, o)
}

// changeRollout are the steps after which other pods decide than before.
var changeRollout = []renewal.Step{renewal.StepAdopt, renewal.StepRestore, renewal.StepRestored, renewal.StepAdvance, renewal.StepRetry}

func (r *Reconciler) perform(ctx context.Context, o *observation, d renewal.Decision) error {
	switch d.Step {
	case renewal.StepTidy:
		err := r.Jobs.Remove(ctx, o.leftovers)
		o.Leftovers, o.leftovers = 0, nil
		return err
	case renewal.StepConfirm:
		return r.save(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.Used(o.Cluster) })
	case renewal.StepAdopt:
		return r.adopt(ctx, o)
	case renewal.StepPublish:
		return r.publish(ctx, o)
	case renewal.StepRestore:
		return r.restore(ctx, o)
	case renewal.StepNote:
		return r.save(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.Noted(o.Certificate, o.SecretChanged) })
	case renewal.StepRestored:
		return r.save(ctx, o, nil, renewal.Record.Restored)
	case renewal.StepAdvance:
		// By itself, and not with what comes of it: a rollout may be refused for weeks, in which it must be known what is published.
		return r.save(ctx, o, nil, func(s renewal.Record) renewal.Record {
			return s.Published(o.SecretChanged, r.Clock.Now(), o.RolledOut(), o.Undisturbed()...)
		})
	case renewal.StepRoll:
		return r.roll(ctx, o, d.Deployment)
	case renewal.StepFail:
		return r.save(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.RolloutFailed(d.Problem, r.Clock.Now()) })
	case renewal.StepRetry:
		return r.save(ctx, o, nil, renewal.Record.Retried)
	case renewal.StepComplete:
		return r.complete(ctx, o, d.Deployment)
	case renewal.StepPin:
		if err := r.save(ctx, o, nil, func(s renewal.Record) renewal.Record {
			pinned := s.Pinned(d.Pin)
			return pinned.Told(renewal.Entry{Time: r.Clock.Now(), Action: "Pin", From: s.Desired().SerialNumber, To: pinned.Desired().SerialNumber, Outcome: renewal.Succeeded})
		}); err != nil {
			return err
		}
		r.event(o.flexRegistration, corev1.EventTypeNormal, "Pinned", "Pin", "%s", d.Message)
		return nil
	default:
		return fmt.Errorf("there is no step %q", d.Step)
	}
}

// save stores the record with a changed state and, where it is not nil, a registration that becomes the newest one.
func (r *Reconciler) save(ctx context.Context, o *observation, newest *registration.Registration, change func(renewal.Record) renewal.Record) error {
	changed := *o.record
	if newest != nil {
		changed = *o.record.With(newest)
	}
	changed.Record = change(changed.Record)
	if err := changed.Save(ctx, o.secrets, o.gateway); err != nil {
		return err
	}
	r.audit(ctx, o.Record, changed.Record)
	o.remember(&changed)
	return nil
}

// audit logs and counts what a record tells for the first time.
func (r *Reconciler) audit(ctx context.Context, before, after renewal.Record) {
	was, is := before.History, after.History
	if len(is) == 0 || len(was) > 0 && was[len(was)-1] == is[len(is)-1] {
		return
	}
	r.Activity.Recorded(before, after)
	e := is[len(is)-1]
	log.FromContext(ctx).WithName("audit").Info(e.Action, "cause", e.Cause, "from", e.From, "to", e.To, "outcome", e.Outcome)
}

func (r *Reconciler) adopt(ctx context.Context, o *observation) error {
	if !o.Record.Exists() {
		return r.save(ctx, o, o.registration, func(s renewal.Record) renewal.Record {
			return s.Used(o.Cluster).Seen(o.Certificate, o.flexRegistration.Status.LastHandledRequest)
		})
	}
	replaced := o.Record.Newest.SerialNumber
	if err := r.save(ctx, o, o.registration, func(s renewal.Record) renewal.Record {
		return s.Told(renewal.Entry{
			Time: r.Clock.Now(), Action: "Adoption", Cause: gateway.Writer(o.secret, o.gateway.Key), From: s.Newest.SerialNumber, To: o.Certificate.SerialNumber, Outcome: renewal.Succeeded,
		}).Adopted(o.Certificate).Published(o.SecretChanged, r.Clock.Now(), o.RolledOut())
	}); err != nil {
		return err
	}
	r.event(o.flexRegistration, corev1.EventTypeNormal, "Adopted", "Adopt", "adopted certificate %s, which somebody else has put in the place of %s", o.Certificate.SerialNumber, replaced)
	return nil
}

func (r *Reconciler) publish(ctx context.Context, o *observation) error {
	if o.External {
		if err := o.publication.Publish(ctx, o.secrets, o.secret, o.gateway.Key, o.record.Desired()); err != nil {
			return err
		}
		o.Publication = o.publication.Published.Certificate().Fingerprint
		return nil
	}
	secret, parsed, err := gateway.Publish(ctx, o.secrets, o.secret, o.gateway.Key, o.record.Desired())
	if err != nil {
		return err
	}
	o.see(secret, parsed)
	o.published = true
	return nil
}

// restore publishes the desired registration again. That it does is recorded first: which pods have come up meanwhile must
// not be forgotten.
func (r *Reconciler) restore(ctx context.Context, o *observation) error {
	old, by := o.Certificate, gateway.Writer(o.secret, o.gateway.Key)
	if changed := o.Record.Reverting(old, o.SecretChanged, r.Clock.Now(), o.RenewRequest); !reflect.DeepEqual(changed, o.Record) {
		changed = changed.Told(renewal.Entry{Time: r.Clock.Now(), Action: "Restoration", Cause: by, From: old.SerialNumber, To: o.Record.Desired().SerialNumber, Outcome: renewal.Succeeded})
		if err := r.save(ctx, o, nil, func(renewal.Record) renewal.Record { return changed }); err != nil {
			return err
		}
	}
	if err := r.publish(ctx, o); err != nil {
		return err
	}
	r.event(o.flexRegistration, corev1.EventTypeWarning, "Restored", "Restore", "restored certificate %s, in whose place the field manager %s had put %s back", o.Certificate.SerialNumber, by, old.SerialNumber)
	return nil
}

func (r *Reconciler) roll(ctx context.Context, o *observation, name string) error {
	i := slices.IndexFunc(o.Deployments, func(d renewal.Deployment) bool { return d.Name == name })
	d, annotation := &o.Deployments[i], o.Record.Rollout.Annotation()
	if err := gateway.Roll(ctx, r.Client, o.gateway.Deployments[i], annotation); err != nil {
		return err
	}
	*d = renewal.Deployment{Name: d.Name, UID: d.UID, Annotation: annotation, Message: "it has just begun"}
	return r.save(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.Rolling(d.UID, r.Clock.Now()) })
}

func (r *Reconciler) complete(ctx context.Context, o *observation, name string) error {
	undone, uid := o.Undone(), ""
	if i := slices.IndexFunc(undone, func(d renewal.Deployment) bool { return d.Name == name }); i >= 0 {
		uid = undone[i].UID
	}
	last := len(undone) <= 1
	if err := r.save(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.RolledOut(uid, last, r.Clock.Now()) }); err != nil {
		return err
	}
	if last && uid != "" {
		r.event(o.flexRegistration, corev1.EventTypeNormal, "RolledOut", "Roll", "every pod of the gateway runs with certificate %s", o.Certificate.SerialNumber)
	}
	return nil
}

// event tells a person something, where that may be written, in what an Event's note may hold. r.Recorder takes care that it is not
// repeated endlessly.
func (r *Reconciler) event(fr *v1alpha1.FlexRegistration, kind, reason, action, format string, args ...any) {
	if !r.ObserveOnly {
		r.Recorder.Eventf(fr, nil, kind, reason, action, "%s", bounded(fmt.Sprintf(format, args...)))
	}
}

// bounded cuts a text to what an Event's note may hold, 1024 bytes.
func bounded(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
