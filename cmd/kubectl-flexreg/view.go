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

// rows writes cells in columns.
func (v view) rows(rows [][]string) error {
	columns := printers.GetNewTabWriter(v.w)
	for _, row := range rows {
		for i := range row {
			row[i] = v.paint(oneLine(row[i]))
		}
		fmt.Fprintln(columns, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return columns.Flush()
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
	row := func(namespace string, rest []string, more ...string) []string {
		if namespaces {
			rest = append([]string{namespace}, rest...)
		}
		if wide {
			rest = append(rest, more...)
		}
		return rest
	}
	registrations := [][]string{row("NAMESPACE", []string{"NAME", "READY", "REASON", "EXPIRES", "NEXT", "GATEWAY"}, "SERIAL", "MESSAGE")}
	connections := [][]string{row("NAMESPACE", []string{"NAME", "READY", "REASON", "ANYPOINT", "SALESFORCE", "NEXT"}, "MESSAGE")}
	for _, r := range all {
		ready := r.ready()
		cells := []string{r.argument(), string(ready.Status), cmp.Or(ready.Reason, "-")}
		if r.connection == nil {
			registrations = append(registrations, row(r.Namespace, append(cells, v.at(expiry(r)), v.next(r), cmp.Or(gatewayOf(r).Name, "-")), cmp.Or(certificateOf(r).SerialNumber, "-"), ready.Message))
			continue
		}
		for i, c := range sides(r) {
			cells = append(cells, cmp.Or(strings.TrimPrefix(v.at(c.NotAfter.Time), "-"), r.condition(services[i]+v1alpha1.ConditionCertificateValid).Reason, "-"))
		}
		connections = append(connections, row(r.Namespace, append(cells, v.next(r)), ready.Message))
	}
	switch {
	case len(connections) == 1:
		return v.rows(registrations)
	case len(registrations) == 1:
		return v.rows(connections)
	}
	return cmp.Or(v.rows(registrations), v.rows(slices.Insert(connections, 0, nil)))
}

// full shows one resource: what, why, next, its conditions and its course.
func (v view) full(r *resource) error {
	ready, gateway, certificate := r.ready(), gatewayOf(r), certificateOf(r)
	rows := [][]string{
		{"Name:", r.Namespace + "/" + r.Name},
		{"Ready:", string(ready.Status)},
		{"Why:", ready.Reason + ": " + ready.Message},
		{"Since:", v.at(ready.LastTransitionTime.Time)},
		{"Next:", v.next(r)},
	}
	if ready.Reason == "" {
		rows[2][1] = "no operator has looked at it: see whether it runs" + map[bool]string{true: " with --experience-hub"}[r.connection != nil] + ", and watches this namespace"
	} else if r.Status.ObservedGeneration < r.Generation {
		rows[2][1] += " (the operator has not looked at the last change of the spec yet)"
	}
	if command := hints[ready.Reason]; command != "" && r.connection == nil {
		rows = append(rows, []string{"To change that:", fmt.Sprintf("kubectl flexreg "+command+" -n %s", r.Name, r.Namespace)})
	}
	add := func(label, value string) {
		if value != "" {
			rows = append(rows, []string{label + ":", value})
		}
	}
	add("Gateway", strings.Join(slices.DeleteFunc([]string{gateway.Name, prefixed("agent ", gateway.AgentID), prefixed("at ", gateway.AnypointURL)}, isEmpty), ", "))
	if certificate.SerialNumber != "" {
		add("Certificate", certificate.SerialNumber+", expires "+v.at(certificate.NotAfter.Time))
	}
	for i, c := range sides(r) {
		if c.Name != "" {
			add(services[i], c.Name+", expires "+v.at(c.NotAfter.Time))
		}
	}
	if s := r.Status.SecretRef; s != nil {
		add("Secret", s.Name+", key "+s.Key)
	}
	add("Rollout", v.rollout(r.Status.Rollout))
	if r.Status.FailedAttempts > 0 {
		add("Failed attempts", fmt.Sprintf("%d, to renew this certificate", r.Status.FailedAttempts))
	}
	add("Policy", strings.Join(slices.DeleteFunc([]string{string(connectionOf(r).Spec.Rotation.Policy), string(r.Spec.Renewal.Policy), string(r.Spec.Publish.Policy), prefixed("pinned to ", r.Spec.Pin), map[bool]string{true: "suspended"}[r.Spec.Suspend]}, isEmpty), ", "))
	if err := v.rows(rows); err != nil {
		return err
	}
	return cmp.Or(v.conditions(r), v.timeline(r))
}

func (v view) conditions(r *resource) error {
	if len(r.Status.Conditions) == 0 {
		return nil
	}
	fmt.Fprintln(v.w)
	rows := [][]string{{"CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"}}
	for _, c := range r.Status.Conditions {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, v.relative(c.LastTransitionTime.Time), c.Message})
	}
	return v.rows(rows)
}

