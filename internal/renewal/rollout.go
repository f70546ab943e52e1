package renewal

import (
	"strings"
	"time"
)

func unrolled(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Record.unrolled() {
		return nil
	}
	return do(StepAdvance, RollingOut, "certificate %s is published", o.Record.Newest.SerialNumber)
}

// rolling takes the Deployments one after another: the next is begun when the one before is done, or is in somebody
// else's hands. A rollout that failed, one that a person has to do, and one that does not get on don't hold up a
// renewal that is due: they are told further down.
func rolling(o Observation, base Decision, now time.Time) *Decision {
	undone := o.Undone()
	if len(undone) == 0 && !o.RolledOut() {
		return do(StepComplete, RollingOut, "there is nothing to be rolled to certificate %s", o.Record.Newest.SerialNumber)
	}
	for _, d := range undone {
		begun, rolled := o.Record.Rollout.Begun(d.UID)
		switch {
		case byHand(o, d):
			continue
		case finished(o, d):
			return of(d, do(StepComplete, RollingOut, "every pod of Deployment %s runs with certificate %s", d.Name, o.Record.Newest.SerialNumber))
		case !rolled && o.RollRefused:
			return nil
		case !rolled && !o.RolloutNever:
			return of(d, do(StepRoll, RollingOut, "rolling Deployment %s to certificate %s", d.Name, o.Record.Newest.SerialNumber))
		case base.Due || failed(o, d, now):
			return nil
		}
		// Without its progress, which would have the status written at every step of it.
		decision := wait(RollingOut, "Deployment %s is being rolled to certificate %s", d.Name, o.Record.Newest.SerialNumber)
		if o.RolloutTimeout > 0 {
			decision.At = begun.Add(o.RolloutTimeout)
		}
		return decision
	}
	return nil
}

func of(d Deployment, decision *Decision) *Decision {
	decision.Deployment = d.Name
	return decision
}

// finished says that no pod of the Deployment can have an older registration.
func finished(o Observation, d Deployment) bool {
	if d.Annotation == o.Record.Rollout.Annotation() {
		return d.Complete
	}
	return d.OldPods == 0
}

// byHand says that a person is to restart the Deployment's pods: because the policy says so, or because somebody has
// removed the annotation, and with it the new pods, before the rollout was done.
func byHand(o Observation, d Deployment) bool {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	return d.Annotation != o.Record.Rollout.Annotation() && d.OldPods > 0 && (rolled || o.RolloutNever)
}

// failed says that a Deployment which was begun does not get on.
func failed(o Observation, d Deployment, now time.Time) bool {
	begun, rolled := o.Record.Rollout.Begun(d.UID)
	switch {
	case !rolled || finished(o, d) || byHand(o, d):
		return false
	case o.RolloutTimeout > 0:
		return d.Paused || !now.Before(begun.Add(o.RolloutTimeout))
	default:
		return d.Paused || d.Failed
	}
}

func rolloutFailed(o Observation, _ Decision, now time.Time) *Decision {
	for _, d := range o.Undone() {
		if failed(o, d, now) {
			return wait(RolloutFailed, "Deployment %s did not become available with certificate %s: %s; its older pods go on serving until %s. "+
				"Look at its new pods; the rollout goes on when they are available%s",
				d.Name, o.Record.Newest.SerialNumber, d.Message, stamp(o.Record.Rollout.Held.NotAfter), notBegun(o))
		}
	}
	return nil
}

// notBegun names the Deployments that wait for another one.
func notBegun(o Observation) string {
	var names []string
	for _, d := range o.Undone() {
		if _, rolled := o.Record.Rollout.Begun(d.UID); !rolled && !byHand(o, d) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; not rolled before that: " + strings.Join(names, ", ")
}

func restartRequired(o Observation, _ Decision, _ time.Time) *Decision {
	var names []string
	pods := 0
	for _, d := range o.Undone() {
		if byHand(o, d) {
			names = append(names, "deployment/"+d.Name)
			pods += d.OldPods
		}
	}
	if len(names) == 0 {
		return nil
	}
	why := "spec.rollout.policy is Never"
	if !o.RolloutNever {
		why = "their rollout was taken back and is not repeated"
	}
	return wait(RestartRequired, "%d pods may still run with a certificate that expires at %s, and %s: run kubectl rollout restart %s",
		pods, stamp(o.Record.Rollout.Held.NotAfter), why, strings.Join(names, " "))
}

// RolloutState says how the rollout to the registration in the gateway's Secret stands; nil where it is complete.
func RolloutState(o Observation, now time.Time) *Finding {
	d := rolloutGoingOn(o, now)
	if d == nil {
		return nil
	}
	return &Finding{State: d.State, Message: d.Message}
}

// rolloutGoingOn is what would be decided of the rollout if no renewal were due; nil where it is complete.
func rolloutGoingOn(o Observation, now time.Time) *Decision {
	for _, rule := range []func(Observation, Decision, time.Time) *Decision{unrolled, rolling, rolloutFailed, restartRequired} {
		if d := rule(o, Decision{}, now); d != nil {
			return d
		}
	}
	return nil
}
