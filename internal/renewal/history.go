package renewal

import (
	"slices"
	"time"
)

// Succeeded is the outcome of what was done; otherwise it is the State that says why not.
const Succeeded = "Succeeded"

// ActionRollout is the action of an entry about a rollout.
const ActionRollout = "Rollout"

// maxHistory is how many entries are kept.
const maxHistory = 10

// Entry is something that was done, or tried, to a gateway's registration.
type Entry struct {
	Time time.Time `json:"time"`
	// Action: Renewal, Rollout, Adoption, Restoration or Pin.
	Action string `json:"action"`
	// Cause says why, and who asked for it.
	Cause string `json:"cause,omitempty"`
	// From and To are serial numbers: of the certificate that was replaced, and of the one in its place.
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Outcome string `json:"outcome"`
}

// Told records an entry. One that failed takes the place of the failure of the same before it: a row of them would leave
// nothing else to be seen.
func (r Record) Told(e Entry) Record {
	history := slices.Clone(r.History)
	if n := len(history); n > 0 && e.Outcome != Succeeded {
		if last := history[n-1]; last.Outcome != Succeeded && last.Action == e.Action && last.From == e.From && last.To == e.To {
			history = history[:n-1]
		}
	}
	history = append(history, e)
	r.History = history[max(0, len(history)-maxHistory):]
	return r
}

// Cause says why a renewal starts, and who asked for it.
func Cause(o Observation, d Decision) string {
	cause := "Due"
	switch {
	case o.Requested():
		cause = "Requested: " + o.RenewRequest
	case d.Urgent:
		cause = "Urgent"
	}
	if o.Manual {
		cause += ", approved"
	}
	return cause
}
