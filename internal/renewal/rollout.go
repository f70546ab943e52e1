package renewal

import (
	"fmt"
	"strings"
	"time"
)

func unrolled(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Record.unrolled() {
		return nil
	}
	return do(StepAdvance, RollingOut, "certificate %s is published", o.Record.Newest.SerialNumber)
}

// rolling takes the Deployments one after another. A rollout that failed, one that a person has to do, and one
// that is still not complete when the next renewal is due don't hold that up: they are told further down.
func rolling(o Observation, base Decision, now time.Time) *Decision {
	rollout := o.Record.Rollout
	if !rollout.Pending() {
		return nil
	}
	d := unfinished(o)
	if d == nil {
		return do(StepComplete, RollingOut, "every pod runs with certificate %s", o.Record.Newest.SerialNumber)
	}
	begun, rolled := rollout.Begun(d.UID)
	switch {
	case o.RolloutNever:
		return nil
	case !rolled:
		decision := do(StepRoll, RollingOut, "rolling Deployment %s to certificate %s", d.Name, o.Record.Newest.SerialNumber)
		decision.Deployment = d.Name
		return decision
	case takenBack(o, *d) || base.Due || rolloutHasFailed(o, *d, now):
		return nil
	}
	// Without its progress, which would have the status written at every step of it.
	decision := wait(RollingOut, "Deployment %s is being rolled to certificate %s", d.Name, o.Record.Newest.SerialNumber)
	if o.RolloutTimeout > 0 {
		decision.At = begun.Add(o.RolloutTimeout)
	}
	return decision
}

// unfinished returns the first Deployment that may have pods with an older registration.
func unfinished(o Observation) *Deployment {
	for i, d := range o.Deployments {
		if d.Annotation == o.Record.Rollout.Annotation() && !d.Complete || d.Annotation != o.Record.Rollout.Annotation() && d.OldPods > 0 {
			return &o.Deployments[i]
		}
	}
	return nil
}

// takenBack says that somebody has removed the annotation, and with it the new pods, before the rollout was complete.
func takenBack(o Observation, d Deployment) bool {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	return rolled && d.Annotation != o.Record.Rollout.Annotation()
}

func rolloutHasFailed(o Observation, d Deployment, now time.Time) bool {
	begun, rolled := o.Record.Rollout.Begun(d.UID)
	if !rolled || takenBack(o, d) {
		return false // What failed was somebody else's rollout.
	}
	if o.RolloutTimeout > 0 {
		return !now.Before(begun.Add(o.RolloutTimeout))
	}
	return d.Failed
}

func rolloutFailed(o Observation, _ Decision, now time.Time) *Decision {
	if !o.Record.Rollout.Pending() || o.RolloutNever {
		return nil
	}
	d := unfinished(o)
	if d == nil || !rolloutHasFailed(o, *d, now) {
		return nil
	}
	message := fmt.Sprintf("Deployment %s did not become available with certificate %s: %s; its older pods go on serving until %s. "+
		"Look at its new pods; the rollout goes on when they are available",
		d.Name, o.Record.Newest.SerialNumber, d.Message, stamp(o.Record.Rollout.Held.NotAfter))
	var waiting []string
	for _, other := range o.Deployments {
		if _, rolled := o.Record.Rollout.Begun(other.UID); !rolled {
			waiting = append(waiting, other.Name)
		}
	}
	if len(waiting) > 0 {
		message += "; not rolled before that: " + strings.Join(waiting, ", ")
	}
	return wait(RolloutFailed, "%s", message)
}

func restartRequired(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Record.Rollout.Pending() {
		return nil
	}
	d := unfinished(o)
	if d == nil || !o.RolloutNever && !takenBack(o, *d) {
		return nil
	}
	why := "spec.rollout.policy is Never"
	if !o.RolloutNever {
		why = "its rollout was taken back and is not repeated"
	}
	return wait(RestartRequired, "%d pods of Deployment %s may still run with a certificate that expires at %s, and %s: run kubectl rollout restart deployment/%s",
		d.OldPods, d.Name, stamp(o.Record.Rollout.Held.NotAfter), why, d.Name)
}

// RolloutState says how the rollout to the registration in the gateway's Secret stands; nil where it is complete.
func RolloutState(o Observation, now time.Time) *Finding {
	if !o.Record.unrolled() && !o.Record.Rollout.Pending() {
		return nil
	}
	for _, rule := range []func(Observation, Decision, time.Time) *Decision{rolloutFailed, restartRequired, unrolled, rolling} {
		if d := rule(o, Decision{}, now); d != nil {
			return &Finding{State: d.State, Message: d.Message}
		}
	}
	return nil
}
