package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// view writes what a person reads.
type view struct {
	w       io.Writer
	now     time.Time
	colours bool
}

// oneLine keeps what comes from files and messages from steering the terminal.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }), " ")
}

// tables writes tables one below the other, and leaves those out that have one row at most: the headings.
func (v view) tables(tables ...[][]string) error {
	for i, rows := range slices.DeleteFunc(tables, func(rows [][]string) bool { return len(rows) < 2 }) {
		if i > 0 {
			fmt.Fprintln(v.w)
		}
		columns := printers.GetNewTabWriter(v.w)
		for _, row := range rows {
			for i := range row {
				row[i] = v.paint(oneLine(row[i]))
			}
			fmt.Fprintln(columns, strings.TrimRight(strings.Join(row, "\t"), "\t"))
		}
		if err := columns.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// paint colours what a condition's status is. All cells get as many bytes more, so that columns stay aligned.
func (v view) paint(cell string) string {
	if !v.colours {
		return cell
	}
	colour := map[string]int{"True": 32, "False": 31, "Unknown": 33}[cell]
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", cmp.Or(colour, 39), cell)
}

// at tells a time absolutely and relatively.
func (v view) at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339) + " (" + v.relative(t) + ")"
}

func (v view) relative(t time.Time) string {
	if t.After(v.now) {
		return "in " + duration.HumanDuration(t.Sub(v.now))
	}
	return duration.HumanDuration(v.now.Sub(t)) + " ago"
}

// table shows several FlexRegistrations, and then ExperienceHubConnections.
func (v view) table(all []*resource, namespaces, wide bool) error {
	registrations := [][]string{{"NAMESPACE", "NAME", "READY", "REASON", "EXPIRES", "NEXT", "GATEWAY", "SERIAL", "MESSAGE"}}
	connections := [][]string{{"NAMESPACE", "NAME", "READY", "REASON", "ANYPOINT", "SALESFORCE", "NEXT", "MESSAGE"}}
	for _, r := range all {
		ready := r.ready()
		row := []string{r.Namespace, r.argument(), string(ready.Status), cmp.Or(ready.Reason, "-")}
		if r.connection == nil {
			gateway, certificate := valueOf(r.Status.Gateway), valueOf(r.Status.Certificate)
			row = append(row, v.at(expiry(r)), v.next(r), cmp.Or(gateway.Name, "-"), cmp.Or(certificate.SerialNumber, "-"), ready.Message)
			registrations = append(registrations, row)
			continue
		}
		for _, side := range sides(r) {
			known := when(!side.NotAfter.IsZero(), v.at(side.NotAfter.Time))
			row = append(row, cmp.Or(known, r.condition(side.service+v1alpha1.ConditionCertificateValid).Reason, "-"))
		}
		connections = append(connections, append(row, v.next(r), ready.Message))
	}
	const narrow = 7 // columns of either kind that are not for -o wide
	for _, rows := range [][][]string{registrations, connections} {
		for i := range rows {
			if !wide {
				rows[i] = rows[i][:narrow]
			}
			if !namespaces {
				rows[i] = rows[i][1:]
			}
		}
	}
	return v.tables(registrations, connections)
}

// full shows one resource: what, why, next, its conditions and its course.
func (v view) full(r *resource) error {
	ready, gateway, certificate, secret := r.ready(), valueOf(r.Status.Gateway), valueOf(r.Status.Certificate), valueOf(r.Status.SecretRef)
	why, remedy := ready.Reason+": "+ready.Message, remedies[ready.Reason]
	if ready.Reason == "" {
		why = "no operator has looked at it: see whether it runs" + when(r.connection != nil, " with --experience-hub") + ", and watches this namespace"
	} else if !r.observed() {
		why += " (the operator has not looked at the last change of the spec yet)"
	}
	rows := [][]string{
		{"Name:", r.Namespace + "/" + r.Name},
		{"Ready:", string(ready.Status)},
		{"Why:", why},
		{"Since:", v.at(ready.LastTransitionTime.Time)},
		{"Next:", v.next(r)},
		{"To change that:", when(remedy != "" && r.connection == nil, fmt.Sprintf("kubectl flexreg "+remedy+" -n %s", r.Name, r.Namespace))},
		{"Gateway:", list(gateway.Name, when(gateway.AgentID != "", "agent "+gateway.AgentID), when(gateway.AnypointURL != "", "at "+gateway.AnypointURL))},
		{"Certificate:", v.expiring(certificate.SerialNumber, certificate.NotAfter)},
	}
	for _, side := range sides(r) {
		rows = append(rows, []string{side.service + ":", v.expiring(side.Name, side.NotAfter)})
	}
	rows = append(rows, [][]string{
		{"Secret:", when(secret.Name != "", secret.Name+", key "+secret.Key)},
		{"Rollout:", v.rollout(r.Status.Rollout)},
		{"Failed attempts:", when(r.Status.FailedAttempts > 0, fmt.Sprintf("%d, to renew this certificate", r.Status.FailedAttempts))},
		{"Policy:", list(string(valueOf(r.connection).Spec.Rotation.Policy), string(r.Spec.Renewal.Policy), string(r.Spec.Publish.Policy),
			when(r.Spec.Pin != "", "pinned to "+r.Spec.Pin), when(r.Spec.Suspend, "suspended"))},
	}...)
	known := slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	return v.tables(known, v.conditions(r), v.timeline(r))
}

func (v view) conditions(r *resource) [][]string {
	rows := [][]string{{"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"}}
	for _, c := range r.Status.Conditions {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, v.relative(c.LastTransitionTime.Time), c.Message})
	}
	return rows
}

