package faults

import "github.com/flexops/flex-registration-operator/hack/simulator"

// injectPlatform breaks flexctl's calls.
func (r *run) injectPlatform(faults []Fault) {
	for _, f := range faults {
		if f.Call.By != Flexctl {
			continue
		}
		fault := simulator.Fault{Call: simulator.Call(f.Call.Name), Kind: simulator.DropAfter}
		switch {
		case f.Way == FailsBefore:
			fault.Kind = simulator.DropBefore
		case f.Way == ThenDies && r.story.Runner == Jobs:
			fault.Kind = "" // flexctl lives, and gets its answer.
		case f.Way == Synced:
			fault.Kind = ""
		}
		fault.Hook = func() {
			r.breaker.met(f)
			r.strike(f)
		}
		r.platform.Inject(fault)
	}
}
