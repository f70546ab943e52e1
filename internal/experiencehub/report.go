package experiencehub

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// Report is what is told of a connection.
type Report struct{ anypoint, salesforce side }

// side is what is told of one certificate; its zero value is one that there isn't.
type side struct {
	status          metav1.ConditionStatus
	reason, message string
	problem         *Problem
	action          action
}

// action is what a person has to do.
type action struct {
	reason, message string
	// urgent: the time for it is short, or over. awaited: a login is, which the operator goes on after.
	urgent, awaited bool
}

// The places where things are done, in the words of those who have to find them.
const (
	inSetup = "in Salesforce at Setup > Security > Certificate and Key Management"
	login   = "log in to API Experience Hub with the permission API Experience Hub Administrator"
)

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *Anypoint) look(before time.Duration, now time.Time) side {
	switch c := a.Certificate; {
	case a.Problem != nil:
		return unknown(a.Problem)
	case c == nil:
		return side{status: metav1.ConditionFalse, reason: v1alpha1.ReasonNotFound, message: "Secrets Manager has no " + a.Which,
			action: action{reason: v1alpha1.ReasonCertificateNotFound, urgent: true, message: "Secrets Manager has no " + a.Which + ": name in spec.anypoint the one that API Experience Hub has made, or, if there is none, " +
				login + " and reconnect where it shows a connection error"}}
	case c.NotAfter.IsZero():
		return undated("Secrets Manager", a.Which)
	case !now.Before(c.NotAfter):
		return side{status: metav1.ConditionFalse, reason: v1alpha1.ReasonExpired, message: fmt.Sprintf("%s in Secrets Manager expired at %s", a.Which, stamp(c.NotAfter)),
			action: action{reason: v1alpha1.ReasonReconnectAfterExpiry, urgent: true, message: fmt.Sprintf("%s in Secrets Manager expired at %s: %s now, and reconnect where it shows a connection error, "+
				"which makes a new one. If that has another name, put it into spec.anypoint", a.Which, stamp(c.NotAfter), login)}}
	case !now.Before(c.NotAfter.Add(-before)):
		return side{status: metav1.ConditionTrue, reason: v1alpha1.ReasonExpiring, message: fmt.Sprintf("%s in Secrets Manager expires at %s", a.Which, stamp(c.NotAfter)),
			action: action{reason: v1alpha1.ReasonReconnectAfterExpiry, message: fmt.Sprintf("%s in Secrets Manager expires at %s, and no API renews it: plan for an administrator to %s right after that, "+
				"and to reconnect where it shows a connection error, which makes a new one", a.Which, stamp(c.NotAfter), login)}}
	default:
		return side{status: metav1.ConditionTrue, reason: v1alpha1.ReasonValid, message: fmt.Sprintf("%s in Secrets Manager is valid until %s", a.Which, stamp(c.NotAfter))}
	}
}

func (s *Salesforce) look(before time.Duration, now time.Time) side {
	if s.Problem != nil {
		return unknown(s.Problem)
	}
	current, renamed := s.current(), s.Renamed()
	var serving Certificate
	is := side{status: metav1.ConditionTrue, reason: v1alpha1.ReasonValid}
	switch {
	case current != nil:
		serving = *current
		if s.due(before, now) {
			is.reason = v1alpha1.ReasonExpiring
		}
		is.action = s.action(before, now)
	case len(renamed) > 0:
		serving, is.reason = renamed[len(renamed)-1], v1alpha1.ReasonRenamed
		is.action = action{reason: v1alpha1.ReasonLoginRequired, awaited: true, urgent: urgent(serving, before, now), message: fmt.Sprintf(
			"certificate %s of %s was renamed to %s, which expires at %s: %s before that, whose diagnostic check makes a new certificate %s. It is looked for every hour", s.Name, s.Host, serving.Name, stamp(serving.NotAfter), login, s.Name)}
		if serving.Label == s.Name {
			// Whether API Experience Hub looks for the name or for the label is not published.
			is.action.message += fmt.Sprintf(". If none is made, change the label of %s, which still is %s, %s, and log in once more", serving.Name, s.Name, inSetup)
		}
	default:
		is.status, is.reason, is.message = metav1.ConditionFalse, v1alpha1.ReasonNotFound, fmt.Sprintf("%s has no certificate %s", s.Host, s.Name)
		is.action = action{reason: v1alpha1.ReasonCertificateNotFound, urgent: true, message: fmt.Sprintf("%s has no certificate %s: %s, whose diagnostic check makes one, or correct spec.salesforce.certificateName "+
			"to the unique name shown %s", s.Host, s.Name, login, inSetup)}
		return is
	}
	if serving.NotAfter.IsZero() {
		return undated("Salesforce", "certificate "+serving.Name)
	}
	// What Salesforce did not let go of may be in use.
	for _, c := range renamed {
		if _, refused := s.Refused[c.Name]; refused && c.NotAfter.Before(serving.NotAfter) && !now.Before(c.NotAfter) {
			serving = c
			break
		}
	}
	is.message = fmt.Sprintf("certificate %s of %s is valid until %s", serving.Name, s.Host, stamp(serving.NotAfter))
	if !now.Before(serving.NotAfter) {
		is.status, is.reason = metav1.ConditionFalse, v1alpha1.ReasonExpired
		is.message = fmt.Sprintf("certificate %s of %s expired at %s", serving.Name, s.Host, stamp(serving.NotAfter))
	}
	return is
}

