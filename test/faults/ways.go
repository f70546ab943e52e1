package faults

import "fmt"

// Way is how a call is broken.
type Way string

// The ways.
const (
	FailsBefore Way = "fails before it takes effect"
	ThenDies    Way = "takes effect, then the operator dies"
	AnswerLost  Way = "takes effect, but the answer is lost"
	PodDeleted  Way = "takes effect, then the pod is deleted"
	NodeDies    Way = "takes effect, then the pod's node dies"
	Synced      Way = "takes effect, then a GitOps sync replaces everything by what is in Git"
)

// Fault is one broken call.
type Fault struct {
	Call Call
	Way  Way
}

func (f Fault) String() string { return fmt.Sprintf("%s: %s", f.Call, f.Way) }

// Ways are those in which a call can be broken. The start of a container can't fail, and its answer is nobody's; there
// the pod is killed before the container runs.
func Ways(story Story, c Call) []Way {
	if story.synced {
		return []Way{Synced}
	}
	runner := story.Runner
	ways := []Way{FailsBefore, ThenDies, AnswerLost}
	switch {
	case c.isStart():
		return []Way{ThenDies, PodDeleted, NodeDies}
	case runner == Jobs && c.By != Operator:
		return append(ways, PodDeleted, NodeDies)
	default:
		return ways
	}
}

// mayLoseAnswer says that a fault may keep an answer of the platform from being recorded. In a Job only what happens to
// the pod can: whatever it has handed over survives the operator.
func (f Fault) mayLoseAnswer(runner Runner) bool {
	if runner == Exec {
		return f.Way == ThenDies || f.Call.By == Flexctl && f.Way == AnswerLost
	}
	podDies := f.Way == PodDeleted || f.Way == NodeDies
	return f.Call.By == Flexctl && (podDies || f.Way == AnswerLost) || f.Call.isStart() && f.Call.Name == handoffContainer && podDies
}
