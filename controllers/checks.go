package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// check finds a condition by asking others. That is done where what it looks at has changed, where a person asks for it,
// once a day, and sooner where the answer was not the one that is hoped for. Ready does not depend on it.
type check struct {
	condition string
	// held says what is told where there is nothing to ask: asItIs, where the condition stays; nil where there is.
	held func(*observation, renewal.Decision, time.Time) *verdict
	// version is a digest of what it looks at.
	version func(*observation) string
	ask     func(*Reconciler, context.Context, *observation) verdict
}

var checks = []check{
	{v1alpha1.ConditionCredentialsValid, credentialsHeld, credentialsVersion, (*Reconciler).askCredentials},
	{v1alpha1.ConditionRehearsed, rehearsalHeld, rehearsalVersion, (*Reconciler).rehearse},
	{v1alpha1.ConditionPlatformVerified, replicasHeld, replicasVersion, (*Reconciler).askReplicas},
}

// last is what a status tells of a check; zero where it was not made.
func (c check) last(s *v1alpha1.FlexRegistrationStatus) (last v1alpha1.Check) {
	if i := slices.IndexFunc(s.Checks, func(made v1alpha1.Check) bool { return made.Type == c.condition }); i >= 0 {
		last = s.Checks[i]
	}
	return last
}

// verdict is the answer to a check.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
	// soonest is when it is asked again, where it is not the answer that is hoped for: after so long at first and, the longer
	// it stays so, the later, up to latest. Zero for the next day.
	soonest, latest time.Duration
}

var asItIs = &verdict{}

func unknown(reason, message string) *verdict {
	return &verdict{status: metav1.ConditionUnknown, reason: reason, message: message}
}

func (v verdict) condition(kind string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: v.status, Reason: v.reason, Message: v.message}
}

// answered is a verdict that is to be told.
type answered struct {
	verdict
	check v1alpha1.Check
}

// uncheckable is what stands in the way of every check.
func (o *observation) uncheckable() *verdict {
	switch {
	case o.Unreadable != nil:
		return unknown(v1alpha1.ReasonUnknown, "the registration can't be read")
	case !o.deploymentsRead:
		return asItIs // Something could not be looked at just now.
	case o.Suspended:
		return unknown(v1alpha1.ReasonSuspended, "nothing is asked while spec.suspend is set")
	default:
		return nil
	}
}

// renewing says that a renewal is under way, or about to be: nothing is to get between its steps.
func (o *observation) renewing(d renewal.Decision, now time.Time) bool {
	intent := o.Record.Intent
	return d.Step != renewal.StepWait || d.State == v1alpha1.ReasonQueued || d.State == renewal.Renewing || intent != nil && now.Before(intent.Until) || o.rolling(now)
}

// rolling says that the gateway's pods are being replaced.
func (o *observation) rolling(now time.Time) bool {
	rollout := renewal.RolloutState(o.Observation, now)
	return rollout != nil && rollout.State == renewal.RollingOut
}

// checking says that checks are made for a FlexRegistration: who follows others needs none.
func (r *Reconciler) checking(o *observation) bool { return r.Platform != nil && !o.Follow }

// askCheck is how often, about, it is looked whether somebody is free to check. Each looks at its own pace: of many that look in
// one moment only a few would find somebody free, for ever.
func askCheck(jitter float64) time.Duration {
	return 10*time.Second + time.Duration(jitter*float64(10*time.Second))
}