// timeline is what has happened, and what is going to.
func (v view) timeline(r *resource) [][]string {
	var rows [][]string
	add := func(t *metav1.Time, text string) {
		if !t.IsZero() {
			rows = append(rows, []string{t.UTC().Format(time.RFC3339), v.relative(t.Time), text})
		}
	}
	for _, e := range r.Status.History {
		certificates := when(e.From+e.To != "", ": "+cmp.Or(e.From, "?")+" → "+cmp.Or(e.To, "?"))
		add(&e.Time, e.Action+" "+e.Outcome+when(e.Cause != "", " ("+e.Cause+")")+certificates)
	}
	hub := valueOf(r.connection).Status
	add(hub.LastCheckTime, "the last check of both certificates")
	add(hub.NextCheckTime, "the next check is due")
	inAnypoint := valueOf(hub.Anypoint)
	add(&inAnypoint.NotAfter, "certificate "+inAnypoint.Name+" in Anypoint expires")
	for _, c := range append(hub.Renamed, valueOf(hub.Salesforce)) {
		add(&c.NotAfter, "certificate "+c.Name+" in Salesforce expires")
	}
	certificate := valueOf(r.Status.Certificate)
	add(&certificate.NotBefore, "the certificate becomes valid")
	add(&certificate.NotAfter, "the certificate expires")
	if rollout := valueOf(r.Status.Rollout); !rollout.Completed {
		add(rollout.StartTime, fmt.Sprintf("rollout %d begins", rollout.Sequence))
	}
	if v.ahead(r.Status.NextAttemptTime) {
		add(r.Status.NextAttemptTime, "the next attempt")
	}
	add(r.Status.RenewalTime, "the renewal is due")
	if len(rows) == 0 {
		return nil
	}
	rows = append(rows, []string{v.now.UTC().Format(time.RFC3339), "--", "now"})
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) }) // Times in UTC have the order of their text.
	return slices.Insert(rows, 0, []string{"TIME", "", "WHAT"})
}

func (v view) rollout(r *v1alpha1.RolloutStatus) string {
	if r == nil {
		return ""
	}
	state, at := "", r.StartTime
	switch {
	case r.Completed:
		state, at = "completed", r.CompletionTime
	case r.FailureTime != nil:
		state, at = "failed", r.FailureTime
	case r.StartTime != nil:
		state = "under way since"
	}
	return list(
		fmt.Sprintf("number %d", r.Sequence),
		state+when(at != nil, " "+v.at(valueOf(at).Time)),
		when(len(r.Deployments) > 0, "of Deployments "+strings.Join(r.Deployments, ", ")),
	)
}

// remedies are the commands by which a person ends what a reason of Ready says.
var remedies = map[string]string{
	v1alpha1.ReasonAwaitingApproval: "approve %s",
	v1alpha1.ReasonClusterChanged:   "confirm %s",
	v1alpha1.ReasonSuspended:        "resume %s",
	v1alpha1.ReasonPinned:           "pin %s --clear",
	v1alpha1.ReasonPinUnknown:       "pin %s --clear",
	v1alpha1.ReasonReverted:         "renew %s",
	v1alpha1.ReasonMissingScope:     "renew %s",
}

// next is what happens next, as far as that is known.
func (v view) next(r *resource) string {
	s, check := r.Status, valueOf(r.connection).Status.NextCheckTime
	switch action := r.condition(v1alpha1.ConditionActionRequired); {
	case action.Status == metav1.ConditionTrue:
		return "somebody must act: " + action.Reason
	case check != nil:
		return "check at " + v.at(check.Time)
	case v.ahead(s.NextAttemptTime):
		return "attempt at " + v.at(s.NextAttemptTime.Time)
	case r.is(v1alpha1.ConditionStalled) || r.ready().Reason == v1alpha1.ReasonAwaitingApproval:
		return "somebody must act"
	case r.is(v1alpha1.ConditionReconciling):
		return "under way"
	case r.Spec.Suspend:
		return "nothing while suspended"
	case r.Spec.Pin != "":
		return "nothing while pinned"
	case v.ahead(s.RenewalTime):
		return "renewal at " + v.at(s.RenewalTime.Time)
	}
	return "-"
}

// ahead says that a time is known, and is still to come.
func (v view) ahead(t *metav1.Time) bool { return valueOf(t).After(v.now) }

// expiring is a certificate by its name or serial number; "" where there is none.
func (v view) expiring(name string, notAfter metav1.Time) string {
	return when(name != "", name+", expires "+v.at(notAfter.Time))
}

// side is one of the two certificates of a connection, and the service where it is.
type side struct {
	service string
	v1alpha1.ConnectionCertificate
}

// sides are the certificates of a connection that are in use; in Salesforce that is the renamed one until there is a new one.
func sides(r *resource) [2]side {
	var renamed v1alpha1.ConnectionCertificate
	s := valueOf(r.connection).Status
	if n := len(s.Renamed); n > 0 {
		renamed = s.Renamed[n-1]
	}
	return [2]side{{"Anypoint", valueOf(s.Anypoint)}, {"Salesforce", ptr.Deref(s.Salesforce, renamed)}}
}

// expiry is that of the certificate or, of two, of the one that expires first.
func expiry(r *resource) time.Time {
	first := valueOf(r.Status.Certificate).NotAfter.Time
	for _, side := range sides(r) {
		if at := side.NotAfter.Time; !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// valueOf is what a pointer leads to, or nothing.
func valueOf[T any](p *T) (value T) { return ptr.Deref(p, value) }

// when is a text where something is so, and otherwise none.
func when(so bool, text string) string {
	if so {
		return text
	}
	return ""
}

// list joins those texts that there are.
func list(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), ", ")
}
