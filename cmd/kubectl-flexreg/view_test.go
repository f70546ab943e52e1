package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "Write what is shown to testdata, instead of comparing it.")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(d)) }

func pointer(t metav1.Time) *metav1.Time { return &t }

const day = 24 * time.Hour

// condition is one that has lasted for a day.
func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: at(-day)}
}

// told is a FlexRegistration with a certificate that expires in the given time.
func told(name string, remaining time.Duration, conditions ...metav1.Condition) *resource {
	return &resource{FlexRegistration: v1alpha1.FlexRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: name, Generation: 2},
		Status: v1alpha1.FlexRegistrationStatus{
			ObservedGeneration: 2,
			Conditions:         conditions,
			Gateway:            &v1alpha1.GatewayStatus{Name: name + "-gateway", AgentID: "0d5c3a2e-7d6b-4b8e-9d40-6c2a3f1b7e55", AnypointURL: "https://anypoint.mulesoft.com"},
			SecretRef:          &v1alpha1.SecretKeyReference{Name: name + "-registration", Key: "registration.yaml"},
			Certificate:        &v1alpha1.CertificateStatus{SerialNumber: "4F3A90B1", NotBefore: at(-60 * day), NotAfter: at(remaining)},
		},
	}}
}

func scheduled() *resource {
	r := told("ingress", 390*day,
		condition("Ready", "True", "Scheduled", "the next renewal is due at 2027-11-17T12:00:00Z"),
		condition("CertificateValid", "True", "Valid", "valid until 2027-12-17T12:00:00Z"),
		condition("Rehearsed", "False", "MissingScope", "the credentials may not renew"),
		condition("Someday", "Unknown", "NotYet", "a type that nobody knows"))
	r.Status.RenewalTime = pointer(at(360 * day))
	r.Status.Rollout = &v1alpha1.RolloutStatus{Sequence: 3, Completed: true, StartTime: pointer(at(-2 * time.Hour)), CompletionTime: pointer(at(-time.Hour)), Deployments: []string{"ingress", "ingress-b"}}
	r.Status.History = []v1alpha1.HistoryEntry{
		{Time: at(-3 * time.Hour), Action: "Renewal", Cause: "Due", From: "11AA", Outcome: "RateLimited"},
		{Time: at(-2 * time.Hour), Action: "Renewal", Cause: "Requested: CHG-17", From: "11AA", To: "4F3A90B1", Outcome: "Succeeded"},
		{Time: at(-time.Hour), Action: "Rollout", From: "11AA", To: "4F3A90B1", Outcome: "Succeeded"},
	}
	return r
}

func refused() *resource {
	r := told("refused", 9*day,
		condition("Ready", "False", "PlatformUnavailable", "attempt 3 failed"),
		condition("Reconciling", "True", "PlatformUnavailable", "attempt 3 failed"))
	r.Status.FailedAttempts, r.Status.NextAttemptTime, r.Status.RenewalTime = 3, pointer(at(4*time.Minute)), pointer(at(-time.Hour))
	r.Status.Rollout = &v1alpha1.RolloutStatus{Sequence: 1, StartTime: pointer(at(-2 * time.Hour)), FailureTime: pointer(at(-time.Hour))}
	r.Spec.Pin, r.Spec.Suspend, r.Spec.Renewal.Policy, r.Generation = "11AA", true, v1alpha1.RenewalManual, 3
	return r
}

// hostile has what a file or a message may hold that would steer a terminal, or break the table.
func hostile() *resource {
	r := told("hostile", 10*day, condition("Ready", "False", "StepFailed", "two\nlines,\ta tab and \x1b[2Jan escape"), condition("Stalled", "True", "StepFailed", "two"))
	r.Status.Gateway.Name = "\x1b]0;title\x07gateway"
	return r
}

