package faults_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/flexops/flex-registration-operator/test/faults"
)

// parallel runs wait for the control plane most of the time.
const parallel = 6

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestEveryCall tells each story undisturbed, which lists the calls, and then once for each call that is broken. What is
// broken, and how, rotates with the seed: within a few days all ways of all calls are met. FAULTS=all does all of them, and
// FAULTS_PAIRS (default 40) random pairs. FAULTS_SEED repeats a run. Where it is the renewal that is told, answers are also
// lost again and again.
func TestEveryCall(t *testing.T) {
	seed := uint64(time.Now().Unix() / 86400)
	if s := os.Getenv("FAULTS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	s := newSuite(t)
	for _, story := range faults.Stories() {
		t.Run(story.Name, func(t *testing.T) {
			t.Parallel()
			s.everyCall(t, story, seed)
		})
	}
}

func (s *suite) everyCall(t *testing.T, story faults.Story, seed uint64) {
	sum := &summary{}
	first := s.tell(t, story, sum)
	if t.Failed() {
		t.Fatal("nothing was broken, and it fails")
	}
	calls := unique(first.Calls)
	if story.Renews() {
		calls = append(calls, faults.FlexctlCalls()...)
	}
	t.Logf("%s makes %d calls:", story.Name, len(calls))
	for _, c := range calls {
		t.Log("  ", c)
	}
	plans := choose(story, calls, seed)
	t.Run("broken", func(t *testing.T) {
		if story.Loses {
			s.loseAnswers(t, story, seed)
		}
		for _, plan := range plans {
			t.Run(fmt.Sprint(plan), func(t *testing.T) {
				t.Parallel()
				result := s.tell(t, story, sum, plan...)
				if len(result.Fired) == 0 {
					sum.missed(plan)
				}
			})
		}
	})
	fmt.Printf("faults: %s: %d runs with FAULTS_SEED=%d over %d calls; %d runs did not come to the call that they were to break; %d renewals, %d restarts\n",
		story.Name, len(plans), seed, len(calls), len(sum.notMet), sum.renewals, sum.restarts)
	for _, plan := range sum.notMet {
		fmt.Println("faults: not met:", plan)
	}
	// Timing decides how often the operator looks while pods come up, so a late repetition may not come. Most must.
	if len(sum.notMet)*3 > len(plans) {
		t.Errorf("%d of %d runs did not come to the call that they were to break", len(sum.notMet), len(plans))
	}
}
