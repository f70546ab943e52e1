package faults

import (
	"fmt"
	"slices"
	"time"
)

// handedOverAreRecorded, P1: what a pod has handed over is not lost, whatever the operator comes to; and whichever
// operator is there looks for it, instead of waiting until the attempt has ended for sure. r.mu is held.
func (r *run) handedOverAreRecorded(result Result) error {
	patience := time.Duration(len(result.Fired)+1) * 2 * time.Minute
	for _, f := range r.handedOver {
		if !slices.Contains(r.recorded, f) {
			return fmt.Errorf("P1: %s was handed over, and never recorded", f)
		}
		if after := r.recordedAt[f].Sub(r.handedOverAt[f]); after > patience {
			return fmt.Errorf("P5: %s was recorded %s after it had been handed over", f, after)
		}
	}
	return nil
}

// attemptedOnce, P3: flexctl is started in a pod once, and again only where its own calls or its pod were broken. A fault
// of anybody else's calls never costs an attempt that has begun. r.mu is held.
func (r *run) attemptedOnce(result Result) error {
	if r.story.Runner != Jobs {
		return nil
	}
	starts, excused := 0, 1
	for _, c := range result.Calls {
		if c.Occurrence = 0; c == start(flexctlContainer) {
			starts++
		}
	}
	for _, f := range result.Fired {
		if f.Call.By == Flexctl && f.Way != ThenDies || f.Way == PodDeleted || f.Way == NodeDies {
			excused++
		}
	}
	if starts < 1 || starts > excused {
		return fmt.Errorf("P3: flexctl was started %d times, want at most %d", starts, excused)
	}
	return nil
}
