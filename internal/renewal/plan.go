package renewal

import (
	"fmt"
	"time"
)

// Step is what is to be done next.
type Step string

const (
	// StepWait does nothing until something changes, or Decision.At.
	StepWait Step = "Wait"
	// StepConfirm records that the record is in use, and in which cluster.
	StepConfirm Step = "Confirm"
	// StepAdopt records the registration in the gateway's Secret as the newest.
	StepAdopt Step = "Adopt"
	// StepRenew claims the certificate, renews it and records the outcome.
	StepRenew Step = "Renew"
	// StepPublish writes the newest registration to the gateway's Secret.
	StepPublish Step = "Publish"
	// StepAdvance records that the newest registration is published and its rollout begins.
	StepAdvance Step = "Advance"
	// StepRoll annotates the pod template of Decision.Deployment.
	StepRoll Step = "Roll"
	// StepComplete records that the rollout is complete.
	StepComplete Step = "Complete"
)

// State is where a gateway's registration stands, and why. Its value is the reason of the Ready condition.
type State string

// The states that the plan itself knows. Findings and failures bring their own.
const (
	Scheduled          State = "Scheduled"
	Suspended          State = "Suspended"
	Renewing           State = "Renewing"
	Interrupted        State = "RenewalInterrupted"
	Publishing         State = "Publishing"
	RollingOut         State = "RollingOut"
	Reverted           State = "Reverted"
	UnresolvedAttempts State = "UnresolvedAttempts"
	RolloutFailed      State = "RolloutFailed"
	RestartRequired    State = "RestartRequired"
)

// Decision is the answer to: what now, and if nothing, why not and when to look again?
type Decision struct {
	Step    Step
	State   State
	Message string
	// At is when to look again where nothing changes before.
	At time.Time
	// Deployment is the one that StepRoll rolls.
	Deployment string

	// RenewalTime is when the certificate is due, Before how long before its expiry that is; Due says whether
	// it is due now. They are set wherever the registration could be read.
	RenewalTime time.Time
	Before      time.Duration
	Due         bool
}

// rules are asked from top to bottom; the first that returns a decision ends the list.
var rules = []func(Observation, Decision, time.Time) *Decision{
	unreadable,
	suspended,
	excluded,
	confirmed,
	firstSight,
	adopted,
	unpublished,
	reverted,
	unrolled,
	rolling,
	interrupted,
	blocked,
	refused,
	unresolved,
	backoff,
	due,
	rolloutFailed,
	restartRequired,
	scheduled,
}

// Plan decides the next step.
func Plan(o Observation, now time.Time) Decision {
	var base Decision
	if o.Unreadable == nil {
		base.RenewalTime, base.Before = Schedule(o.Certificate, o.Before, o.Record.Renewed)
		base.Due = !now.Before(base.RenewalTime) || requested(o)
	}
	for _, rule := range rules {
		if d := rule(o, base, now); d != nil {
			d.RenewalTime, d.Before, d.Due = base.RenewalTime, base.Before, base.Due
			if d.Step == StepWait {
				d.At = wake(o, *d, now)
			}
			return *d
		}
	}
	panic("renewal: no rule decided; the last one always must")
}

// wake adds the moments at which conditions change to the one that the rule waits for. Once a day everything
// is looked at again, so that a missed event or a stopped timer can't last.
func wake(o Observation, d Decision, now time.Time) time.Time {
	next := now.Add(day)
	for _, at := range []time.Time{d.At, d.RenewalTime, o.ServingUntil(), o.Certificate.NotBefore} {
		if at.After(now) && at.Before(next) {
			next = at
		}
	}
	return next
}

// waiting says whether a wait until a moment still goes on. None of ours is longer than a day: one that seems to be
// was begun before the clock was put back, and must not last until the clock gets there again.
func waiting(until, now time.Time) bool {
	return now.Before(until) && until.Before(now.Add(day+time.Hour))
}

// requested says whether a person asked for a renewal that has not succeeded yet.
func requested(o Observation) bool {
	return o.RenewRequest != "" && o.RenewRequest != o.Record.HandledRequest
}

func wait(state State, format string, args ...any) *Decision {
	return &Decision{Step: StepWait, State: state, Message: fmt.Sprintf(format, args...)}
}

