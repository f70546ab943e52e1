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
	// StepRenew claims the certificate, renews it and records the outcome; or follows a renewal that was begun.
	StepRenew Step = "Renew"
	// StepTidy removes what renewals that have ended have left.
	StepTidy Step = "Tidy"
	// StepPublish writes the newest registration to the gateway's Secret.
	StepPublish Step = "Publish"
	// StepRestore writes the newest registration to the gateway's Secret again, where an older one was put back.
	StepRestore Step = "Restore"
	// StepNote records since when pods may come up with what was put back, where it is not restored now.
	StepNote Step = "Note"
	// StepRestored records that no pod runs with what was put back.
	StepRestored Step = "Restored"
	// StepAdvance records that the newest registration is published and its rollout begins.
	StepAdvance Step = "Advance"
	// StepRoll annotates the pod template of Decision.Deployment.
	StepRoll Step = "Roll"
	// StepFail records that Decision.Deployment did not come up, or did not stay up: Decision.Problem.
	StepFail Step = "Fail"
	// StepRetry records that the rollout is tried anew.
	StepRetry Step = "Retry"
	// StepComplete records that Decision.Deployment is rolled out, or, where that is "", that there is none.
	StepComplete Step = "Complete"
	// StepPin records that the certificate with the fingerprint Decision.Pin is to stay, or, where that is "", none.
	StepPin Step = "Pin"
)

// State is where a gateway's registration stands, and why. Its value is the reason of the Ready condition.
type State string

// The states that the plan itself knows. Findings and failures bring their own.
const (
	Scheduled          State = "Scheduled"
	Suspended          State = "Suspended"
	Renewing           State = "Renewing"
	Interrupted        State = "RenewalInterrupted"
	Pinned             State = "Pinned"
	PinUnknown         State = "PinUnknown"
	FleetPaused        State = "FleetPaused"
	Observing          State = "Observing"
	AwaitingApproval   State = "AwaitingApproval"
	Following          State = "Following"
	AwaitingSync       State = "AwaitingSync"
	RollingOut         State = "RollingOut"
	Reverted           State = "Reverted"
	Restoring          State = "Restoring"
	UnresolvedAttempts State = "UnresolvedAttempts"
	WaitingForWindow   State = "WaitingForWindow"
	NoWindowInTime     State = "NoWindowInTime"
	RolloutFailed      State = "RolloutFailed"
	RestartRequired    State = "RestartRequired"
)

// Decision is the answer to: what now, and if nothing, why not and when to look again?
type Decision struct {
	Step    Step
	State   State
	Message string
	// At is when to look again where nothing changes before: at Next, the next moment at which something else is to be done or
	// told, or after a day. Next is zero where there is none.
	At, Next time.Time
	// Deployment is the one that StepRoll, StepFail and StepComplete are about; Problem is StepFail's, Pin StepPin's.
	Deployment, Problem, Pin string
	// NextAttempt is when a renewal that is held up is tried at the latest.
	NextAttempt time.Time

	Timing
}

// Timing says when the certificate is renewed, wherever the registration could be read.
type Timing struct {
	// RenewalTime is when the certificate is due, Before how long before its expiry that is; Due says whether
	// it is due now, Urgent whether windows don't count any more.
	RenewalTime time.Time
	Before      time.Duration
	Due, Urgent bool
	// Start is when the renewal is planned to start, which windows may put off.
	Start time.Time
}

// moment is what rules decide by.
type moment struct {
	Observation
	Timing
	now time.Time
}

// rules are asked from top to bottom; the first that returns a decision ends the list.
var rules = []func(moment) *Decision{
	moment.unreadable,
	moment.observing,
	moment.resumed,
	moment.tidied,
	moment.suspended,
	moment.excluded,
	moment.confirmed,
	moment.firstSight,
	moment.pinned,
	moment.pinReplaced,
	moment.adopted,
	moment.republished,
	moment.unpublished,
	moment.reverted,
	moment.restored,
	moment.unrolled,
	moment.rolling,
	moment.stays,
	moment.follows,
	moment.interrupted,
	moment.blocked,
	moment.refused,
	moment.unresolved,
	moment.backoff,
	moment.unapproved,
	moment.outsideWindow,
	moment.paused,
	moment.due,
	moment.rolloutFailed,
	moment.restartRequired,
	moment.scheduled,
}

