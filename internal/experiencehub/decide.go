package experiencehub

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
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
	// Next is when the passage of time changes what is told, or when a login is looked for that is awaited; zero for never.
	Next time.Time
}

// awaiting is how often a login is looked for.
const awaiting = time.Hour

// Decide is the whole of the operator's mind: the same observation at the same time gives the same decision.
func Decide(o Observation, now time.Time) Decision {
	d, at := Decision{}, moment{now, o.WarnBefore}
	var watched []Certificate
	if a := o.Anypoint; a != nil {
		d.Report = append(d.Report, a.look(at))
		watched = append(watched, ptr.Deref(a.Certificate, Certificate{}))
	}
	if s := o.Salesforce; s != nil {
		is, step := s.look(at)
		d.Step, d.Report = step, append(d.Report, is)
		watched = append(watched, append(s.Renamed(), ptr.Deref(s.Current(), Certificate{}))...)
		if is.action.reason == v1alpha1.ReasonLoginRequired {
			d.Next = now.Add(awaiting)
		}
	}
	for _, c := range watched {
		for _, left := range []time.Duration{o.WarnBefore, o.WarnBefore / urgentPart, 0} {
			if t := c.NotAfter.Add(-left); t.After(now) && (d.Next.IsZero() || t.Before(d.Next)) {
				d.Next = t
			}
		}
	}
	return d
}

// moment is what expiries are held against.
type moment struct {
	now        time.Time
	warnBefore time.Duration
}

// urgentPart of the time before an expiry is what is left when a connection isn't Ready any more.
const urgentPart = 3

func (m moment) due(c Certificate) bool     { return c.NotAfter.Sub(m.now) <= m.warnBefore }
func (m moment) urgent(c Certificate) bool  { return c.NotAfter.Sub(m.now) <= m.warnBefore/urgentPart }
func (m moment) expired(c Certificate) bool { return !m.now.Before(c.NotAfter) }

// rotate is the next change or, where the operator can't or may not make it, what a person has to do. What is superseded is deleted,
// and what is due is renamed. A renamed certificate is superseded by a valid one with the name that expires later.
func (s *Salesforce) rotate(current Certificate, renamed []Certificate, at moment) (Step, action) {
	var superseded, rival *Certificate
	for _, c := range renamed {
		_, refused := s.Refused[c.Name]
		switch {
		case !current.NotAfter.After(c.NotAfter):
			rival = &c
		case at.expired(current):
		case s.Assist && !s.Suspended && !refused:
			return Step{Delete: c.Name}, action{}
		case superseded == nil:
			superseded = &c
		}
	}

	is := "certificate " + current.Name + " of " + s.Host + " expires at " + stamp(current.NotAfter)
	byHand := fmt.Sprintf("rename it %s (label and unique name), %s, whose diagnostic check makes a new certificate %s, and delete the renamed one", inSetup, login, s.Name)
	to, due, urgent := s.freeName(current), at.due(current), at.urgent(current)
	said, refused := s.Refused[current.Name]
	switch {
	case rival != nil:
		return Step{}, action{v1alpha1.ReasonDeleteByHand, urgent, fmt.Sprintf("certificate %s of %s was renamed, and expires no sooner than %s: look which of both the named credential uses, "+
			"at Setup > Security > Named Credentials, and delete the other %s", rival.Name, s.Host, current.Name, inSetup)}
	case due && refused:
		return Step{}, action{v1alpha1.ReasonRenameRefused, urgent, fmt.Sprintf("%s, and Salesforce refuses to rename it (%s): %s", is, said, byHand)}
	case due && !s.Assist:
		return Step{}, action{v1alpha1.ReasonRotateByHand, urgent, is + ": " + byHand}
	case due && s.Suspended:
		return Step{}, action{v1alpha1.ReasonRotateByHand, urgent, is + ", and spec.suspend is set: remove that, or " + byHand}
	case due && to == "":
		return Step{}, action{v1alpha1.ReasonRenameRefused, urgent, fmt.Sprintf("%s, and all names for the renamed one are taken: delete what is left of earlier rotations %s, or set spec.rotation.renameSuffix to another", is, inSetup)}
	case due:
		return Step{Rename: current.Name, To: to}, action{}
	case superseded == nil:
		return Step{}, action{}
	}

	is = "certificate " + superseded.Name + " of " + s.Host
	if said, refused := s.Refused[superseded.Name]; refused {
		return Step{}, action{v1alpha1.ReasonDeletionRefused, at.urgent(*superseded), fmt.Sprintf("Salesforce refuses to delete %s, which %s has taken the place of and which expires at %s (%s): "+
			"have what still uses it, such as a named credential at Setup > Security > Named Credentials, use %s. The deletion is tried again every day", is, current.Name, stamp(superseded.NotAfter), said, current.Name)}
	}
	return Step{}, action{v1alpha1.ReasonDeleteByHand, false, fmt.Sprintf("%s, which expires at %s, was renamed, and %s has taken its place: delete it %s, or have the operator do so with spec.rotation.policy Assist and without spec.suspend",
		is, stamp(superseded.NotAfter), current.Name, inSetup)}
}

// awaitLogin asks for the login that makes a new certificate.
func (s *Salesforce) awaitLogin(renamed Certificate, at moment) action {
	message := fmt.Sprintf("certificate %s of %s was renamed to %s, which expires at %s: %s before that, whose diagnostic check makes a new certificate %s. It is looked for every hour",
		s.Name, s.Host, renamed.Name, stamp(renamed.NotAfter), login, s.Name)
	if renamed.Label == s.Name {
		// Whether API Experience Hub looks for the name or for the label is not published.
		message += fmt.Sprintf(". If none is made, change the label of %s, which still is %s, %s, and log in once more", renamed.Name, s.Name, inSetup)
	}
	return action{v1alpha1.ReasonLoginRequired, at.urgent(renamed), message}
}
