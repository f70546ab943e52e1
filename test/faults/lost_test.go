package faults_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/flexops/flex-registration-operator/test/faults"
)

// losses are the faults after which the platform has renewed and nobody has its answer.
func losses(runner faults.Runner) []faults.Fault {
	renew := faults.FlexctlCalls()[1]
	handoff := faults.Call{By: faults.Pod, Verb: "start", Resource: "container", Name: "handoff", Occurrence: 1}
	if runner == faults.Exec {
		return []faults.Fault{{Call: renew, Way: faults.AnswerLost}, {Call: renew, Way: faults.ThenDies}}
	}
	return []faults.Fault{
		{Call: renew, Way: faults.AnswerLost}, {Call: handoff, Way: faults.PodDeleted}, {Call: renew, Way: faults.NodeDies},
		{Call: renew, Way: faults.PodDeleted}, {Call: handoff, Way: faults.NodeDies},
	}
}

// loseAnswers repeats one of the losses, or each with FAULTS=all.
func (s *suite) loseAnswers(t *testing.T, story faults.Story, seed uint64) {
	chosen := losses(story.Runner)
	if os.Getenv("FAULTS") != "all" {
		chosen = chosen[seed%uint64(len(chosen)):][:1]
	}
	for _, fault := range chosen {
		t.Run(fmt.Sprint("each time ", fault), func(t *testing.T) {
			t.Parallel()
			platform, namespace, done := s.lend()
			defer done()
			if err := s.bench.LoseAnswers(context.Background(), story, namespace, platform, fault); err != nil {
				t.Error(err)
			}
		})
	}
}
