package faults_test

import (
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/flexops/flex-registration-operator/test/faults"
)

// choose makes the plans: all single faults and some pairs, or those single faults whose turn it is.
func choose(story faults.Story, calls []faults.Call, seed uint64) [][]faults.Fault {
	all := os.Getenv("FAULTS") == "all"
	var plans [][]faults.Fault
	for i, c := range calls {
		for j, w := range faults.Ways(story, c) {
			if all || (uint64(i+j)+seed)%story.Days == 0 {
				plans = append(plans, []faults.Fault{{Call: c, Way: w}})
			}
		}
	}
	if all {
		plans = append(plans, pairs(story, calls, seed)...)
	}
	return plans
}

func pairs(story faults.Story, calls []faults.Call, seed uint64) [][]faults.Fault {
	n := 40
	if s := os.Getenv("FAULTS_PAIRS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	random := rand.New(rand.NewPCG(seed, seed))
	pick := func() faults.Fault {
		call := calls[random.IntN(len(calls))]
		ways := faults.Ways(story, call)
		return faults.Fault{Call: call, Way: ways[random.IntN(len(ways))]}
	}
	var plans [][]faults.Fault
	for len(plans) < n {
		if a, b := pick(), pick(); a.Call != b.Call {
			plans = append(plans, []faults.Fault{a, b})
		}
	}
	return plans
}

func unique(calls []faults.Call) []faults.Call {
	var found []faults.Call
	seen := map[faults.Call]bool{}
	for _, c := range calls {
		if !seen[c] {
			seen[c] = true
			found = append(found, c)
		}
	}
	return found
}
