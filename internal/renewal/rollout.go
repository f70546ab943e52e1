package renewal

import (
	"fmt"
	"strings"
	"time"
)

func (m moment) unrolled() *Decision {
	if !m.Record.unrolled() {
		return nil
	}
	return do(StepAdvance, RollingOut, "certificate %s is published", m.Record.Desired().SerialNumber)
}

// rolling takes the Deployments one after another: the next is begun when the one before is done, or is in somebody
// else's hands. A rollout that failed, one that a person has to do, and one that does not get on don't hold up a
// renewal that is due: they are told further down.
func (m moment) rolling() *Decision {
	undone, desired, rollout := m.Undone(), m.Record.Desired().SerialNumber, m.Record.Rollout
	if len(undone) == 0 && !m.RolledOut() {
		return do(StepComplete, RollingOut, "there is nothing to be rolled to certificate %s", desired)
	}
	for _, d := range undone {
		begun, rolled := rollout.Begun(d.UID)
		problem := m.failure(d)
		switch {
		case m.byHand(d) && m.takenBack(d) && !rollout.Failed.IsZero():
			return nil // What failed there is not to be let loose on the next.
		case m.byHand(d):
			continue
		case problem != "" && rollout.Problem == "":
			decision := do(StepFail, RolloutFailed, "noting what is wrong with the rollout of Deployment %s", d.Name).of(d)
			decision.Problem = problem
			return decision
		case m.finished(d):
			return do(StepComplete, RollingOut, "every pod of Deployment %s runs with certificate %s", d.Name, desired).of(d)
		case !rolled && m.RollRefused:
			return nil
		case !rolled && !m.RolloutNever:
			return do(StepRoll, RollingOut, "rolling Deployment %s to certificate %s", d.Name, desired).of(d)
		case m.renews():
			return nil
		case m.retries(d):
			return do(StepRetry, RollingOut, "trying the rollout of Deployment %s to certificate %s anew", d.Name, desired).of(d)
		case rollout.Problem != "" || d.Paused:
			return nil
		}
		return m.underway(d, begun)
	}
	return nil
}

// underway tells of a Deployment that is being rolled, in the same words until that has come to its end: each step of it would
// be worth a write of the status.
func (m moment) underway(d Deployment, begun time.Time) *Decision {
	decision := wait(RollingOut, "Deployment %s is being rolled to certificate %s", d.Name, m.Record.Desired().SerialNumber)
	if m.Settle > 0 {
		decision.Message += fmt.Sprintf(": when its new pods are up, they are watched for %s", m.Settle)
	}
	switch {
	case m.takenBack(d):
		decision.At = m.retryAt(d)
		decision.Message = fmt.Sprintf("the rollout of Deployment %s was taken back by somebody who removed the annotation gateway.flexops.dev/registration from its pod template; it is tried anew at %s", d.Name, stamp(decision.At))
	case d.Complete && d.Down:
		decision.At = m.now.Add(m.Settle)
	case d.Complete:
		decision.At = m.settled(d)
	case m.RolloutTimeout > 0:
		decision.At = begun.Add(m.RolloutTimeout)
	}
	return decision
}

// current says that the Deployment's pod template carries the annotation of this rollout.
func (o Observation) current(d Deployment) bool { return d.Annotation == o.Record.Rollout.Annotation() }

// finished says that no pod of the Deployment can have another registration, and that those which were rolled stay up.
func (m moment) finished(d Deployment) bool {
	_, rolled := m.Record.Rollout.Begun(d.UID)
	stable := d.Complete && !d.Down && !m.now.Before(m.settled(d))
	switch {
	case m.current(d):
		return stable
	case rolled:
		// Whoever took it back has made new pods, which may be as broken as those that failed.
		return d.OldPods == 0 && d.Complete && (stable || m.Record.Rollout.Problem == "")
	default:
		// That its pods happen to be new does not do for one that is tried anew.
		anew := m.Record.Rollout.Retries > 0 && strings.HasPrefix(d.Annotation, m.Record.Rollout.Fingerprint+"-")
		return d.OldPods == 0 && (!anew || m.RolloutNever)
	}
}

// PodsDecide says that more is to be known of a Deployment that is not done than it tells itself: that is not so while it gets
// on, nor while its new pods are watched, of which it tells when one goes down.
func PodsDecide(o Observation, d Deployment, now time.Time) bool {
	switch {
	case !o.current(d) || o.Record.Rollout.Problem != "" || (moment{Observation: o, now: now}).late(d):
		return true
	case d.Complete:
		return !now.Before(o.settled(d))
	default:
		return d.WasComplete
	}
}

// settled is when it is known that the new pods stay up.
func (o Observation) settled(d Deployment) time.Time {
	if d.UpSince.IsZero() {
		return time.Time{}
	}
	return d.UpSince.Add(o.Settle)
}

