package renewal

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// resumed follows a renewal that goes on in a Job, whatever else has changed meanwhile: its answer can't be had again.
func (m moment) resumed() *Decision {
	if !m.Resumable || m.Record.Intent == nil {
		return nil
	}
	return do(StepRenew, Renewing, "renewing in Job %s", m.Record.Intent.Job)
}

// tidied removes what renewals have left that have ended.
func (m moment) tidied() *Decision {
	if m.Leftovers == 0 {
		return nil
	}
	return do(StepTidy, Scheduled, "removing what earlier renewals have left")
}

// openIntent returns the intent for the present certificate.
func (o Observation) openIntent() *Intent {
	if i := o.Record.Intent; i != nil && i.Fingerprint == o.Certificate.Fingerprint {
		return i
	}
	return nil
}

func (m moment) interrupted() *Decision {
	intent := m.openIntent()
	if intent == nil || !m.Due || !waiting(intent.Until, m.now) {
		return nil
	}
	return wait(Interrupted, "attempt %d to renew certificate %s was started at %s by %s and has no outcome yet; it is repeated after %s",
		intent.Attempt, m.Certificate.SerialNumber, stamp(intent.Since), intent.By, stamp(intent.Until)).nextAttempt(intent.Until)
}

func (m moment) blocked() *Decision { return found(m.Blocked) }

// refused keeps credentials that were refused for another gateway from being tried for this one too.
func (m moment) refused() *Decision {
	r := m.Refused
	if !m.Due || r == nil || !waiting(r.Until, m.now) || m.asksAnew() {
		return nil
	}
	return wait(r.State, "%s; they are tried again when the credentials Secret changes, or at %s", r.Message, stamp(r.Until)).nextAttempt(r.Until)
}

// attempts are those to renew the present certificate.
func (o Observation) attempts() Attempts { return o.Record.AttemptsFor(o.Certificate.Fingerprint) }

// asksAnew says that a person asked for a renewal after the last attempt: that ends every wait but an open intent.
func (o Observation) asksAnew() bool {
	return o.Requested() && o.RenewRequest != o.attempts().Request
}

func (m moment) unresolved() *Decision {
	a := m.attempts()
	count, last := a.Unresolved, a.Last
	if i := m.openIntent(); i != nil {
		count, last = count+1, i.Since
	}
	again := last.Add(day)
	if !m.Due || count < MaxUnresolved || m.asksAnew() || !waiting(again, m.now) {
		return nil
	}
	return wait(UnresolvedAttempts, "%d attempts to renew certificate %s ended without an answer from Anypoint, the last at %s (%s): "+
		"find out whether they arrived there; the next try is at %s, or at once when the annotation gateway.flexops.dev/renew is set to a new value",
		count, m.Certificate.SerialNumber, stamp(last), cmp.Or(a.Message, "the operator stopped"), stamp(again)).nextAttempt(again)
}