func do(step Step, state State, format string, args ...any) *Decision {
	return &Decision{Step: step, State: state, Message: fmt.Sprintf(format, args...)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func unreadable(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Unreadable == nil {
		return nil
	}
	return wait(o.Unreadable.State, "%s", o.Unreadable.Message)
}

func excluded(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Excluded == nil {
		return nil
	}
	return wait(o.Excluded.State, "%s", o.Excluded.Message)
}

func suspended(o Observation, base Decision, _ time.Time) *Decision {
	if !o.Suspended {
		return nil
	}
	if base.Due {
		return wait(Suspended, "a renewal is due but spec.suspend is set: remove it to renew")
	}
	return wait(Suspended, "nothing is renewed or rolled while spec.suspend is set; a renewal will be due at %s", stamp(base.RenewalTime))
}

func confirmed(o Observation, _ Decision, _ time.Time) *Decision {
	moved := o.Cluster != "" && o.Record.Cluster != o.Cluster
	if !o.Record.Exists() || !moved && o.Record.UnusedSince.IsZero() {
		return nil
	}
	return do(StepConfirm, Scheduled, "going on with the record that is there")
}

func firstSight(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Record.Exists() {
		return nil
	}
	return do(StepAdopt, Scheduled, "recording the registration")
}

func adopted(o Observation, _ Decision, _ time.Time) *Decision {
	switch o.Standing {
	case Newer:
		return do(StepAdopt, RollingOut, "adopting certificate %s, which somebody else has renewed", o.Certificate.SerialNumber)
	case Reregistered:
		return do(StepAdopt, RollingOut, "adopting certificate %s of a new registration", o.Certificate.SerialNumber)
	default:
		return nil
	}
}

func unpublished(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Standing != Older || !o.Record.unrolled() {
		return nil
	}
	return do(StepPublish, Publishing, "writing certificate %s to the gateway's Secret", o.Record.Newest.SerialNumber)
}

func reverted(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Standing != Older {
		return nil
	}
	return wait(Reverted, "the gateway's Secret holds certificate %s (expires %s) again, although %s (expires %s) was published: "+
		"write the newer registration back, or register the gateway anew",
		o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter), o.Record.Newest.SerialNumber, stamp(o.Record.Newest.NotAfter))
}

func unrolled(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Record.unrolled() {
		return nil
	}
	return do(StepAdvance, RollingOut, "certificate %s is published", o.Record.Newest.SerialNumber)
}

// rolling takes the Deployments one after another. A rollout that failed, one that a person has to do, and one
// that is still not complete when the next renewal is due don't hold that up: they are told further down.
func rolling(o Observation, base Decision, now time.Time) *Decision {
	if !o.Record.Rollout.pending() {
		return nil
	}
	d := unfinished(o)
	switch {
	case d == nil:
		return do(StepComplete, RollingOut, "every pod runs with certificate %s", o.Record.Newest.SerialNumber)
	case o.RolloutNever:
		return nil
	case d.Annotation != o.Record.Rollout.Annotation():
		decision := do(StepRoll, RollingOut, "rolling Deployment %s to certificate %s", d.Name, o.Record.Newest.SerialNumber)
		decision.Deployment = d.Name
		return decision
	case base.Due || rolloutHasFailed(o, *d, now):
		return nil
	}
	// Without its progress, which would have the status written at every step of it.
	decision := wait(RollingOut, "Deployment %s is being rolled to certificate %s", d.Name, o.Record.Newest.SerialNumber)
	if o.RolloutTimeout > 0 {
		decision.At = o.Record.Rollout.Started.Add(o.RolloutTimeout)
	}
	return decision
}

// unfinished returns the first Deployment whose pods don't all run with the published registration.
func unfinished(o Observation) *Deployment {
	want := o.Record.Rollout.Annotation()
	for i, d := range o.Deployments {
		if o.RolloutNever && d.OldPods == 0 || !o.RolloutNever && d.Annotation == want && d.Complete {
			continue
		}
		return &o.Deployments[i]
	}
	return nil
}

func rolloutHasFailed(o Observation, d Deployment, now time.Time) bool {
	if d.Annotation != o.Record.Rollout.Annotation() {
		return false // It is still to begin; what failed was somebody else's.
	}
	if o.RolloutTimeout > 0 {
		return !now.Before(o.Record.Rollout.Started.Add(o.RolloutTimeout))
	}
	return d.Failed
}

// openIntent returns the intent for the present certificate.
func openIntent(o Observation) *Intent {
	if i := o.Record.Intent; i != nil && i.Fingerprint == o.Certificate.Fingerprint {
		return i
	}
	return nil
}

func interrupted(o Observation, base Decision, now time.Time) *Decision {
	intent := openIntent(o)
	if intent == nil || !base.Due {
		return nil
	}
	if until := intent.Since.Add(Hold); waiting(until, now) {
		d := wait(Interrupted, "attempt %d to renew certificate %s was started at %s by %s and has no outcome yet; it is repeated after %s",
			intent.Attempt, o.Certificate.SerialNumber, stamp(intent.Since), intent.By, stamp(until))
		d.At = until
		return d
	}
	return nil
}

func blocked(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Blocked == nil {
		return nil
	}
	return wait(o.Blocked.State, "%s", o.Blocked.Message)
}

// refused keeps credentials that were refused for another gateway from being tried for this one too.
func refused(o Observation, base Decision, now time.Time) *Decision {
	r := o.Refused
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	if !base.Due || r == nil || !waiting(r.Until, now) || asksAnew(o, a) {
		return nil
	}
	d := wait(r.State, "%s; they are tried again when the credentials Secret changes, or at %s", r.Message, stamp(r.Until))
	d.At = r.Until
	return d
}

// asksAnew says that a person asked for a renewal after the last attempt: that ends every wait but an open intent.
func asksAnew(o Observation, a Attempts) bool {
	return requested(o) && o.RenewRequest != a.Request
}

func unresolved(o Observation, base Decision, now time.Time) *Decision {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	count, last := a.Unresolved, a.Last
	if i := openIntent(o); i != nil {
		count, last = count+1, i.Since
	}
	if !base.Due || count < MaxUnresolved || asksAnew(o, a) || !waiting(last.Add(day), now) {
		return nil
	}
	d := wait(UnresolvedAttempts, "%d attempts to renew certificate %s ended without an answer from Anypoint, the last at %s (%s): "+
		"find out whether they arrived there; the next try is at %s, or at once when the annotation gateway.flexops.dev/renew is set to a new value",
		count, o.Certificate.SerialNumber, stamp(last), orElse(a.Message, "the operator stopped"), stamp(last.Add(day)))
	d.At = last.Add(day)
	return d
}

func backoff(o Observation, base Decision, now time.Time) *Decision {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	changed := a.Refused != "" && a.Refused != o.Credentials
	if !base.Due || !waiting(a.Next, now) || changed || asksAnew(o, a) {
		return nil
	}
	d := wait(a.State, "attempt %d to renew certificate %s failed at %s: %s; the next is at %s",
		a.Failed, o.Certificate.SerialNumber, stamp(a.Last), a.Message, stamp(a.Next))
	if a.Refused != "" {
		d.Message += ", or as soon as the credentials Secret changes"
	}
	d.At = a.Next
	return d
}

func due(o Observation, base Decision, _ time.Time) *Decision {
	if !base.Due {
		return nil
	}
	return do(StepRenew, Renewing, "renewing certificate %s, which expires at %s", o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter))
}

