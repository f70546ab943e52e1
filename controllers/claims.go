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
	// credentials are the turns of the FlexRegistrations that renew with a credentials Secret just now.
	credentials map[types.NamespacedName]turn
	// waiting are the FlexRegistrations that wait for their turn with a credentials Secret.
	waiting map[types.NamespacedName]types.NamespacedName
	// refusals are those of credentials, by their version.
	refusals map[string]refusal
}

func newClaims() *claims {
	return &claims{
		renewals:    map[string]types.NamespacedName{},
		credentials: map[types.NamespacedName]turn{},
		waiting:     map[types.NamespacedName]types.NamespacedName{},
		refusals:    map[string]refusal{},
	}
}

// refusal says that a FlexRegistration of the namespace tried credentials that were refused.
type refusal struct {
	by    string
	state renewal.State
	until time.Time
}

// turn is that of a FlexRegistration with shared credentials. A renewal in a Job keeps it from one look to the next, so
// it ends by itself, should nobody look any more.
type turn struct {
	of    types.NamespacedName
	until time.Time
}

// takeTurn lets one renewal at a time use a credentials Secret, so that refused credentials are tried once and not by
// every gateway that shares them. It returns false where another one is at it.
func (c *claims) takeTurn(secret, by types.NamespacedName, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if current, taken := c.credentials[secret]; taken && current.of != by && now.Before(current.until) {
		c.waiting[by] = secret
		return false
	}
	delete(c.waiting, by)
	c.credentials[secret] = turn{by, now.Add(job.Hold)}
	return true
}

// endTurn ends the turn of a FlexRegistration, if it still has it.
func (c *claims) endTurn(secret, by types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.credentials[secret].of == by {
		delete(c.credentials, secret)
	}
}

// mustWait says that a FlexRegistration waits for its turn and that it has not come yet.
func (c *claims) mustWait(fr types.NamespacedName, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	secret, waiting := c.waiting[fr]
	current, taken := c.credentials[secret]
	taken = taken && now.Before(current.until)
	if waiting && !taken {
		delete(c.waiting, fr)
	}
	return waiting && taken
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
}

func (c *claims) accepted(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.refusals, version)
}

func (c *claims) refusal(version string) (refusal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.refusals[version]
	return r, ok
}
