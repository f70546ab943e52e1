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
	return do(StepAdvance, RollingOut, "certificate %s is published", o.Record.Desired().SerialNumber)
}

// rolling takes the Deployments one after another: the next is begun when the one before is done, or is in somebody
// else's hands. A rollout that failed, one that a person has to do, and one that does not get on don't hold up a
// renewal that is due: they are told further down.
func rolling(o Observation, base Decision, now time.Time) *Decision {
	undone, desired, rollout := o.Undone(), o.Record.Desired().SerialNumber, o.Record.Rollout
	if len(undone) == 0 && !o.RolledOut() {
		return do(StepComplete, RollingOut, "there is nothing to be rolled to certificate %s", desired)
	}
	for _, d := range undone {
		begun, rolled := rollout.Begun(d.UID)
		problem := failure(o, d, now)
		switch {
		case byHand(o, d, now) && takenBack(o, d) && !rollout.Failed.IsZero():
			return nil // What failed there is not to be let loose on the next.
		case byHand(o, d, now):
			continue
		case problem != "" && rollout.Problem == "":
			decision := do(StepFail, RolloutFailed, "noting what is wrong with the rollout of Deployment %s", d.Name).of(d)
			decision.Problem = problem
			return decision
		case finished(o, d, now):
			return do(StepComplete, RollingOut, "every pod of Deployment %s runs with certificate %s", d.Name, desired).of(d)
		case !rolled && o.RollRefused:
			return nil
		case !rolled && !o.RolloutNever:
			return do(StepRoll, RollingOut, "rolling Deployment %s to certificate %s", d.Name, desired).of(d)
		case renews(o, base):
			return nil
		case retries(o, d, now):
			return do(StepRetry, RollingOut, "trying the rollout of Deployment %s to certificate %s anew", d.Name, desired).of(d)
		case rollout.Problem != "" || d.Paused:
			return nil
		}
		return underway(o, d, begun, now)
	}
	return nil
}

// underway tells of a Deployment that is being rolled, in the same words until that has come to its end: each step of it would
// be worth a write of the status.
func underway(o Observation, d Deployment, begun, now time.Time) *Decision {
	decision := wait(RollingOut, "Deployment %s is being rolled to certificate %s", d.Name, o.Record.Desired().SerialNumber)
	if o.Settle > 0 {
		decision.Message += fmt.Sprintf(": when its new pods are up, they are watched for %s", o.Settle)
	}
	switch {
	case takenBack(o, d):
		decision.At = retryAt(o, d, now)
		decision.Message = fmt.Sprintf("the rollout of Deployment %s was taken back by somebody who removed the annotation gateway.flexops.dev/registration from its pod template; it is tried anew at %s", d.Name, stamp(decision.At))
	case d.Complete && d.Down:
		decision.At = now.Add(o.Settle)
	case d.Complete:
		decision.At = settled(o, d)
	case o.RolloutTimeout > 0:
		decision.At = begun.Add(o.RolloutTimeout)
	}
	return decision
}

// current says that the Deployment's pod template carries the annotation of this rollout.
func current(o Observation, d Deployment) bool { return d.Annotation == o.Record.Rollout.Annotation() }

// finished says that no pod of the Deployment can have another registration, and that those which were rolled stay up.
func finished(o Observation, d Deployment, now time.Time) bool {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	stable := d.Complete && !d.Down && !now.Before(settled(o, d))
	switch {
	case current(o, d):
		return stable
	case rolled:
		// Whoever took it back has made new pods, which may be as broken as those that failed.
		return d.OldPods == 0 && d.Complete && (stable || o.Record.Rollout.Problem == "")
	default:
		// That its pods happen to be new does not do for one that is tried anew.
		anew := o.Record.Rollout.Retries > 0 && strings.HasPrefix(d.Annotation, o.Record.Rollout.Fingerprint+"-")
		return d.OldPods == 0 && (!anew || o.RolloutNever)
	}
}

// PodsDecide says that more is to be known of a Deployment that is not done than it tells itself: that is not so while it gets
// on, nor while its new pods are watched, of which it tells when one goes down.
func PodsDecide(o Observation, d Deployment, now time.Time) bool {
	switch {
	case !current(o, d) || o.Record.Rollout.Problem != "" || late(o, d, now):
		return true
	case d.Complete:
		return !now.Before(settled(o, d))
	default:
		return d.WasComplete
	}
}

// settled is when it is known that the new pods stay up.
func settled(o Observation, d Deployment) time.Time {
	if d.UpSince.IsZero() {
		return time.Time{}
	}
	return d.UpSince.Add(o.Settle)
}

// takenBack says that somebody has removed the annotation, and with it the new pods, before the rollout was done.
func takenBack(o Observation, d Deployment) bool {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	return rolled && !current(o, d) && d.OldPods > 0
}