// Plan decides the next step.
func Plan(o Observation, now time.Time) Decision {
	m := moment{Observation: o, now: now}
	if o.Unreadable == nil {
		m.RenewalTime, m.Timing.Before = schedule(o.Certificate, o.Before, o.Jitter, o.Record.Renewed)
		m.Due = !now.Before(m.RenewalTime) || o.Requested()
		m.Urgent = m.Due && !now.Before(m.urgentFrom())
		m.Start = m.start(now)
	}
	for _, rule := range rules {
		if d := rule(m); d != nil {
			d.Timing = m.Timing
			if d.Step == StepWait {
				d.Next = m.next(d.At)
				d.At = soonest(now.Add(day), d.Next)
			}
			return *d
		}
	}
	panic("renewal: no rule decided; the last one always must")
}

// next adds the moments at which conditions change to the one that the rule waits for. Once a day everything is looked at
// again all the same, so that a missed event or a stopped timer can't last.
func (m moment) next(waited time.Time) (next time.Time) {
	for _, at := range []time.Time{waited, m.RenewalTime, m.ServingUntil(), m.Certificate.NotBefore} {
		if at.After(m.now) {
			next = soonest(next, at)
		}
	}
	return next
}

// soonest is the first of two moments, of which a zero one never comes.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// waiting says whether a wait until a moment still goes on. None of ours is longer than a day: one that seems to be
// was begun before the clock was put back, and must not last until the clock gets there again.
func waiting(until, now time.Time) bool {
	return now.Before(until) && until.Before(now.Add(day+time.Hour))
}

func wait(state State, format string, args ...any) *Decision {
	return &Decision{Step: StepWait, State: state, Message: fmt.Sprintf(format, args...)}
}

func do(step Step, state State, format string, args ...any) *Decision {
	return &Decision{Step: step, State: state, Message: fmt.Sprintf(format, args...)}
}

// of names the Deployment that a decision is about.
func (d *Decision) of(deployment Deployment) *Decision {
	d.Deployment = deployment.Name
	return d
}

// until has a wait end at a moment, where that is yet to come.
func (d *Decision) until(at time.Time) *Decision {
	d.At = at
	return d
}

// nextAttempt has a wait end when a renewal is tried.
func (d *Decision) nextAttempt(at time.Time) *Decision {
	d.At, d.NextAttempt = at, at
	return d
}

