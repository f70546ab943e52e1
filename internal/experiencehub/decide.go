package experiencehub

import (
	"slices"
	"time"
)

// Step is a change in Salesforce. Its zero value is none.
type Step struct {
	// Rename and Delete name the certificate; one of them is "". To is its new name.
	Rename, To, Delete string
}

// Certificate names the one that a step changes, "" for no step.
func (s Step) Certificate() string { return s.Rename + s.Delete }

// Decision is what is to be done, and what is told where nothing is, or nothing could be.
type Decision struct {
	Step Step
	// Report has the conditions.
	Report
	// Next is when the passage of time changes what is told; zero for never.
	Next time.Time
	// Awaited: an administrator's login is, so that it is worth looking more often.
	Awaited bool
}

// Decide is the whole of the operator's mind: the same observation at the same time gives the same decision.
func Decide(o Observation, now time.Time) Decision {
	d := Decision{}
	if a := o.Anypoint; a != nil {
		d.anypoint = a.look(o.WarnBefore, now)
		if a.Certificate != nil {
			d.watch(now, a.Certificate.NotAfter, o.WarnBefore)
		}
	}
	if s := o.Salesforce; s != nil {
		d.Step = s.step(o.WarnBefore, now)
		d.salesforce = s.look(o.WarnBefore, now)
		d.Awaited = d.salesforce.action.awaited
		for _, c := range append(s.Renamed(), *orZero(s.current())) {
			d.watch(now, c.NotAfter, o.WarnBefore)
		}
	}
	return d
}

// urgentPart of the time before an expiry is what is left when a connection isn't Ready any more.
const urgentPart = 3

// watch notes when something about an expiry changes.
func (d *Decision) watch(now, notAfter time.Time, before time.Duration) {
	if notAfter.IsZero() {
		return
	}
	for _, t := range []time.Time{notAfter.Add(-before), notAfter.Add(-before / urgentPart), notAfter} {
		if t.After(now) && (d.Next.IsZero() || t.Before(d.Next)) {
			d.Next = t
		}
	}
}

// step is the next change: what is superseded is deleted, and what is due is renamed. A certificate is superseded by a valid one
// with the name, which expires later.
func (s *Salesforce) step(before time.Duration, now time.Time) Step {
	if s.Problem != nil || !s.Assist || s.Suspended {
		return Step{}
	}
	current := s.current()
	if current == nil || current.NotAfter.IsZero() {
		return Step{}
	}
	for _, c := range s.superseded(now) {
		if _, refused := s.Refused[c.Name]; !refused {
			return Step{Delete: c.Name}
		}
	}
	if _, refused := s.Refused[current.Name]; refused || !s.due(before, now) || s.rival() != nil {
		return Step{}
	}
	if name := s.freeName(*current); name != "" {
		return Step{Rename: current.Name, To: name}
	}
	return Step{}
}

func (s *Salesforce) due(before time.Duration, now time.Time) bool {
	c := s.current()
	return c != nil && !c.NotAfter.IsZero() && !now.Before(c.NotAfter.Add(-before))
}

// superseded are the renamed certificates that a new one has taken the place of.
func (s *Salesforce) superseded(now time.Time) []Certificate {
	current := s.current()
	return slices.DeleteFunc(s.Renamed(), func(c Certificate) bool {
		return current == nil || !current.NotAfter.After(c.NotAfter) || !current.NotAfter.After(now) || current.ID == c.ID
	})
}

// rival is a renamed certificate that expires no sooner than the one with the name; nil where there is none.
func (s *Salesforce) rival() *Certificate {
	renamed, current := s.Renamed(), s.current()
	if len(renamed) == 0 || current == nil || current.NotAfter.After(renamed[len(renamed)-1].NotAfter) {
		return nil
	}
	return &renamed[len(renamed)-1]
}

func orZero(c *Certificate) *Certificate {
	if c == nil {
		return &Certificate{}
	}
	return c
}
