package experiencehub

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// Report is what is told of a connection.
type Report []side

// side is what is told of one certificate.
type side struct {
	metav1.Condition
	action action
}

// action is what a person has to do; its zero value is nothing.
type action struct {
	reason string
	// urgent: the time for it is short, or over.
	urgent  bool
	message string
}

// The places where things are done, in the words of those who have to find them.
const (
	inSetup = "in Salesforce at Setup > Security > Certificate and Key Management"
	login   = "log in to API Experience Hub with the permission API Experience Hub Administrator"
)

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *Anypoint) look(at moment) side {
	is := at.look(a.Problem, a.Certificate, a.Which, " in ", "Secrets Manager")
	is.Type = v1alpha1.ConditionAnypointCertificateValid
	switch is.Reason {
	case v1alpha1.ReasonNotFound:
		is.action = action{v1alpha1.ReasonCertificateNotFound, true, is.Message + ": name in spec.anypoint the one that API Experience Hub has made, or, if there is none, " + login +
			" and reconnect where it shows a connection error"}
	case v1alpha1.ReasonExpired:
		is.action = action{v1alpha1.ReasonReconnectAfterExpiry, true, is.Message + ": " + login + " now, and reconnect where it shows a connection error, which makes a new one. " +
			"If that has another name, put it into spec.anypoint"}
	case v1alpha1.ReasonExpiring:
		is.Message = a.Which + " in Secrets Manager expires at " + stamp(a.Certificate.NotAfter)
		is.action = action{v1alpha1.ReasonReconnectAfterExpiry, false, is.Message + ", and no API renews it: plan for an administrator to " + login + " right after that, " +
			"and to reconnect where it shows a connection error, which makes a new one"}
	}
	return is
}

// look also gives the next change.
func (s *Salesforce) look(at moment) (is side, step Step) {
	current, renamed := s.Current(), s.Renamed()
	serving := current
	if current == nil && len(renamed) > 0 {
		serving = &renamed[len(renamed)-1]
	}
	for _, c := range renamed {
		// What Salesforce did not let go of may be in use.
		if _, refused := s.Refused[c.Name]; refused && c.NotAfter.Before(serving.NotAfter) && at.expired(c) {
			serving = &c
			break
		}
	}
	is = at.look(s.Problem, serving, "certificate "+ptr.Deref(serving, Certificate{Name: s.Name}).Name, " of ", s.Host)
	is.Type = v1alpha1.ConditionSalesforceCertificateValid
	switch {
	case is.Status == metav1.ConditionUnknown:
	case serving == nil:
		is.action = action{v1alpha1.ReasonCertificateNotFound, true, fmt.Sprintf("%s: %s, whose diagnostic check makes one, or correct spec.salesforce.certificateName to the unique name shown %s", is.Message, login, inSetup)}
	case current == nil:
		is.action = s.awaitLogin(renamed[len(renamed)-1], at)
		if is.Status == metav1.ConditionTrue {
			is.Reason = v1alpha1.ReasonRenamed
		}
	default:
		step, is.action = s.rotate(*current, renamed, at)
	}
	return is, step
}

// look is what is told of a certificate by its expiry alone, in words such as "keystore x", " in " and "Secrets Manager". Where there is
// none, it is nil.
func (m moment) look(p *Problem, c *Certificate, which, of, service string) side {
	told := func(status metav1.ConditionStatus, reason, message string) side {
		return side{Condition: metav1.Condition{Status: status, Reason: reason, Message: message}}
	}
	if p == nil && c != nil && c.NotAfter.IsZero() {
		p = &Problem{Reason: v1alpha1.ReasonAnswerInvalid, Lasting: true, Message: service + " does not say when " + which + " expires: look there, and whether there is a newer operator"}
	}
	switch {
	case p != nil:
		is := told(metav1.ConditionUnknown, p.Reason, p.Message)
		if p.Lasting {
			is.action = action{p.Reason, true, p.Message}
		}
		return is
	case c == nil:
		return told(metav1.ConditionFalse, v1alpha1.ReasonNotFound, service+" has no "+which)
	case m.expired(*c):
		return told(metav1.ConditionFalse, v1alpha1.ReasonExpired, which+of+service+" expired at "+stamp(c.NotAfter))
	case m.due(*c):
		return told(metav1.ConditionTrue, v1alpha1.ReasonExpiring, which+of+service+" is valid until "+stamp(c.NotAfter))
	default:
		return told(metav1.ConditionTrue, v1alpha1.ReasonValid, which+of+service+" is valid until "+stamp(c.NotAfter))
	}
}

// Conditions are all that are told. What a reader should heed first comes first in a message.
func (r Report) Conditions() (all []metav1.Condition) {
	required := metav1.Condition{Type: v1alpha1.ConditionActionRequired, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNothingToDo, Message: "nothing is to be done by a person"}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWatching}
	var found, todo []string
	expired, urgent, asking := false, false, ""
	for _, s := range r {
		all, found = append(all, s.Condition), append(found, s.Message)
		switch {
		case s.action.reason == "" && s.Status == metav1.ConditionUnknown:
			asking = cmp.Or(asking, s.Reason)
		case s.action.reason == "":
		case len(todo) == 0 || s.action.urgent && !urgent:
			required.Status, required.Reason = metav1.ConditionTrue, s.action.reason
			todo = append([]string{s.action.message}, todo...)
		default:
			todo = append(todo, s.action.message)
		}
		expired, urgent = expired || s.Reason == v1alpha1.ReasonExpired, urgent || s.action.urgent
	}
	ready.Message = strings.Join(found, "; ")
	if len(todo) > 0 {
		required.Message = strings.Join(todo, "; ")
		ready.Reason, ready.Message = required.Reason, required.Message
	}
	switch {
	case expired:
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonCertificateExpired
	case urgent:
		ready.Status = metav1.ConditionFalse
	case asking != "":
		ready.Status, ready.Reason = metav1.ConditionUnknown, asking
	}
	all = append(all, ready, required)
	for kind, is := range map[string]bool{v1alpha1.ConditionStalled: urgent, v1alpha1.ConditionReconciling: asking != "" && !urgent} {
		if is {
			all = append(all, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
		}
	}
	return all
}
