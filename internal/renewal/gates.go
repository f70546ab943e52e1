package renewal

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// resumed follows a renewal that goes on in a Job, whatever else has changed meanwhile: its answer can't be had again.
func resumed(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.Resumable || o.Record.Intent == nil {
		return nil
	}
	return do(StepRenew, Renewing, "renewing in Job %s", o.Record.Intent.Job)
}

// tidied removes what renewals have left that have ended.
func tidied(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Leftovers == 0 {
		return nil
	}
	return do(StepTidy, Scheduled, "removing what earlier renewals have left")
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
	if intent == nil || !base.Due || !waiting(intent.Until, now) {
		return nil
	}
	return wait(Interrupted, "attempt %d to renew certificate %s was started at %s by %s and has no outcome yet; it is repeated after %s",
		intent.Attempt, o.Certificate.SerialNumber, stamp(intent.Since), intent.By, stamp(intent.Until)).nextAttempt(intent.Until)
}

func blocked(o Observation, _ Decision, _ time.Time) *Decision { return found(o.Blocked) }

// refused keeps credentials that were refused for another gateway from being tried for this one too.
func refused(o Observation, base Decision, now time.Time) *Decision {
	r := o.Refused
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	if !base.Due || r == nil || !waiting(r.Until, now) || asksAnew(o, a) {
		return nil
	}
	return wait(r.State, "%s; they are tried again when the credentials Secret changes, or at %s", r.Message, stamp(r.Until)).nextAttempt(r.Until)
}

// asksAnew says that a person asked for a renewal after the last attempt: that ends every wait but an open intent.
func asksAnew(o Observation, a Attempts) bool {
	return o.Requested() && o.RenewRequest != a.Request
}

func unresolved(o Observation, base Decision, now time.Time) *Decision {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	count, last := a.Unresolved, a.Last
	if i := openIntent(o); i != nil {
		count, last = count+1, i.Since
	}
	again := last.Add(day)
	if !base.Due || count < MaxUnresolved || asksAnew(o, a) || !waiting(again, now) {
		return nil
	}
	return wait(UnresolvedAttempts, "%d attempts to renew certificate %s ended without an answer from Anypoint, the last at %s (%s): "+
		"find out whether they arrived there; the next try is at %s, or at once when the annotation gateway.flexops.dev/renew is set to a new value",
		count, o.Certificate.SerialNumber, stamp(last), cmp.Or(a.Message, "the operator stopped"), stamp(again)).nextAttempt(again)
}

func backoff(o Observation, base Decision, now time.Time) *Decision {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	changed := a.Refused != "" && a.Refused != o.Credentials || a.Image != "" && a.Image != o.Image
	if !base.Due || !waiting(a.Next, now) || changed || asksAnew(o, a) {
		return nil
	}
	next := a.Next
	if at := start(o, base, next); at.After(next) && !goesOn(a.Last, next) {
		next = at // No window is open then.
	}
	d := wait(a.State, "attempt %d to renew certificate %s failed at %s: %s; the next is at %s",
		a.Failed, o.Certificate.SerialNumber, stamp(a.Last), a.Message, stamp(next))
	if a.Refused != "" {
		d.Message += ", or as soon as the credentials Secret changes"
	}
	if a.Image != "" {
		d.Message += ", or as soon as flexctl's image changes"
	}
	d.At, d.NextAttempt = a.Next, next
	return d
}

// outsideWindow holds a renewal off that is due until a window opens, or until it is urgent. What has started goes on: an
// attempt that failed, or was interrupted, is repeated for an hour. A person who asks for a renewal wants it now.
func outsideWindow(o Observation, base Decision, now time.Time) *Decision {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	if !base.Due || !base.Start.IsZero() && !base.Start.After(now) || a.Failed > 0 && goesOn(a.Last, now) {
		return nil
	}
	if i := openIntent(o); i != nil && goesOn(i.Until, now) {
		return nil
	}
	d := untilWindow(o, base, a)
	if d.State == WaitingForWindow {
		return afterRollout(o, d, now)
	}
	return d
}

