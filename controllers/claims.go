package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// claims is what this process itself knows of the renewals that it makes. What other FlexRegistrations' statuses say
// may not be in the cache yet when the next one looks.
type claims struct {
	mu sync.Mutex
	// renewals are the FlexRegistrations that renew, or have renewed, a certificate, by its fingerprint.
	renewals map[string]types.NamespacedName
	// turns are those of the FlexRegistrations that renew just now, most how many there may be.
	turns map[types.NamespacedName]turn
	most  int
	// pace is how many may begin in a time, nil for any number: a platform that is asked too often refuses everybody.
	pace *rate.Limiter
	// waiting are the FlexRegistrations that wait for their turn.
	waiting map[types.NamespacedName]waiting
	// trier is the one that renews although the fleet is paused, triedAt since when.
	trier   types.NamespacedName
	triedAt time.Time
	// tried are the credentials that Anypoint was asked with, by their version: how it has refused them, nil where it has not.
	tried map[string]*refusal
}

// newClaims allows for so many renewals and rollouts at a time, and renewals in a minute; 0 for any number of these.
func newClaims(most, perMinute int) *claims {
	var pace *rate.Limiter
	if perMinute > 0 {
		// One after the other: who waits longest for its first try is not overtaken by a minute's worth at once.
		pace = rate.NewLimiter(rate.Every(time.Minute/time.Duration(perMinute)), max(1, perMinute/4))
	}
	return &claims{
		pace:     pace,
		renewals: map[string]types.NamespacedName{},
		turns:    map[types.NamespacedName]turn{},
		most:     max(1, most),
		waiting:  map[types.NamespacedName]waiting{},
		tried:    map[string]*refusal{},
	}
}

// refusal says that a FlexRegistration of the namespace tried credentials that were refused.
type refusal struct {
	by    string
	state renewal.State
	until time.Time
}

// turn is that of a FlexRegistration which renews, or whose gateway is rolled. It is kept from one look to the next, so it
// ends by itself, should nobody look any more.
type turn struct {
	// version is that of the credentials, "" where they are known to be good.
	version string
	until   time.Time
	// rolling: the renewal is over.
	rolling bool
	// began is when it was taken, pace what it has taken of how many may begin.
	began time.Time
	pace  *rate.Reservation
}

// waiting is that of a FlexRegistration with a spec of some generation, whose certificate expires at a time. It has looked at
// its gateway, and asked for its turn, for the last time at others. The first ones, which are urgent or were asked for by a
// person, don't wait for rollouts.
type waiting struct {
	version                string
	generation             int64
	expires, looked, asked time.Time
	first                  bool
}

// maxWait is how long a gateway that waits for its turn is not looked at.
const maxWait = time.Minute

// turnTime is how long a rollout keeps others from their turn.
const turnTime = time.Hour

// takeTurn lets a few renewals and their rollouts run at a time, the most urgent first, and only one with credentials that
// nobody knows yet to be good: refused ones are to be tried once, and not by every gateway that shares them. It returns
// false where a FlexRegistration has to wait.
func (c *claims) takeTurn(by types.NamespacedName, w waiting, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.looked, w.asked = now, now
	if c.busy(by, w, now) {
		c.waiting[by] = w
		return false
	}
	t := turn{version: c.untried(w.version), until: now.Add(job.Hold), began: now}
	if c.pace != nil {
		t.pace = c.pace.ReserveN(now, 1)
	}
	delete(c.waiting, by)
	c.turns[by] = t
	return true
}

// giveBack ends a turn that was not made use of.
func (c *claims) giveBack(of types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.turns[of]; t.pace != nil {
		t.pace.CancelAt(t.began)
	}
	delete(c.turns, of)
}

// untried is a version of credentials, "" where it is known to be good.
func (c *claims) untried(version string) string {
	if refused, tried := c.tried[version]; tried && refused == nil {
		return ""
	}
	return version
}

// keepTurn gives a turn to what goes on already, whoever else has one.
func (c *claims) keepTurn(t turn, by types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, by)
	t.version = c.untried(t.version)
	c.turns[by] = t
}

// busy says that there is no turn for a FlexRegistration: too many have begun in a while, have one, or would have it first.
func (c *claims) busy(by types.NamespacedName, w waiting, now time.Time) bool {
	if c.pace != nil && c.pace.TokensAt(now) < 1 {
		return true
	}
	running, trying := 0, map[string]bool{}
	for of, t := range c.turns {
		if of != by && now.Before(t.until) && (!w.first || !t.rolling) {
			running++
			trying[t.version] = true
		}
	}
	version := c.untried(w.version)
	if version != "" && trying[version] {
		return true
	}
	for of, other := range c.waiting {
		first := (other.first || !w.first) && other.expires.Before(w.expires) && now.Before(other.asked.Add(3*turnCheck))
		if theirs := c.untried(other.version); of != by && first && (theirs == "" || !trying[theirs]) {
			running++
			if theirs != "" && theirs == version {
				return true
			}
		}
	}
	return running >= c.most
}

// endTurn ends the turn of a FlexRegistration, and its wait for one.
func (c *claims) endTurn(of types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, of)
	delete(c.turns, of)
}

// mustWait says that a FlexRegistration waits for its turn, that it has not come yet, and that its spec is the same.
func (c *claims) mustWait(fr types.NamespacedName, generation int64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, waits := c.waiting[fr]
	if !waits {
		return false
	}
	w.asked = now
	c.waiting[fr] = w
	return w.generation == generation && now.Before(w.looked.Add(maxWait)) && now.Before(w.expires) && c.busy(fr, w, now)
}

// trial lets one FlexRegistration a day through while the fleet is paused. It returns when one was let through for the
// last time, as others tell, or, where this is not the one that is, as this process knows.
func (c *claims) trial(by types.NamespacedName, last, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trier != by && c.triedAt.After(last) {
		last = c.triedAt
	}
	if !now.Before(last.Add(24 * time.Hour)) {
		c.trier, c.triedAt = by, now
	}
	return last
}

// noTrial takes back that a FlexRegistration was let through.
func (c *claims) noTrial(by types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trier == by {
		c.triedAt = time.Time{}
	}
}

// claim notes that a FlexRegistration renews a certificate and returns it, or the one that has claimed it before.
func (c *claims) claim(fingerprint string, by types.NamespacedName) types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, ok := c.renewals[fingerprint]; ok {
		return owner
	}
	c.renewals[fingerprint] = by
	return by
}

// release gives a certificate back whose renewal failed, or whose claimant is gone, unless it is another one's by now.
func (c *claims) release(fingerprint string, of types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewals[fingerprint] == of {
		delete(c.renewals, fingerprint)
	}
}

// refused notes that credentials were refused, and accepted that they were not.
func (c *claims) refused(version string, r refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[version] = &r
}

func (c *claims) accepted(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[version] = nil
}

// refusal of credentials; nil where none is known.
func (c *claims) refusal(version string) *refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried[version]
}