func rolloutFailed(o Observation, _ Decision, now time.Time) *Decision {
	if !o.Record.Rollout.pending() || o.RolloutNever {
		return nil
	}
	d := unfinished(o)
	if d == nil || !rolloutHasFailed(o, *d, now) {
		return nil
	}
	return wait(RolloutFailed, "Deployment %s did not become available with certificate %s: %s; its older pods go on serving until %s. "+
		"Look at its new pods; the rollout counts as complete as soon as they are available",
		d.Name, o.Record.Newest.SerialNumber, d.Message, stamp(o.Record.Rollout.Held.NotAfter))
}

func restartRequired(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Record.Rollout.pending() || !o.RolloutNever {
		return nil
	}
	d := unfinished(o)
	if d == nil {
		return nil
	}
	return wait(RestartRequired, "%d pods of Deployment %s may still run with a certificate that expires at %s, and spec.rollout.policy is Never: "+
		"run kubectl rollout restart deployment/%s", d.OldPods, d.Name, stamp(o.Record.Rollout.Held.NotAfter), d.Name)
}

// RolloutState says how the rollout to the registration in the gateway's Secret stands; nil where it is complete.
func RolloutState(o Observation, now time.Time) *Finding {
	if !o.Record.unrolled() && !o.Record.Rollout.pending() {
		return nil
	}
	for _, rule := range []func(Observation, Decision, time.Time) *Decision{rolloutFailed, restartRequired, unrolled, rolling} {
		if d := rule(o, Decision{}, now); d != nil {
			return &Finding{State: d.State, Message: d.Message}
		}
	}
	return nil
}

func scheduled(o Observation, base Decision, _ time.Time) *Decision {
	d := wait(Scheduled, "the certificate expires at %s and is renewed at %s", stamp(o.Certificate.NotAfter), stamp(base.RenewalTime))
	d.At = base.RenewalTime
	return d
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
