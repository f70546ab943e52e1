package renewal

import (
	"cmp"
	"time"
)

// defaultBefore is how long before the expiry a certificate is renewed where nothing else is said.
const defaultBefore = 720 * time.Hour

// defaultUrgentBefore is how long before the expiry windows are not waited for where nothing else is said.
const defaultUrgentBefore = 72 * time.Hour

// defaultRolloutTime is what Kubernetes gives a Deployment to get on.
const defaultRolloutTime = 10 * time.Minute

// minInterval keeps a platform that issues certificates which are due at once from being asked in a loop. It is
// short against a certificate of an hour, which is still to be renewed before it expires.
const minInterval = 10 * time.Minute

// maxJitter is how much earlier than it must a renewal is due at the most, so that a fleet which was made at once is not
// renewed at once.
const maxJitter = 6 * time.Hour

// schedule returns when a certificate is due for renewal, and how long before its expiry it must be: before, but
// never more than a third of its lifetime. The lifetime of a certificate that was renewed counts from the
// renewal, so that one which comes back with little time left is not due again at once. It is due up to a twentieth of
// that earlier, by a jitter from 0 to 1.
func schedule(c Certificate, before time.Duration, jitter float64, renewed Renewed) (at time.Time, effective time.Duration) {
	start := c.NotBefore
	ours := renewed.Fingerprint == c.Fingerprint
	if ours && renewed.Time.After(start) {
		start = renewed.Time
	}
	effective = max(0, min(cmp.Or(before, defaultBefore), c.NotAfter.Sub(start)/3)).Truncate(time.Second)
	earlier := time.Duration(jitter * float64(min(effective/20, maxJitter))).Truncate(time.Second)
	at = c.NotAfter.Add(-effective - earlier)
	if earliest := renewed.Time.Add(minInterval); ours && at.Before(earliest) {
		at = soonest(earliest, c.NotAfter)
	}
	return at, effective
}

// start is when the renewal is planned to start: when it is due, in a window, unless it is urgent before one opens or a
// person asks for it. It is zero where that never comes.
func (m moment) start(now time.Time) time.Time {
	if m.Requested() {
		return now
	}
	from := m.RenewalTime
	if now.After(from) {
		from = now
	}
	next := m.Windows.Next(from, m.rolloutTime())
	if m.WindowInvalid != nil {
		next = time.Time{} // What was meant is not known, so nothing opens.
	}
	if m.UrgentWait {
		return next
	}
	urgent := m.urgentFrom()
	if urgent.Before(from) {
		urgent = from
	}
	return soonest(next, urgent)
}

// urgentFrom is when windows are not waited for any longer: never before half of the time that is left after the renewal
// was due has passed, so that windows count for short-lived certificates too.
func (m moment) urgentFrom() time.Time {
	return m.Certificate.NotAfter.Add(-min(cmp.Or(m.UrgentBefore, defaultUrgentBefore), m.Timing.Before/2))
}

// rolloutTime is how long a rollout may take.
func (o Observation) rolloutTime() time.Duration {
	return cmp.Or(o.RolloutTimeout, defaultRolloutTime)
}