// found waits because of a finding; nil where there is none.
func found(f *Finding) *Decision {
	if f == nil {
		return nil
	}
	return wait(f.State, "%s", f.Message)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (m moment) unreadable() *Decision { return found(m.Unreadable) }

func (m moment) excluded() *Decision { return found(m.Excluded) }

func (m moment) suspended() *Decision {
	if !m.Suspended {
		return nil
	}
	if m.Due {
		return wait(Suspended, "a renewal is due but spec.suspend is set: remove it to renew")
	}
	return wait(Suspended, "nothing is renewed or rolled while spec.suspend is set; a renewal will be due at %s", stamp(m.RenewalTime))
}

func (m moment) confirmed() *Decision {
	moved := !m.Follow && m.Cluster != "" && m.Record.Cluster != m.Cluster
	if !m.Record.Exists() || !moved && m.Record.UnusedSince.IsZero() {
		return nil
	}
	return do(StepConfirm, Scheduled, "going on with the record that is there")
}

func (m moment) firstSight() *Decision {
	if m.Record.Exists() {
		return nil
	}
	return do(StepAdopt, Scheduled, "recording the registration")
}

func (m moment) adopted() *Decision {
	switch m.Standing {
	case Newer:
		return do(StepAdopt, RollingOut, "adopting certificate %s, which somebody else has renewed", m.Certificate.SerialNumber)
	case Reregistered:
		return do(StepAdopt, RollingOut, "adopting certificate %s of a new registration", m.Certificate.SerialNumber)
	default:
		return nil
	}
}

func (m moment) unpublished() *Decision {
	if !m.Unpublished() {
		return nil
	}
	there := m.Certificate.Fingerprint
	if d := m.noted(); d != nil && there != m.Record.Newest.Fingerprint && there != m.Record.Previous.Fingerprint {
		return d // Nobody has recorded it.
	}
	switch {
	case m.Follow:
		return wait(Following, "certificate %s is renewed and recorded, but not in the gateway's Secret, which nobody but others writes while spec.renewal.policy is Follow: set another policy until it is published", m.Record.Desired().SerialNumber)
	case m.External:
		return m.awaited()
	case m.Unwritable != nil:
		return found(m.Unwritable)
	default:
		return do(StepPublish, Renewing, "writing certificate %s to the gateway's Secret", m.Record.Desired().SerialNumber)
	}
}

// maxContests is how often within a day the newest registration is restored by itself; then it is once a day, or once an
// hour where the older one is about to expire.
const maxContests = 3

// reverted restores the desired registration: an old one would let the certificate expire after all.
func (m moment) reverted() *Decision {
	if m.Standing != Older {
		return nil
	}
	note, desired := m.noted(), m.Record.Desired()
	switch {
	case note != nil && (m.External || m.Follow):
		return note
	case m.Follow:
		return wait(Reverted, "the gateway's Secret holds certificate %s (expires %s), which is older than %s (expires %s), which was there before; it is not restored, since spec.renewal.policy is Follow: have it put back by whoever writes the Secret",
			m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter), desired.SerialNumber, stamp(desired.NotAfter))
	case m.External:
		return m.awaited()
	case m.Unwritable != nil:
		return found(m.Unwritable)
	}
	v := m.Record.Revert
	again := v.Last.Add(day)
	if m.Certificate.NotAfter.Before(again) {
		again = v.Last.Add(time.Hour) // It would expire meanwhile.
	}
	if v.Count < maxContests || v.Written.Equal(m.SecretChanged) || !waiting(again, m.now) || m.Requested() && m.RenewRequest != v.Request {
		return do(StepRestore, Restoring, "restoring certificate %s, in whose place somebody has put %s back", desired.SerialNumber, m.Certificate.SerialNumber)
	}
	if note != nil {
		return note
	}
	return wait(Reverted, "somebody has put certificate %s (expires %s) back into the gateway's Secret for the %d. time within a day, in the place of %s (expires %s), which is restored again at %s, or at once, and renewed, when the annotation gateway.flexops.dev/renew is set to a new value: "+
		"keep the Secret with kubectl annotate secret NAME helm.sh/resource-policy=keep, then take the registration out of what writes it (with MuleSoft's chart: set registration.secretName to the Secret); "+
		"or set spec.suspend to go on with the old one",
		m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter), v.Count+1, desired.SerialNumber, stamp(desired.NotAfter), stamp(again)).until(again)
}

// restoredMargin is how long after the Secret was written pods may still come up with what it held before.
const restoredMargin = 15 * time.Second

// restored rolls those Deployments once more whose pods have come up with what was put back.
func (m moment) restored() *Decision {
	v := m.Record.Revert
	if m.Standing != Same || v.Since.IsZero() || m.Record.unrolled() {
		return nil
	}
	for _, d := range m.Deployments {
		if d.RevertedPods > 0 {
			return do(StepAdvance, RollingOut, "pods of Deployment %s came up with certificate %s, which had been put back", d.Name, v.Held.SerialNumber)
		}
	}
	back := v.Last
	if m.SecretChanged.After(back) {
		back = m.SecretChanged // Somebody else has put it back.
	}
	if until := back.Add(restoredMargin); waiting(until, m.now) {
		return wait(Restoring, "certificate %s was restored; at %s it is known whether pods came up with what had been put back", m.Certificate.SerialNumber, stamp(until)).until(until)
	}
	return do(StepRestored, Restoring, "no pod runs with what had been put back")
}

func (m moment) scheduled() *Decision {
	if m.pins() {
		return wait(Pinned, "the gateway stays with certificate %s, which spec.pin names and which expires at %s: it is not renewed before spec.pin is removed", m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter))
	}
	if m.WindowInvalid != nil {
		return wait(m.WindowInvalid.State, "%s; the renewal is due at %s", m.WindowInvalid.Message, stamp(m.RenewalTime))
	}
	if d := m.noWindowInTime(); d != nil {
		return d
	}
	d := wait(Scheduled, "the certificate expires at %s and is renewed at %s", stamp(m.Certificate.NotAfter), stamp(m.Start))
	if m.Start.After(m.RenewalTime) {
		d.Message += ", in the first window after " + stamp(m.RenewalTime)
	}
	return d
}
