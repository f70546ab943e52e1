package experiencehub

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	switch {
	case a.Problem != nil:
		return unknown(a.Problem)
	case a.Certificate == nil:
		return missing("Secrets Manager has no "+a.Which, "name in spec.anypoint the one that API Experience Hub has made, or, if there is none, "+login+" and reconnect where it shows a connection error")
	case a.Certificate.NotAfter.IsZero():
		return undated("Secrets Manager", a.Which)
	}
	s := dated(a.Which+" in Secrets Manager", *a.Certificate, at)
	switch s.Reason {
	case v1alpha1.ReasonExpired:
		s.action = action{v1alpha1.ReasonReconnectAfterExpiry, true, fmt.Sprintf("%s: %s now, and reconnect where it shows a connection error, which makes a new one. "+
			"If that has another name, put it into spec.anypoint", s.Message, login)}
	case v1alpha1.ReasonExpiring:
		s.Message = fmt.Sprintf("%s in Secrets Manager expires at %s", a.Which, stamp(a.Certificate.NotAfter))
		s.action = action{v1alpha1.ReasonReconnectAfterExpiry, false, fmt.Sprintf("%s, and no API renews it: plan for an administrator to %s right after that, "+
			"and to reconnect where it shows a connection error, which makes a new one", s.Message, login)}
	}
	return s
}

// which describes a certificate to a reader.
func (s *Salesforce) which(c Certificate) string { return "certificate " + c.Name + " of " + s.Host }

// look also gives the next change.
func (s *Salesforce) look(at moment) (is side, step Step) {
	current, renamed := s.Current(), s.Renamed()
	switch {
	case s.Problem != nil:
		return unknown(s.Problem), Step{}
	case current.Name == "" && len(renamed) > 0:
		return s.awaitLogin(renamed[len(renamed)-1], at), Step{}
	case current.Name == "":
		return missing(s.Host+" has no certificate "+s.Name, fmt.Sprintf("%s, whose diagnostic check makes one, or correct spec.salesforce.certificateName to the unique name shown %s", login, inSetup)), Step{}
	case current.NotAfter.IsZero():
		return undated("Salesforce", "certificate "+current.Name), Step{}
	}
	serving := current
	// What Salesforce did not let go of may be in use.
	for _, c := range slices.Backward(renamed) {
		if _, refused := s.Refused[c.Name]; refused && c.NotAfter.Before(current.NotAfter) && at.expired(c) {
			serving = c
		}
	}
	is = dated(s.which(serving), serving, at)
	step, is.action = s.rotate(current, renamed, at)
	return is, step
}

// awaitLogin is a certificate that was renamed, and waits for the login that makes a new one.
func (s *Salesforce) awaitLogin(renamed Certificate, at moment) side {
	is := dated(s.which(renamed), renamed, at)
	if is.Status == metav1.ConditionTrue {
		is.Reason = v1alpha1.ReasonRenamed
	}
	is.action = action{v1alpha1.ReasonLoginRequired, at.urgent(renamed), fmt.Sprintf("certificate %s of %s was renamed to %s, which expires at %s: %s before that, whose diagnostic check makes a new certificate %s. It is looked for every hour",
		s.Name, s.Host, renamed.Name, stamp(renamed.NotAfter), login, s.Name)}
	if renamed.Label == s.Name {
		// Whether API Experience Hub looks for the name or for the label is not published.
		is.action.message += fmt.Sprintf(". If none is made, change the label of %s, which still is %s, %s, and log in once more", renamed.Name, s.Name, inSetup)
	}
	return is
}

// dated is a certificate by its expiry.
func dated(which string, c Certificate, at moment) side {
	is := side{Condition: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonValid, Message: which + " is valid until " + stamp(c.NotAfter)}}
	switch {
	case at.expired(c):
		is.Status, is.Reason, is.Message = metav1.ConditionFalse, v1alpha1.ReasonExpired, which+" expired at "+stamp(c.NotAfter)
	case at.due(c):
		is.Reason = v1alpha1.ReasonExpiring
	}
	return is
}

// missing is a certificate that there isn't.
func missing(why, remedy string) side {
	return side{
		Condition: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotFound, Message: why},
		action:    action{v1alpha1.ReasonCertificateNotFound, true, why + ": " + remedy},
	}
}

// unknown is a certificate that could not be looked at.
func unknown(p *Problem) side {
	s := side{Condition: metav1.Condition{Status: metav1.ConditionUnknown, Reason: p.Reason, Message: p.Message}}
	if p.Lasting {
		s.action = action{p.Reason, true, p.Message}
	}
	return s
}

func undated(service, which string) side {
	return unknown(&Problem{Reason: v1alpha1.ReasonAnswerInvalid, Lasting: true, Message: service + " does not say when " + which + " expires: look there, and whether there is a newer operator"})
}

// Conditions are all that are told. What a reader should heed first comes first in a message.
func (r Report) Conditions() (all []metav1.Condition) {
	var found []string
	var pressing, others []action
	expired, asking := false, ""
	for _, s := range r {
		all, found = append(all, s.Condition), append(found, s.Message)
		expired = expired || s.Reason == v1alpha1.ReasonExpired
		switch {
		case s.action.urgent:
			pressing = append(pressing, s.action)
		case s.action.reason != "":
			others = append(others, s.action)
		case s.Status == metav1.ConditionUnknown:
			asking = cmp.Or(asking, s.Reason)
		}
	}
	todo := slices.Concat(pressing, others)
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWatching, Message: strings.Join(found, "; ")}
	required := metav1.Condition{Type: v1alpha1.ConditionActionRequired, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNothingToDo, Message: "nothing is to be done by a person"}
	if len(todo) > 0 {
		required.Status, required.Reason, required.Message = metav1.ConditionTrue, todo[0].reason, todo[0].message
		for _, a := range todo[1:] {
			required.Message += "; " + a.message
		}
		ready.Reason, ready.Message = required.Reason, required.Message
	}
	switch {
	case expired:
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.ReasonCertificateExpired
	case len(pressing) > 0:
		ready.Status = metav1.ConditionFalse
	case asking != "":
		ready.Status, ready.Reason = metav1.ConditionUnknown, asking
	}
	all = append(all, ready, required)
	if len(pressing) > 0 {
		return append(all, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
	}
	if asking != "" {
		return append(all, metav1.Condition{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
	}
	return all
}