// check makes the checks that are due, tells of those that have come to say False, and returns when the next is due; zero
// where none will be, or the spec has changed since it was looked at. Others may take a minute to answer, so that only some
// of the workers ask at a time.
func (r *Reconciler) check(ctx context.Context, o *observation, d renewal.Decision) (next time.Time) {
	fr, now := o.flexRegistration, r.Clock.Now()
	if !r.checking(o) || fr.Generation != o.generation {
		return time.Time{}
	}
	if !r.askers.TryAcquire(1) {
		return now.Add(askCheck(o.Jitter))
	}
	defer r.askers.Release(1)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if asked := o.requests[v1alpha1.AnnotationRehearse]; asked != fr.Status.LastHandledRehearsal && rehearsalHeld(o, d, now) != asItIs {
		o.rehearsal = asked
	}
	if o.rehearsal != "" && o.uncheckable() == nil {
		r.askAnew(o)
	}
	o.answered = map[string]answered{}
	for _, c := range checks {
		if c.held(o, d, now) != nil {
			continue
		}
		was := c.last(&fr.Status)
		is := v1alpha1.Check{Type: c.condition, Version: c.version(o), NextTime: was.NextTime}
		if changed := was.Version != is.Version; changed || o.rehearsal != "" || !now.Before(was.NextTime.Time) {
			v := c.ask(r, ctx, o)
			is.NextTime = metav1.NewTime(r.again(fr, c.condition, v, changed, o.Jitter).Truncate(time.Second))
			o.answered[c.condition] = answered{v, is}
			if v.status == metav1.ConditionFalse && !meta.IsStatusConditionFalse(fr.Status.Conditions, c.condition) {
				r.event(fr, corev1.EventTypeWarning, v.reason, "Check", "%s", v.message)
			}
		}
		if next.IsZero() || is.NextTime.Time.Before(next) {
			next = is.NextTime.Time
		}
	}
	return next
}

// soonest is when those are asked again of whom nothing could be found out. The longer that lasts, the later.
const soonest = 10 * time.Minute

// spread is an interval and up to a tenth more: a fleet that was made at once is not to ask at once, next time.
func spread(interval time.Duration, jitter float64) time.Duration {
	return interval + time.Duration(jitter*float64(interval)/10)
}

// again is when to ask again. What is not as it should be is asked for the later the longer that is so, since what is looked
// at has changed.
func (r *Reconciler) again(fr *v1alpha1.FlexRegistration, condition string, v verdict, changed bool, jitter float64) time.Time {
	now := r.Clock.Now()
	daily := spread(r.CheckInterval, jitter)
	if v.soonest == 0 {
		return now.Add(daily)
	}
	age := time.Duration(0)
	if was := meta.FindStatusCondition(fr.Status.Conditions, condition); was != nil && was.Status == v.status && !changed {
		age = now.Sub(was.LastTransitionTime.Time)
	}
	latest := v.latest
	if latest == 0 {
		latest = daily
	}
	return now.Add(min(max(age/4, v.soonest+time.Duration(jitter*float64(v.soonest)/2)), latest))
}

// projectChecks puts the conditions that checks have found into a status, and notes which are still to be made. It forgets those
// of which nothing can be asked now.
func (r *Reconciler) projectChecks(o *observation, d renewal.Decision, all []metav1.Condition) []metav1.Condition {
	s, now := &o.flexRegistration.Status, metav1.NewTime(r.Clock.Now().Truncate(time.Second))
	if !r.checking(o) {
		for _, c := range checks {
			meta.RemoveStatusCondition(&s.Conditions, c.condition)
		}
		s.Checks = nil
		return all
	}
	if o.rehearsal != "" {
		s.LastHandledRehearsal = o.rehearsal
	}
	var made []v1alpha1.Check
	for _, c := range checks {
		was, held := c.last(s), c.held(o, d, now.Time)
		answer, answered := o.answered[c.condition]
		switch {
		case held == asItIs:
			if was.Type != "" {
				made = append(made, was)
			}
		case held != nil:
			all = append(all, held.condition(c.condition))
		case answered:
			made = append(made, answer.check)
			all = append(all, answer.condition(c.condition))
		default:
			if was.Type == "" || was.NextTime.After(now.Time) && (was.Version != c.version(o) || o.requests[v1alpha1.AnnotationRehearse] != s.LastHandledRehearsal) {
				was.Type, was.NextTime = c.condition, now // It is to be made as soon as somebody is free.
			}
			made = append(made, was)
		}
	}
	s.Checks = made
	return all
}

// failed is what is told where Anypoint does not answer what it was asked.
func failed(err error) verdict {
	v := verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonInterrupted, message: err.Error(), soonest: soonest}
	if e := (&platform.Error{}); errors.As(err, &e) {
		v.reason, v.soonest = string(e.Class), max(v.soonest, e.RetryAfter)
	}
	return v
}

// digest of what can be told in JSON.
func digest(of ...any) string {
	hash := sha256.New()
	_ = json.NewEncoder(hash).Encode(of) // plain data
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