// byHand says that a person is to restart the Deployment's pods: because the policy says so, or because a rollout was
// taken back that is not tried anew.
func byHand(o Observation, d Deployment, now time.Time) bool {
	return o.RolloutNever && d.OldPods > 0 && !current(o, d) || takenBack(o, d) && retryAt(o, d, now).IsZero()
}

// late says that a Deployment which was begun has not come up in time.
func late(o Observation, d Deployment, now time.Time) bool {
	if o.RolloutTimeout > 0 {
		begun, _ := o.Record.Rollout.Begun(d.UID)
		return !d.WasComplete && !d.Complete && !now.Before(begun.Add(o.RolloutTimeout))
	}
	return d.Failed && !d.Complete
}

// failure says why a Deployment that was begun does not come up, or has not stayed up; "" where it may yet.
func failure(o Observation, d Deployment, now time.Time) string {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	switch {
	case !rolled || takenBack(o, d) || d.Paused:
		return ""
	case d.Unstable != "":
		return "its new pods do not stay up: " + d.Unstable
	case late(o, d, now) && d.Complaint != "":
		return "its new pods do not become available: " + d.Message + "; " + d.Complaint
	case late(o, d, now):
		return "its new pods do not become available: " + d.Message
	default:
		return ""
	}
}

// DefaultSettle is how long new pods are watched after a rollout where nothing else is said.
const DefaultSettle = time.Minute

// retryDelays are how long the tries of a rollout that failed, or was taken back, are put off. They are few: Kubernetes itself
// goes on restarting the pods; new ones are for what only they get out of, and could do harm.
var retryDelays = []time.Duration{10 * time.Minute, 30 * time.Minute}

// retryAt is when a rollout that failed, or was taken back, is tried anew; zero where it is not: an hour after it was begun,
// since a window may have closed, and where a person took back what had failed, or an earlier revision. Who does that may
// know why.
func retryAt(o Observation, d Deployment, now time.Time) time.Time {
	r := o.Record.Rollout
	undone := !current(o, d) && (!r.Failed.IsZero() || d.Annotation != "")
	if undone || o.RolloutNever || r.Retries >= len(retryDelays) {
		return time.Time{}
	}
	since, _ := r.Begun(d.UID)
	if r.Problem != "" {
		since = r.Failed
	}
	at, last := since.Add(retryDelays[r.Retries]), r.Started.Add(time.Hour)
	if at.After(last) || now.After(last) {
		return time.Time{}
	}
	return at
}

// retries says that a rollout is tried anew now: where pods are up, or somebody is mending them, that would do harm.
func retries(o Observation, d Deployment, now time.Time) bool {
	at := retryAt(o, d, now)
	failing := current(o, d) && o.Record.Rollout.Problem != "" && d.Down && (d.WasComplete || late(o, d, now))
	return (takenBack(o, d) || failing) && !d.Paused && !at.IsZero() && !now.Before(at)
}

func rolloutFailed(o Observation, _ Decision, now time.Time) *Decision {
	for _, d := range o.Undone() {
		_, rolled := o.Record.Rollout.Begun(d.UID)
		problem := o.Record.Rollout.Problem
		if d.Paused {
			problem = d.Message
		}
		if !rolled || byHand(o, d, now) || problem == "" {
			continue
		}
		decision := wait(RolloutFailed, "Deployment %s is not rolled out to certificate %s: %s. Pods with the certificate before it can serve until %s. Look at its new pods; the rollout goes on when they stay up",
			d.Name, o.Record.Desired().SerialNumber, problem, stamp(o.Record.Rollout.Held.NotAfter))
		if at := retryAt(o, d, now); now.Before(at) && !d.Paused && (!d.Complete || d.Down) {
			decision.At = at
			decision.Message += ", and is tried anew at " + stamp(at)
		}
		if d.Complete && !d.Down {
			decision.At = settled(o, d)
		}
		decision.Message += notBegun(o, now)
		return decision
	}
	return nil
}

// notBegun names the Deployments that wait for another one.
func notBegun(o Observation, now time.Time) string {
	var names []string
	for _, d := range o.Undone() {
		if _, rolled := o.Record.Rollout.Begun(d.UID); !rolled && !byHand(o, d, now) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; not rolled before that: " + strings.Join(names, ", ")
}

func restartRequired(o Observation, _ Decision, now time.Time) *Decision {
	var names []string
	pods := 0
	for _, d := range o.Undone() {
		if byHand(o, d, now) {
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
	return wait(RestartRequired, "%d pods may still run with a certificate that expires at %s, and %s: run kubectl rollout restart %s%s",
		pods, stamp(o.Record.Rollout.Held.NotAfter), why, strings.Join(names, " "), notBegun(o, now))
}

// RolloutState is what would be decided of the rollout to the desired registration if no renewal were due; nil where it is
// complete.
func RolloutState(o Observation, now time.Time) *Decision {
	for _, rule := range []func(Observation, Decision, time.Time) *Decision{unrolled, rolling, rolloutFailed, restartRequired} {
		if d := rule(o, Decision{}, now); d != nil {
			return d
		}
	}
	return nil
}