// timeline is what has happened, and what is going to.
func (v view) timeline(r *resource) error {
	type event struct {
		time time.Time
		text string
	}
	var events []event
	add := func(t *metav1.Time, text string) {
		if !t.IsZero() {
			events = append(events, event{t.Time, text})
		}
	}
	for _, e := range r.Status.History {
		text := e.Action + " " + e.Outcome
		if e.Cause != "" {
			text += " (" + e.Cause + ")"
		}
		if e.From+e.To != "" {
			text += ": " + cmp.Or(e.From, "?") + " → " + cmp.Or(e.To, "?")
		}
		add(&e.Time, text)
	}
	hub := connectionOf(r).Status
	add(hub.LastCheckTime, "the last check of both certificates")
	add(hub.NextCheckTime, "the next check is due")
	inAnypoint := ptr.Deref(hub.Anypoint, v1alpha1.ConnectionCertificate{})
	add(&inAnypoint.NotAfter, "certificate "+inAnypoint.Name+" in Anypoint expires")
	for _, c := range append(hub.Renamed, ptr.Deref(hub.Salesforce, v1alpha1.ConnectionCertificate{})) {
		add(&c.NotAfter, "certificate "+c.Name+" in Salesforce expires")
	}
	certificate := certificateOf(r)
	add(&certificate.NotBefore, "the certificate becomes valid")
	add(&certificate.NotAfter, "the certificate expires")
	if rollout := r.Status.Rollout; rollout != nil && !rollout.Completed {
		add(rollout.StartTime, fmt.Sprintf("rollout %d begins", rollout.Sequence))
	}
	if t := r.Status.NextAttemptTime; t != nil && t.After(v.now) {
		add(t, "the next attempt")
	}
	add(r.Status.RenewalTime, "the renewal is due")
	if len(events) == 0 {
		return nil
	}
	events = append(events, event{v.now, "now"})
	slices.SortStableFunc(events, func(a, b event) int { return a.time.Compare(b.time) })
	fmt.Fprintln(v.w)
	rows := [][]string{{"TIME", "", "WHAT"}}
	for _, e := range events {
		relative := v.relative(e.time)
		if e.text == "now" {
			relative = "--"
		}
		rows = append(rows, []string{e.time.UTC().Format(time.RFC3339), relative, e.text})
	}
	return v.rows(rows)
}

func (v view) rollout(r *v1alpha1.RolloutStatus) string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("number %d", r.Sequence)
	switch {
	case r.Completed && r.CompletionTime != nil:
		text += ", completed " + v.at(r.CompletionTime.Time)
	case r.Completed:
		text += ", completed"
	case r.FailureTime != nil:
		text += ", failed " + v.at(r.FailureTime.Time)
	case r.StartTime != nil:
		text += ", under way since " + v.at(r.StartTime.Time)
	}
	return text + prefixed(", of Deployments ", strings.Join(r.Deployments, ", "))
}

// hints are the commands by which a person ends what a reason of Ready says.
var hints = map[string]string{
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
	ready, s, check := r.ready(), r.Status, connectionOf(r).Status.NextCheckTime
	switch action := r.condition(v1alpha1.ConditionActionRequired); {
	case action.Status == metav1.ConditionTrue:
		return "somebody must act: " + action.Reason
	case check != nil:
		return "check at " + v.at(check.Time)
	case s.NextAttemptTime != nil && s.NextAttemptTime.After(v.now):
		return "attempt at " + v.at(s.NextAttemptTime.Time)
	case r.condition(v1alpha1.ConditionStalled).Status == metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonAwaitingApproval:
		return "somebody must act"
	case r.condition(v1alpha1.ConditionReconciling).Status == metav1.ConditionTrue:
		return "under way"
	case r.Spec.Suspend:
		return "nothing while suspended"
	case r.Spec.Pin != "":
		return "nothing while pinned"
	case s.RenewalTime != nil && s.RenewalTime.After(v.now):
		return "renewal at " + v.at(s.RenewalTime.Time)
	}
	return "-"
}

func gatewayOf(r *resource) v1alpha1.GatewayStatus {
	return ptr.Deref(r.Status.Gateway, v1alpha1.GatewayStatus{})
}

func certificateOf(r *resource) v1alpha1.CertificateStatus {
	return ptr.Deref(r.Status.Certificate, v1alpha1.CertificateStatus{})
}

func connectionOf(r *resource) v1alpha1.ExperienceHubConnection {
	return ptr.Deref(r.connection, v1alpha1.ExperienceHubConnection{})
}

// services are where the certificates are that sides returns.
var services = [2]string{"Anypoint", "Salesforce"}

// sides are the certificates of a connection that are in use; in Salesforce that is the renamed one until there is a new one.
func sides(r *resource) [2]v1alpha1.ConnectionCertificate {
	var renamed v1alpha1.ConnectionCertificate
	s := connectionOf(r).Status
	if n := len(s.Renamed); n > 0 {
		renamed = s.Renamed[n-1]
	}
	return [2]v1alpha1.ConnectionCertificate{ptr.Deref(s.Anypoint, v1alpha1.ConnectionCertificate{}), ptr.Deref(s.Salesforce, renamed)}
}

// expiry is that of the certificate or, of two, of the one that expires first.
func expiry(r *resource) time.Time {
	first := certificateOf(r).NotAfter.Time
	for _, c := range sides(r) {
		if at := c.NotAfter.Time; !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func isEmpty(s string) bool { return s == "" }

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
