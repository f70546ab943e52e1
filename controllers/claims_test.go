package controllers

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

// A fleet that is due at once is renewed in the order of urgency, no faster than may be, and all of it.
func TestTurnsOfAFleetThatIsDueAtOnce(t *testing.T) {
	t.Run("at a pace", func(t *testing.T) { drain(t, 20) })
	t.Run("at any pace", func(t *testing.T) { drain(t, 0) })
}

func TestATurnThatIsGivenBackCostsNothing(t *testing.T) {
	g, now := NewWithT(t), time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC)
	c := newClaims(8, 1)
	c.accepted("v")
	paused, urgent := types.NamespacedName{Name: "paused"}, types.NamespacedName{Name: "urgent"}
	g.Expect(c.takeTurn(paused, waiting{version: "v", expires: now.Add(time.Hour)}, now)).To(BeTrue())
	g.Expect(c.takeTurn(urgent, waiting{version: "v", expires: now.Add(time.Minute), first: true}, now)).To(BeFalse())
	c.giveBack(paused)
	g.Expect(c.takeTurn(urgent, waiting{version: "v", expires: now.Add(time.Minute), first: true}, now)).To(BeTrue())
}

func drain(t *testing.T, perMinute int) {
	t.Helper()
	const fleet, most = 300, 4
	g, random := NewWithT(t), rand.New(rand.NewPCG(1, 2))
	began := time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC)
	c := newClaims(most, perMinute)
	expires, ends := map[types.NamespacedName]time.Time{}, map[types.NamespacedName]time.Time{}
	var names []types.NamespacedName
	for i := range fleet {
		name := types.NamespacedName{Namespace: "n", Name: strconv.Itoa(i)}
		names = append(names, name)
		expires[name] = began.Add(240*time.Hour + time.Duration(random.IntN(1e6))*time.Second)
	}
	c.accepted("v")
	var order []types.NamespacedName
	perWindow := map[time.Time]int{}
	for now := began; len(order) < fleet; now = now.Add(turnCheck) {
		g.Expect(now.Sub(began)).To(BeNumerically("<", 45*time.Minute), "it comes to an end")
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			if end, has := ends[name]; has {
				if !now.Before(end) {
					c.endTurn(name)
				}
				continue
			}
			if c.mustWait(name, 1, now) {
				continue
			}
			if c.takeTurn(name, waiting{version: "v", generation: 1, expires: expires[name]}, now) {
				ends[name] = now.Add(10 * time.Second)
				order = append(order, name)
				perWindow[now.Truncate(time.Minute)]++
			}
		}
		g.Expect(len(c.turns)).To(BeNumerically("<=", most))
	}
	for _, n := range perWindow {
		g.Expect(n).To(BeNumerically("<=", cmp.Or(perMinute+perMinute/4, fleet)), "what was saved up is bounded")
	}
	if perMinute == 0 {
		g.Expect(len(perWindow)).To(BeNumerically("<=", 2+fleet/most*15/60), "no turn stays unused")
	}
	// The first ones have their turn before the others have asked.
	settled := order[most+perMinute/4:]
	for i, name := range settled {
		sooner := 0
		for _, later := range settled[i+1:] {
			if expires[later].Before(expires[name]) {
				sooner++
			}
		}
		g.Expect(sooner).To(BeNumerically("<", most), "the most urgent ones first")
	}
}

// Two that find its claimant gone may both take a certificate over: only one of them gets it.
func TestACertificateIsTakenOverOnce(t *testing.T) {
	g, c := NewWithT(t), newClaims(1, 0)
	gone, first, second := types.NamespacedName{Name: "gone"}, types.NamespacedName{Name: "first"}, types.NamespacedName{Name: "second"}
	g.Expect(c.claim("f", gone)).To(Equal(gone))
	c.release("f", gone)
	g.Expect(c.claim("f", first)).To(Equal(first))
	c.release("f", gone)
	g.Expect(c.claim("f", second)).To(Equal(first))
	c.release("f", first)
	g.Expect(c.claim("f", second)).To(Equal(second))
}