// takenBack says that somebody has removed the annotation, and with it the new pods, before the rollout was done.
func (o Observation) takenBack(d Deployment) bool {
	_, rolled := o.Record.Rollout.Begun(d.UID)
	return rolled && !o.current(d) && d.OldPods > 0
}

// byHand says that a person is to restart the Deployment's pods: because the policy says so, or because a rollout was
// taken back that is not tried anew.
func (m moment) byHand(d Deployment) bool {
	return m.RolloutNever && d.OldPods > 0 && !m.current(d) || m.takenBack(d) && m.retryAt(d).IsZero()
}

// late says that a Deployment which was begun has not come up in time.
func (m moment) late(d Deployment) bool {
	if m.RolloutTimeout > 0 {
		begun, _ := m.Record.Rollout.Begun(d.UID)
		return !d.WasComplete && !d.Complete && !m.now.Before(begun.Add(m.RolloutTimeout))
	}
	return d.Failed && !d.Complete
}

// failure says why a Deployment that was begun does not come up, or has not stayed up; "" where it may yet.
func (m moment) failure(d Deployment) string {
	_, rolled := m.Record.Rollout.Begun(d.UID)
	switch {
	case !rolled || m.takenBack(d) || d.Paused:
		return ""
	case d.Unstable != "":
		return "its new pods do not stay up: " + d.Unstable
	case m.late(d) && d.Complaint != "":
		return "its new pods do not become available: " + d.Message + "; " + d.Complaint
	case m.late(d):
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
func (m moment) retryAt(d Deployment) time.Time {
	r := m.Record.Rollout
	undone := !m.current(d) && (!r.Failed.IsZero() || d.Annotation != "")
	if undone || m.RolloutNever || r.Retries >= len(retryDelays) {
		return time.Time{}
	}
	since, _ := r.Begun(d.UID)
	if r.Problem != "" {
		since = r.Failed
	}
	at, last := since.Add(retryDelays[r.Retries]), r.Started.Add(time.Hour)
	if at.After(last) || m.now.After(last) {
		return time.Time{}
	}
	return at
}

// retries says that a rollout is tried anew now: where pods are up, or somebody is mending them, that would do harm.
func (m moment) retries(d Deployment) bool {
	at := m.retryAt(d)
	failing := m.current(d) && m.Record.Rollout.Problem != "" && d.Down && (d.WasComplete || m.late(d))
	return (m.takenBack(d) || failing) && !d.Paused && !at.IsZero() && !m.now.Before(at)
}

func (m moment) rolloutFailed() *Decision {
	for _, d := range m.Undone() {
		_, rolled := m.Record.Rollout.Begun(d.UID)
		problem := m.Record.Rollout.Problem
		if d.Paused {
			problem = d.Message
		}
		if !rolled || m.byHand(d) || problem == "" {
			continue
		}
		decision := wait(RolloutFailed, "Deployment %s is not rolled out to certificate %s: %s. Pods with the certificate before it can serve until %s. Look at its new pods; the rollout goes on when they stay up",
			d.Name, m.Record.Desired().SerialNumber, problem, stamp(m.Record.Rollout.Held.NotAfter))
		if at := m.retryAt(d); m.now.Before(at) && !d.Paused && (!d.Complete || d.Down) {
			decision.At = at
			decision.Message += ", and is tried anew at " + stamp(at)
		}
		if d.Complete && !d.Down {
			decision.At = m.settled(d)
		}
		decision.Message += m.notBegun()
		return decision
	}
	return nil
}

// notBegun names the Deployments that wait for another one.
func (m moment) notBegun() string {
	var names []string
	for _, d := range m.Undone() {
		if _, rolled := m.Record.Rollout.Begun(d.UID); !rolled && !m.byHand(d) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; not rolled before that: " + strings.Join(names, ", ")
}

func (m moment) restartRequired() *Decision {
	var names []string
	pods := 0
	for _, d := range m.Undone() {
		if m.byHand(d) {
			names = append(names, "deployment/"+d.Name)
			pods += d.OldPods
		}
	}
	if len(names) == 0 {
		return nil
	}
	why := "spec.rollout.policy is Never"
	if !m.RolloutNever {
		why = "their rollout was taken back and is not repeated"
	}
	return wait(RestartRequired, "%d pods may still run with a certificate that expires at %s, and %s: run kubectl rollout restart %s%s",
		pods, stamp(m.Record.Rollout.Held.NotAfter), why, strings.Join(names, " "), m.notBegun())
}

// RolloutState is what would be decided of the rollout to the desired registration if no renewal were due; nil where it is
// complete.
func RolloutState(o Observation, now time.Time) *Decision {
	for _, rule := range []func(moment) *Decision{moment.unrolled, moment.rolling, moment.rolloutFailed, moment.restartRequired} {
		if d := rule(moment{Observation: o, now: now}); d != nil {
			return d
		}
	}
	return nil
}
