package renewal

import "time"

// Deadline is how long flexctl may take. An operator that runs it itself takes it with it when it dies, so an intent of
// one that is older than Hold belongs to a renewal that has ended for sure.
const (
	Deadline = 2 * time.Minute
	Hold     = Deadline + 30*time.Second
)

// MaxUnresolved is how many renewals of one certificate may end without an answer from the platform before
// only one a day is tried.
const MaxUnresolved = 3

// day is how long whatever waits for a change waits before it lets one try through.
const day = 24 * time.Hour

// Failure is why a renewal failed.
type Failure struct {
	State   State
	Message string
	Retry   Retry
	// Unresolved: the platform may have renewed although no usable answer arrived.
	Unresolved bool
	// Credentials is the version of the credentials that were used.
	Credentials string
	// Image is that of flexctl, where it is to blame.
	Image string
}

// Retry is how a failure is repeated.
type Retry int

const (
	// RetryBackoff: after a minute, then doubling up to six hours.
	RetryBackoff Retry = iota
	// RetrySlowly: after a quarter of an hour, then doubling up to a day.
	RetrySlowly
	// RetryOnChange: when the credentials change, or after a day.
	RetryOnChange
)

// delay before the next attempt, after that many failures in a row and with that much time until the expiry.
// Outside RetryOnChange it leaves six attempts before the expiry, or is half an hour after it.
func (r Retry) delay(failed int, remaining time.Duration) time.Duration {
	var first, longest time.Duration
	switch r {
	case RetryOnChange:
		return day
	case RetrySlowly:
		first, longest = 15*time.Minute, day
	default:
		first, longest = time.Minute, 6*time.Hour
	}
	longest = min(longest, max(remaining/6, 30*time.Minute))
	delay := first
	for i := 1; i < failed && delay < longest; i++ {
		delay *= 2
	}
	return min(delay, longest)
}
