package controllers

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

// A fleet that is due at once is renewed in the order of urgency, no faster than may be, and all of it.
func TestTurnsOfAFleetThatIsDueAtOnce(t *testing.T) {
	const fleet, most, perMinute = 300, 4, 20
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
		g.Expect(now.Sub(began)).To(BeNumerically("<", fleet/perMinute*3*time.Minute), "it comes to an end")
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
		g.Expect(n).To(BeNumerically("<=", perMinute+perMinute/4), "what was saved up is bounded")
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