// hub is a connection whose certificate in Salesforce was renamed, and in whose messages somebody else has a word.
func hub() *resource {
	c := &v1alpha1.ExperienceHubConnection{
		Spec: v1alpha1.ExperienceHubConnectionSpec{Rotation: v1alpha1.RotationSpec{Policy: v1alpha1.RotationAssist}},
		Status: v1alpha1.ExperienceHubConnectionStatus{
			Anypoint:      &v1alpha1.ConnectionCertificate{Name: "\x1b]0;title\x07salesforce", NotAfter: at(200 * day)},
			Renamed:       []v1alpha1.ConnectionCertificate{{Name: "Anypoint_to_expire_20261130", NotAfter: at(8 * day)}, {Name: "Anypoint_to_expire_20261212", NotAfter: at(20 * day)}},
			LastCheckTime: pointer(at(-10 * time.Minute)), NextCheckTime: pointer(at(50 * time.Minute)),
		},
	}
	return connected("hub", c,
		condition("AnypointCertificateValid", "True", "Valid", "certificate salesforce is valid"),
		condition("SalesforceCertificateValid", "True", "Renamed", "certificate Anypoint_to_expire_20261212 is valid"),
		condition("Ready", "True", "LoginRequired", "log in to API\n\x1b[2JExperience Hub"),
		condition("ActionRequired", "True", "LoginRequired", "log in to API\n\x1b[2JExperience Hub"))
}

// TestWhatAConditionSaysIsOneLine holds for errors, too: of these the lines of their own are kept.
func TestWhatAConditionSaysIsOneLine(t *testing.T) {
	_, err := clusterToConfirm(t.Context(), nil, hostile())
	NewWithT(t).Expect(err).To(MatchError("there is nothing to confirm: Ready is False, StepFailed: two lines, a tab and  [2Jan escape"))
}

// connected is an ExperienceHubConnection as newResource makes it.
func connected(name string, c *v1alpha1.ExperienceHubConnection, conditions ...metav1.Condition) *resource {
	r := &resource{connection: c}
	r.Namespace, r.Name, r.Status.Conditions = "gateway", name, conditions
	return r
}

// watching is a connection with which all is well.
func watching(name string) *resource {
	return connected(name, &v1alpha1.ExperienceHubConnection{Status: v1alpha1.ExperienceHubConnectionStatus{
		Salesforce: &v1alpha1.ConnectionCertificate{Name: "Anypoint", NotAfter: at(100 * day)}, NextCheckTime: pointer(at(day)),
	}}, condition("SalesforceCertificateValid", "True", "Valid", ""), condition("Ready", "True", "Watching", "all is well"), condition("ActionRequired", "False", "NothingToDo", ""))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	NewWithT(t).Expect(string(got)).To(Equal(string(want)), "run `go test ./cmd/kubectl-flexreg -update`, and look at the difference")
}

func TestOneIsShownInFull(t *testing.T) {
	awaiting := told("awaiting", 20*day, condition("Ready", "True", "AwaitingApproval", "the renewal of certificate 4F3A90B1 awaits approval"))
	// A reason that FlexRegistrations have, too, where a command ends it.
	scopeless := connected("scopeless", &v1alpha1.ExperienceHubConnection{}, condition("Ready", "False", "MissingScope", "the credentials may not read the secret group"),
		condition("AnypointCertificateValid", "Unknown", "MissingScope", "the credentials may not read the secret group"), condition("ActionRequired", "True", "MissingScope", "the credentials may not read the secret group"))
	scopeless.Spec.Suspend = true
	scopeless.connection.Status.Salesforce = &v1alpha1.ConnectionCertificate{Name: "Anypoint", NotAfter: at(100 * day)}
	for name, r := range map[string]*resource{
		"scheduled.txt": scheduled(),
		"refused.txt":   refused(),
		"awaiting.txt":  awaiting,
		"hostile.txt":   hostile(),
		"hub.txt":       hub(),
		"hub-no.txt":    scopeless,
		"hub-new.txt":   connected("new", &v1alpha1.ExperienceHubConnection{}),
		"untold.txt":    {FlexRegistration: v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "untold", Generation: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			NewWithT(t).Expect(view{w: &out, now: noon}.full(r)).To(Succeed())
			golden(t, name, out.Bytes())
		})
	}
}