// action is what a person has to do where there is a certificate with the name.
func (s *Salesforce) action(before time.Duration, now time.Time) action {
	current := *s.current()
	said, refused := s.Refused[current.Name]
	by := fmt.Sprintf("certificate %s of %s expires at %s", current.Name, s.Host, stamp(current.NotAfter))
	byHand := fmt.Sprintf("rename it %s (label and unique name), %s, whose diagnostic check makes a new certificate %s, and delete the renamed one", inSetup, login, s.Name)
	rival := s.rival()
	switch due := s.due(before, now); {
	case rival != nil:
		return action{reason: v1alpha1.ReasonDeleteByHand, urgent: due && urgent(current, before, now), message: fmt.Sprintf("certificate %s of %s was renamed, and expires no sooner than %s: look which of both the named credential uses, "+
			"at Setup > Security > Named Credentials, and delete the other %s", rival.Name, s.Host, current.Name, inSetup)}
	case due && refused:
		return action{reason: v1alpha1.ReasonRenameRefused, urgent: urgent(current, before, now), message: fmt.Sprintf("%s, and Salesforce refuses to rename it (%s): %s", by, said, byHand)}
	case due && s.Assist && !s.Suspended && s.freeName(current) == "":
		return action{reason: v1alpha1.ReasonRenameRefused, urgent: urgent(current, before, now), message: fmt.Sprintf("%s, and all names for the renamed one are taken: delete what is left of earlier rotations %s, or set spec.rotation.renameSuffix to another", by, inSetup)}
	case due && (!s.Assist || s.Suspended):
		message := by + ": " + byHand
		if s.Assist {
			message = by + ", and spec.suspend is set: remove that, or " + byHand
		}
		return action{reason: v1alpha1.ReasonRotateByHand, urgent: urgent(current, before, now), message: message}
	}
	for _, c := range s.superseded(now) {
		if said, refused := s.Refused[c.Name]; refused {
			return action{reason: v1alpha1.ReasonDeletionRefused, urgent: urgent(c, before, now), message: fmt.Sprintf("Salesforce refuses to delete certificate %s of %s, which %s has taken the place of and which expires at %s (%s): "+
				"have what still uses it, such as a named credential at Setup > Security > Named Credentials, use %s. The deletion is tried again every day", c.Name, s.Host, current.Name, stamp(c.NotAfter), said, current.Name)}
		}
		if !s.Assist || s.Suspended {
			return action{reason: v1alpha1.ReasonDeleteByHand, message: fmt.Sprintf("certificate %s of %s, which expires at %s, was renamed, and %s has taken its place: delete it %s, or have the operator do so with spec.rotation.policy Assist and without spec.suspend",
				c.Name, s.Host, stamp(c.NotAfter), current.Name, inSetup)}
		}
	}
	return action{}
}

func urgent(c Certificate, before time.Duration, now time.Time) bool {
	return !now.Before(c.NotAfter.Add(-before / urgentPart))
}

func unknown(p *Problem) side {
	s := side{status: metav1.ConditionUnknown, reason: p.Reason, message: p.Message, problem: p}
	if p.Lasting {
		s.action = action{reason: p.Reason, message: p.Message, urgent: true}
	}
	return s
}

func undated(service, which string) side {
	return unknown(&Problem{Reason: v1alpha1.ReasonAnswerInvalid, Lasting: true, Message: service + " does not say when " + which + " expires: look there, and whether there is a newer operator"})
}

// Conditions are all that are told. What a reader should heed first comes first in a message.
func (r Report) Conditions() []metav1.Condition {
	var all []metav1.Condition
	required := metav1.Condition{Type: v1alpha1.ConditionActionRequired, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNothingToDo, Message: "nothing is to be done by a person"}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWatching}
	var actions, valid []string
	rank, stalled, reconciling, urgent := 0, false, false, false
	demote := func(to int, status metav1.ConditionStatus, reason string) {
		if to > rank {
			rank, ready.Status, ready.Reason = to, status, reason
		}
	}
	for i, s := range []side{r.anypoint, r.salesforce} {
		if s.status == "" {
			continue
		}
		kind := []string{v1alpha1.ConditionAnypointCertificateValid, v1alpha1.ConditionSalesforceCertificateValid}[i]
		all = append(all, metav1.Condition{Type: kind, Status: s.status, Reason: s.reason, Message: s.message})
		valid = append(valid, s.message)
		switch {
		case s.status == metav1.ConditionFalse && s.reason == v1alpha1.ReasonExpired:
			demote(4, metav1.ConditionFalse, v1alpha1.ReasonCertificateExpired)
		case s.action.urgent:
			demote(3, metav1.ConditionFalse, s.action.reason)
		case s.problem != nil:
			demote(2, metav1.ConditionUnknown, s.reason)
		case s.action.reason != "":
			demote(1, metav1.ConditionTrue, s.action.reason)
		}
		stalled, reconciling = stalled || s.action.urgent, reconciling || s.problem != nil && !s.problem.Lasting
		switch {
		case s.action.reason == "":
		case len(actions) == 0 || s.action.urgent && !urgent:
			required.Status, required.Reason, urgent = metav1.ConditionTrue, s.action.reason, s.action.urgent
			actions = append([]string{s.action.message}, actions...)
		default:
			actions = append(actions, s.action.message)
		}
	}
	ready.Message = strings.Join(valid, "; ")
	if len(actions) > 0 {
		required.Message = strings.Join(actions, "; ")
		ready.Message = required.Message
	}
	all = append(all, ready, required)
	for kind, is := range map[string]bool{v1alpha1.ConditionStalled: stalled, v1alpha1.ConditionReconciling: reconciling && !stalled} {
		if is {
			all = append(all, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
		}
	}
	return all
}