// afterRollout lets a wait for a renewal go behind what is wrong with the last rollout: it may take weeks, in which that must
// not be hidden, nor left undone.
func afterRollout(o Observation, d *Decision, now time.Time) *Decision {
	rollout := RolloutState(o, now)
	if rollout == nil {
		return d
	}
	if rollout.Step == StepWait && d.At.After(now) {
		rollout.At = soonest(rollout.At, d.At)
	}
	return rollout
}

// goesOn says that what began at a moment may be repeated outside of windows.
func goesOn(since, now time.Time) bool { return waiting(since.Add(time.Hour), now) }

// untilWindow says what a renewal waits for that is due.
func untilWindow(o Observation, base Decision, a Attempts) *Decision {
	state, why := WaitingForWindow, "a renewal is due and waits until a window opens"
	switch {
	case o.WindowInvalid != nil:
		state, why = o.WindowInvalid.State, o.WindowInvalid.Message
	case noWindow(o, base):
		return noWindowInTime(o, base)
	case a.Failed > 0:
		state, why = a.State, fmt.Sprintf("attempt %d to renew certificate %s failed at %s: %s; the next waits until a window opens", a.Failed, o.Certificate.SerialNumber, stamp(a.Last), a.Message)
	}
	if base.Start.IsZero() {
		return wait(state, "%s: nothing starts before that is corrected, since spec.renewal.urgentPolicy is Wait", why)
	}
	d := wait(state, "%s: it starts at %s", why, stamp(base.Start)).nextAttempt(base.Start)
	if !o.UrgentWait && base.Start.Equal(urgentFrom(o, base)) {
		d.Message += ", when it is urgent, since no window opens before"
	}
	return d
}

// noWindow says that the certificate would expire before a window opens.
func noWindow(o Observation, base Decision) bool {
	return o.UrgentWait && o.WindowInvalid == nil && (base.Start.IsZero() || base.Start.After(o.Certificate.NotAfter))
}

func noWindowInTime(o Observation, base Decision) *Decision {
	d := wait(NoWindowInTime, "no window opens before the certificate expires at %s, and spec.renewal.urgentPolicy is Wait: open one, or let it proceed", stamp(o.Certificate.NotAfter)).nextAttempt(base.Start)
	if !base.Start.IsZero() {
		d.Message += "; the next opens at " + stamp(base.Start)
	}
	return d
}

// paused holds renewals off that are not urgent while one rollout after another fails, wherever that is: what is wrong
// with them is likely to be wrong here, too. One a day is let through, and what a person asks for.
func paused(o Observation, base Decision, now time.Time) *Decision {
	f, until := o.Fleet, o.Fleet.Last.Add(day)
	if !base.Due || !f.Failing() || !waiting(until, now) || base.Urgent || o.Requested() {
		return nil
	}
	limit := urgentFrom(o, base)
	until = soonest(until, limit)
	if o.UrgentWait {
		limit = o.Certificate.NotAfter
	}
	if next := o.Windows.Next(until, rolloutTime(o)); next.IsZero() || next.After(limit) {
		return nil // This window is the last one.
	}
	d := wait(FleetPaused, "a renewal is due and waits until %s, since the last %d rollouts of gateways have failed, one after another%s: mend them, or suspend those that are known to fail, "+
		"or ask for this renewal by setting the annotation gateway.flexops.dev/renew to a new value", stamp(until), f.Failed, here(f)).nextAttempt(until)
	return afterRollout(o, d, now)
}

// here names the gateways that a reader of this one may know.
func here(f Fleet) string {
	if len(f.Here) == 0 {
		return ""
	}
	return " (in this namespace: " + strings.Join(f.Here, ", ") + ")"
}

func due(o Observation, base Decision, now time.Time) *Decision {
	if !base.Due {
		return nil
	}
	d := do(StepRenew, Renewing, "renewing certificate %s, which expires at %s", o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter))
	open := o.WindowInvalid == nil && o.Windows.Next(now, rolloutTime(o)).Equal(now)
	if !o.Requested() && !open && base.Urgent {
		d.Message += "; this is urgent, so that no window is waited for"
	}
	return d
}