func TestSeveralAreShownWithThoseFirstThatNeedSomebody(t *testing.T) {
	expired := told("expired", -day, condition("Ready", "False", "CertificateExpired", "expired"), condition("CertificateValid", "False", "Expired", "expired"), condition("Reconciling", "True", "CertificateExpired", ""))
	renewing := told("renewing", 5*day, condition("Ready", "True", "Renewing", "flexctl is asking"), condition("Reconciling", "True", "Renewing", ""))
	well := told("well", 300*day, condition("Ready", "True", "Scheduled", ""))
	soon := told("soon", 100*day, condition("Ready", "True", "Scheduled", ""))
	untold := &resource{FlexRegistration: v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "untold"}}}
	all := []*resource{well, soon, renewing, scheduled(), untold, refused(), hostile(), expired}
	byAttention(all, noon)
	for name, flags := range map[string][2]bool{"table.txt": {false, false}, "table-wide.txt": {true, true}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			NewWithT(t).Expect(view{w: &out, now: noon}.table(all, flags[0], flags[1])).To(Succeed())
			golden(t, name, out.Bytes())
		})
	}
}

func TestConnectionsAreShownBelow(t *testing.T) {
	gone := connected("gone", &v1alpha1.ExperienceHubConnection{}, condition("AnypointCertificateValid", "False", "NotFound", ""), condition("SalesforceCertificateValid", "Unknown", "Timeout", ""),
		condition("Ready", "False", "CertificateNotFound", "there is none"), condition("ActionRequired", "True", "CertificateNotFound", "there is none"))
	forsaken := watching("forsaken")
	forsaken.connection.Status.Anypoint = &v1alpha1.ConnectionCertificate{Name: "salesforce", NotAfter: at(-day)}
	for name, all := range map[string][]*resource{
		"table-hub.txt":      {watching("well"), scheduled(), hub(), refused(), connected("new", &v1alpha1.ExperienceHubConnection{}), gone, forsaken},
		"table-hub-only.txt": {watching("well"), hub()},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			byAttention(all, noon)
			NewWithT(t).Expect(view{w: &out, now: noon}.table(all, true, true)).To(Succeed())
			golden(t, name, out.Bytes())
		})
	}
	g := NewWithT(t)
	g.Expect(verdict([]*resource{watching("well"), hub(), scheduled()}, noon)).To(Succeed())
	g.Expect(verdict([]*resource{forsaken, gone, refused()}, noon)).To(MatchError("3 of 3 not Ready: ExperienceHubConnection gateway/forsaken, ExperienceHubConnection gateway/gone, gateway/refused"))
}

func TestColoursKeepColumnsAligned(t *testing.T) {
	g := NewWithT(t)
	var plain, coloured bytes.Buffer
	rows := func() []*resource { return []*resource{refused(), scheduled()} }
	g.Expect(view{w: &plain, now: noon}.table(rows(), true, true)).To(Succeed())
	g.Expect(view{w: &coloured, now: noon, colours: true}.table(rows(), true, true)).To(Succeed())
	g.Expect(coloured.String()).To(And(ContainSubstring("\x1b[31mFalse\x1b[0m"), ContainSubstring("\x1b[32mTrue\x1b[0m")))
	uncoloured := coloured.String()
	for _, escape := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[39m", "\x1b[0m"} {
		uncoloured = string(bytes.ReplaceAll([]byte(uncoloured), []byte(escape), nil))
	}
	g.Expect(uncoloured).To(Equal(plain.String()))
}

func TestAnExpiredCertificateIsNotReadyWhateverTheStatusSays(t *testing.T) {
	g := NewWithT(t)
	forsaken := told("forsaken", -day, condition("Ready", "True", "Scheduled", "the operator that said so is gone"), condition("CertificateValid", "True", "Valid", ""))
	well := told("well", 300*day, condition("Ready", "True", "Scheduled", ""))
	g.Expect(verdict([]*resource{well}, noon)).To(Succeed())
	g.Expect(verdict([]*resource{well, forsaken}, noon)).To(MatchError(ContainSubstring("1 of 2 not Ready: gateway/forsaken")))
	all := []*resource{well, forsaken}
	byAttention(all, noon)
	g.Expect(all[0]).To(BeIdenticalTo(forsaken))
}