func (m moment) backoff() *Decision {
	a := m.attempts()
	changed := a.Refused != "" && a.Refused != m.Credentials || a.Image != "" && a.Image != m.Image
	if !m.Due || !waiting(a.Next, m.now) || changed || m.asksAnew() {
		return nil
	}
	next := a.Next
	if at := m.start(next); at.After(next) && !goesOn(a.Last, next) {
		next = at // No window is open then.
	}
	d := wait(a.State, "attempt %d to renew certificate %s failed at %s: %s; the next is at %s",
		a.Failed, m.Certificate.SerialNumber, stamp(a.Last), a.Message, stamp(next))
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
func (m moment) outsideWindow() *Decision {
	a := m.attempts()
	if !m.Due || !m.Start.IsZero() && !m.Start.After(m.now) || a.Failed > 0 && goesOn(a.Last, m.now) {
		return nil
	}
	if i := m.openIntent(); i != nil && goesOn(i.Until, m.now) {
		return nil
	}
	d := m.untilWindow()
	if d.State == WaitingForWindow {
		return m.afterRollout(d)
	}
	return d
}

// afterRollout lets a wait for a renewal go behind what is wrong with the last rollout: it may take weeks, in which that must
// not be hidden, nor left undone.
func (m moment) afterRollout(d *Decision) *Decision {
	rollout := RolloutState(m.Observation, m.now)
	if rollout == nil {
		return d
	}
	if rollout.Step == StepWait && d.At.After(m.now) {
		rollout.At = soonest(rollout.At, d.At)
	}
	return rollout
}

// goesOn says that what began at a moment may be repeated outside of windows.
func goesOn(since, now time.Time) bool { return waiting(since.Add(time.Hour), now) }

// untilWindow says what a renewal waits for that is due.
func (m moment) untilWindow() *Decision {
	state, why := WaitingForWindow, "a renewal is due and waits until a window opens"
	if d := m.noWindowInTime(); d != nil {
		return d
	}
	switch a := m.attempts(); {
	case m.WindowInvalid != nil:
		state, why = m.WindowInvalid.State, m.WindowInvalid.Message
	case a.Failed > 0:
		state, why = a.State, fmt.Sprintf("attempt %d to renew certificate %s failed at %s: %s; the next waits until a window opens", a.Failed, m.Certificate.SerialNumber, stamp(a.Last), a.Message)
	}
	if m.Start.IsZero() {
		return wait(state, "%s: nothing starts before that is corrected, since spec.renewal.urgentPolicy is Wait", why)
	}
	d := wait(state, "%s: it starts at %s", why, stamp(m.Start)).nextAttempt(m.Start)
	if !m.UrgentWait && m.Start.Equal(m.urgentFrom()) {
		d.Message += ", when it is urgent, since no window opens before"
	}
	return d
}

// noWindowInTime tells that the certificate would expire before a window opens; nil where one opens.
func (m moment) noWindowInTime() *Decision {
	if !m.UrgentWait || m.WindowInvalid != nil || !m.Start.IsZero() && !m.Start.After(m.Certificate.NotAfter) {
		return nil
	}
	d := wait(NoWindowInTime, "no window opens before the certificate expires at %s, and spec.renewal.urgentPolicy is Wait: open one, or let it proceed", stamp(m.Certificate.NotAfter)).nextAttempt(m.Start)
	if !m.Start.IsZero() {
		d.Message += "; the next opens at " + stamp(m.Start)
	}
	return d
}

// paused holds renewals off that are not urgent while one rollout after another fails, wherever that is: what is wrong
// with them is likely to be wrong here, too. One a day is let through, and what a person asks for.
func (m moment) paused() *Decision {
	f, until := m.Fleet, m.Fleet.Last.Add(day)
	if !m.Due || !f.Failing() || !waiting(until, m.now) || m.Urgent || m.Requested() {
		return nil
	}
	limit := m.urgentFrom()
	until = soonest(until, limit)
	if m.UrgentWait {
		limit = m.Certificate.NotAfter
	}
	if next := m.Windows.Next(until, m.rolloutTime()); next.IsZero() || next.After(limit) {
		return nil // This window is the last one.
	}
	d := wait(FleetPaused, "a renewal is due and waits until %s, since the last %d rollouts of gateways have failed, one after another%s: mend them, or suspend those that are known to fail, "+
		"or ask for this renewal by setting the annotation gateway.flexops.dev/renew to a new value", stamp(until), f.Failed, here(f)).nextAttempt(until)
	return m.afterRollout(d)
}

// here names the gateways that a reader of this one may know.
func here(f Fleet) string {
	if len(f.Here) == 0 {
		return ""
	}
	return " (in this namespace: " + strings.Join(f.Here, ", ") + ")"
}

func (m moment) due() *Decision {
	if !m.Due {
		return nil
	}
	d := do(StepRenew, Renewing, "renewing certificate %s, which expires at %s", m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter))
	open := m.WindowInvalid == nil && m.Windows.Next(m.now, m.rolloutTime()).Equal(m.now)
	if !m.Requested() && !open && m.Urgent {
		d.Message += "; this is urgent, so that no window is waited for"
	}
	return d
}
