package controllers

import (
	"sync"
	"time"

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
	// waiting are the FlexRegistrations that wait for their turn.
	waiting map[types.NamespacedName]waiting
	// tried are the versions of credentials that Anypoint has accepted; refusals are those of the others.
	tried    map[string]bool
	refusals map[string]refusal
}

func newClaims(most int) *claims {
	return &claims{
		renewals: map[string]types.NamespacedName{},
		turns:    map[types.NamespacedName]turn{},
		most:     max(1, most),
		waiting:  map[types.NamespacedName]waiting{},
		tried:    map[string]bool{},
		refusals: map[string]refusal{},
	}
}

// refusal says that a FlexRegistration of the namespace tried credentials that were refused.
type refusal struct {
	by    string
	state renewal.State
	until time.Time
}

// turn is that of a FlexRegistration which renews. A renewal in a Job keeps it from one look to the next, so it ends by
// itself, should nobody look any more.
type turn struct {
	// version is that of the credentials, "" where they are known to be good.
	version string
	until   time.Time
}

// waiting is that of a FlexRegistration with a spec of some generation.
type waiting struct {
	version    string
	generation int64
}

// takeTurn lets a few renewals run at a time, and only one with credentials that nobody knows yet to be good: refused ones
// are to be tried once, and not by every gateway that shares them. It returns false where a FlexRegistration has to wait.
func (c *claims) takeTurn(version string, by types.NamespacedName, generation int64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried[version] {
		version = ""
	}
	if c.busy(version, by, now) {
		c.waiting[by] = waiting{version, generation}
		return false
	}
	delete(c.waiting, by)
	c.turns[by] = turn{version, now.Add(job.Hold)}
	return true
}

// keepTurn gives a turn to a renewal that goes on already, whoever else has one.
func (c *claims) keepTurn(version string, by types.NamespacedName, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, by)
	if _, has := c.turns[by]; !has {
		c.turns[by] = turn{version, now.Add(job.Hold)}
	}
}

// busy says that there is no turn for a FlexRegistration.
func (c *claims) busy(version string, by types.NamespacedName, now time.Time) bool {
	running := 0
	for of, t := range c.turns {
		if of == by || !now.Before(t.until) {
			continue
		}
		if running++; version != "" && t.version == version {
			return true
		}
	}
	return running >= c.most
}

// endTurn ends the turn of a FlexRegistration.
func (c *claims) endTurn(of types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.turns, of)
}

// forget ends everything that a FlexRegistration has which does not exist any more.
func (c *claims) forget(fr types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, fr)
	delete(c.turns, fr)
}

// mustWait says that a FlexRegistration waits for its turn, that it has not come yet, and that its spec is the same.
func (c *claims) mustWait(fr types.NamespacedName, generation int64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, waits := c.waiting[fr]
	if !waits {
		return false
	}
	if c.tried[w.version] {
		w.version = ""
	}
	if w.generation == generation && c.busy(w.version, fr, now) {
		return true
	}
	delete(c.waiting, fr)
	return false
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

// release gives a certificate back whose renewal failed, or whose claimant is gone.
func (c *claims) release(fingerprint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.renewals, fingerprint)
}

// refused notes that credentials were refused, and accepted that they were not.
func (c *claims) refused(version string, r refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals[version] = r
	delete(c.tried, version)
}

func (c *claims) accepted(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[version] = true
	delete(c.refusals, version)
}

func (c *claims) refusal(version string) (refusal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.refusals[version]
	return r, ok
}
