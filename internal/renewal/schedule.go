package renewal

import "time"

// DefaultBefore is how long before the expiry a certificate is renewed where nothing else is said.
const DefaultBefore = 720 * time.Hour

// minInterval keeps a platform that issues certificates which are due at once from being asked in a loop. It is
// short against a certificate of an hour, which is still to be renewed before it expires.
const minInterval = 10 * time.Minute

// Schedule returns when a certificate is due for renewal, and how long before its expiry that is: before, but
// never more than a third of its lifetime. The lifetime of a certificate that was renewed counts from the
// renewal, so that one which comes back with little time left is not due again at once.
func Schedule(c Certificate, before time.Duration, renewed Renewed) (at time.Time, effective time.Duration) {
	if before <= 0 {
		before = DefaultBefore
	}
	start := c.NotBefore
	ours := renewed.Fingerprint == c.Fingerprint
	if ours && renewed.Time.After(start) {
		start = renewed.Time
	}
	effective = max(0, min(before, c.NotAfter.Sub(start)/3)).Truncate(time.Second)
	at = c.NotAfter.Add(-effective)
	if earliest := renewed.Time.Add(minInterval); ours && at.Before(earliest) {
		at = earliest
		if at.After(c.NotAfter) {
			at = c.NotAfter
		}
	}
	return at, effective
}
