package renewal

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestRecordTransitions(t *testing.T) {
	g := NewWithT(t)
	r := Record{Cluster: "here"}
	g.Expect(r.Exists()).To(BeFalse())
	g.Expect(r.unrolled()).To(BeFalse())

	r = r.Seen(older, "")
	g.Expect(r.Exists()).To(BeTrue())
	g.Expect(r.unrolled()).To(BeFalse())
	g.Expect(r.Rollout).To(Equal(Rollout{Fingerprint: older.Fingerprint}))
	g.Expect(r.Rollout.Annotation()).To(BeEmpty())

	r = r.Claimed(older, "", intent(noon, "me"))
	g.Expect(r.Intent).To(Equal(&Intent{Fingerprint: older.Fingerprint, Attempt: 1, Since: noon, Until: noon.Add(Hold), By: "me"}))
	g.Expect(r.Attempts).To(Equal(Attempts{Fingerprint: older.Fingerprint}))

	r = r.Failed(unavailable, older, noon.Add(time.Second))
	g.Expect(r.Intent).To(BeNil())
	g.Expect(r.Attempts).To(Equal(Attempts{Fingerprint: older.Fingerprint, Failed: 1, State: "PlatformUnavailable", Message: "down",
		Last: noon.Add(time.Second), Next: noon.Add(time.Second + time.Minute)}))

	r = r.Claimed(older, "x", intent(noon.Add(time.Hour), "me")).Failed(credentialsRejected("1"), older, noon.Add(time.Hour))
	g.Expect(r.Attempts).To(Equal(Attempts{Fingerprint: older.Fingerprint, Failed: 2, State: "CredentialsRejected", Message: "refused",
		Last: noon.Add(time.Hour), Next: noon.Add(25 * time.Hour), Refused: "1", Request: "x"}))

	r = r.Claimed(older, "x", intent(noon.Add(2*time.Hour), "me")).Failed(lost, older, noon.Add(2*time.Hour))
	g.Expect(r.Attempts).To(And(HaveField("Failed", 3), HaveField("Unresolved", 1), HaveField("Refused", ""), HaveField("Next", noon.Add(2*time.Hour+4*time.Minute))))

	// An operator dies with a claim; the next claim counts it.
	r = r.Claimed(older, "", intent(noon.Add(3*time.Hour), "me"))
	before := r
	r = r.Claimed(older, "y", intent(noon.Add(4*time.Hour), "someone"))
	g.Expect(r.Attempts).To(And(HaveField("Failed", 4), HaveField("Unresolved", 2), HaveField("Request", "y"), HaveField("Last", noon.Add(2*time.Hour))))
	g.Expect(r.Intent).To(Equal(&Intent{Fingerprint: older.Fingerprint, Attempt: 5, Since: noon.Add(4 * time.Hour), Until: noon.Add(4*time.Hour + Hold), By: "someone"}))
	g.Expect(before.Intent.By).To(Equal("me"), "a transition leaves what it starts from alone")
	g.Expect(before.Attempts.Unresolved).To(Equal(1))
	// Nothing is known of an intent for another certificate.
	g.Expect(r.Claimed(newest, "", intent(noon, "me")).Attempts).To(Equal(Attempts{Fingerprint: newest.Fingerprint}))

	r = r.Succeeded(newest, "y", noon.Add(5*time.Hour))
	g.Expect(r.Newest).To(Equal(newest))
	g.Expect(r.Previous).To(Equal(older))
	g.Expect(r.Intent).To(BeNil())
	g.Expect(r.Attempts).To(BeZero())
	g.Expect(r.HandledRequest).To(Equal("y"))
	g.Expect(r.Renewed).To(Equal(Renewed{Fingerprint: newest.Fingerprint, Time: noon.Add(5 * time.Hour)}))
	g.Expect(r.unrolled()).To(BeTrue())
	g.Expect(r.Rollout).To(Equal(Rollout{Fingerprint: older.Fingerprint}), "nothing is rolled that is not published")
	g.Expect(r.Succeeded(newest, "", noon).HandledRequest).To(Equal("y"), "a renewal that was due handles no request")

	r = r.Published(noon.Add(6*time.Hour), noon.Add(7*time.Hour), false)
	g.Expect(r.unrolled()).To(BeFalse())
	g.Expect(r.Rollout).To(Equal(Rollout{Sequence: 1, Fingerprint: newest.Fingerprint, Started: noon.Add(7 * time.Hour), Published: noon.Add(6 * time.Hour), Held: older}))
	g.Expect(r.Rollout.Annotation()).To(Equal("fingerprint-C-1"))
	g.Expect(r.Rollout.Done("uid-a")).To(BeFalse())

	rolled := r.RolledOut("uid-a", true, noon)
	g.Expect(rolled.Rollout.Done("uid-a")).To(BeTrue())
	g.Expect(rolled.Rollout.Completed).To(Equal(noon))
	g.Expect(r.RolledOut("uid-a", false, noon).Rollout.Completed).To(BeZero())
	g.Expect(rolled.Rollout.Annotation()).To(Equal("fingerprint-C-1"))

	// Somebody else renews, before and after the rollout.
	next := certificate("D", 2*lifetime)
	g.Expect(rolled.Adopted(next).Published(noon, noon, true).Rollout).To(And(HaveField("Sequence", int64(2)), HaveField("Held", newest)))
	g.Expect(r.Adopted(next).Published(noon, noon, false).Rollout).To(And(HaveField("Sequence", int64(2)), HaveField("Held", older)))
	adopted := r.Claimed(newest, "", intent(noon, "me")).Adopted(next)
	g.Expect(adopted.Intent).To(BeNil())
	g.Expect(adopted.Previous).To(Equal(newest))
	g.Expect(adopted.Renewed.Fingerprint).To(Equal(newest.Fingerprint))
	// The next one expires earlier than what pods hold.
	g.Expect(r.Adopted(oldest).Published(noon, noon, false).Rollout.Held).To(Equal(older))
}

func TestAttemptsForAnotherCertificate(t *testing.T) {
	g := NewWithT(t)
	r := Record{}.Seen(older, "").Failed(lost, older, noon)
	g.Expect(r.AttemptsFor(older.Fingerprint).Unresolved).To(Equal(1))
	g.Expect(r.AttemptsFor(newest.Fingerprint)).To(Equal(Attempts{Fingerprint: newest.Fingerprint}))
	g.Expect(r.Failed(unavailable, newest, noon).Attempts).To(And(HaveField("Failed", 1), HaveField("Unresolved", 0)))
}

func TestRecordAsJSON(t *testing.T) {
	g := NewWithT(t)
	full := Record{Cluster: "here"}.Seen(older, "").Succeeded(newest, "x", noon).Published(noon.Add(time.Second), noon.Add(1500*time.Millisecond), false).
		Failed(credentialsRejected("uid/7"), newest, noon.Add(time.Hour)).Claimed(newest, "y", intent(noon.Add(2*time.Hour), "me"))
	for name, r := range map[string]Record{"zero": {}, "seen": Record{}.Seen(older, ""), "full": full, "rolled": full.RolledOut("uid-a", true, noon)} {
		encoded, err := json.Marshal(r)
		g.Expect(err).NotTo(HaveOccurred())
		var decoded Record
		g.Expect(json.Unmarshal(encoded, &decoded)).To(Succeed())
		// The certificates are read from the registrations beside it.
		decoded.Newest, decoded.Previous = r.Newest, r.Previous
		g.Expect(decoded).To(Equal(r), "%s: %s", name, encoded)
	}
	// What operators have stored is read by those to come.
	var stored Record
	g.Expect(json.Unmarshal([]byte(`{"cluster":"here",
		"intent":{"fingerprint":"f","attempt":2,"since":"2031-05-01T12:00:00Z","until":"2031-05-01T13:00:00Z","by":"me","job":"ingress-renew-1"},
		"attempts":{"fingerprint":"f","failed":1,"unresolved":1,"state":"RenewalTimedOut","message":"m","last":"2031-05-01T12:00:00Z","next":"2031-05-01T12:01:00Z","refused":"1","request":"x"},
		"renewed":{"fingerprint":"e","time":"2031-05-01T12:00:00Z"},
		"handledRequest":"w",
		"rollout":{"sequence":3,"fingerprint":"f","started":"2031-05-01T12:00:00Z","published":"2031-05-01T12:00:00Z","completedAt":"2031-05-01T12:00:00Z",
			"rolled":[{"uid":"u","at":"2031-05-01T12:00:00Z","done":true}],
			"held":{"serialNumber":"s","fingerprint":"d","notBefore":"2031-05-01T12:00:00Z","notAfter":"2031-05-01T12:00:00Z"}}}`), &stored)).To(Succeed())
	g.Expect(stored).To(Equal(Record{
		Cluster:  "here",
		Intent:   &Intent{Fingerprint: "f", Attempt: 2, Since: noon, Until: noon.Add(time.Hour), By: "me", Job: "ingress-renew-1"},
		Attempts: Attempts{Fingerprint: "f", Failed: 1, Unresolved: 1, State: "RenewalTimedOut", Message: "m", Last: noon, Next: noon.Add(time.Minute), Refused: "1", Request: "x"},
		Renewed:  Renewed{Fingerprint: "e", Time: noon}, HandledRequest: "w",
		Rollout: Rollout{Sequence: 3, Fingerprint: "f", Started: noon, Published: noon, Completed: noon, Rolled: []Rolled{{UID: "u", At: noon, Done: true}}, Held: Certificate{SerialNumber: "s", Fingerprint: "d", NotBefore: noon, NotAfter: noon}},
	}))
}

func TestHistory(t *testing.T) {
	g := NewWithT(t)
	r := Record{}.Seen(older, "")
	at := func(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	r = r.Claimed(older, "", Intent{Since: noon, Cause: "Due"}).Failed(unavailable, older, at(1))
	r = r.Claimed(older, "", Intent{Since: noon, Cause: "Urgent"}).Failed(unavailable, older, at(2))
	failed := Entry{Time: at(2), Action: "Renewal", Cause: "Urgent", From: "5EB", Outcome: "PlatformUnavailable"}
	g.Expect(r.History).To(Equal([]Entry{failed}), "failures of the same are one")
	r = r.Claimed(older, "", Intent{Since: noon, Cause: "Urgent"}).Succeeded(newest, "", at(3)).Published(at(3), at(3), false)
	r = r.Rolling("uid-a", at(3)).RolloutFailed("it crashes", at(4)).RolloutFailed("it crashes", at(5)).RolledOut("uid-a", true, at(6)).RolledOut("uid-b", true, at(7))
	g.Expect(r.History).To(Equal([]Entry{
		failed,
		{Time: at(3), Action: "Renewal", Cause: "Urgent", From: "5EB", To: "5EC", Outcome: Succeeded},
		{Time: at(5), Action: "Rollout", From: "5EB", To: "5EC", Outcome: "RolloutFailed"},
		{Time: at(6), Action: "Rollout", From: "5EB", To: "5EC", Outcome: Succeeded},
	}))
	before := r
	for i := range 20 {
		r = r.Told(Entry{Time: at(i), Action: "Pin", Outcome: Succeeded})
	}
	g.Expect(r.History).To(HaveLen(10))
	g.Expect(r.History[9].Time).To(Equal(at(19)))
	g.Expect(before.History).To(HaveLen(4), "a transition leaves what it starts from alone")

	g.Expect(Cause(seen(older), Decision{})).To(Equal("Due"))
	g.Expect(Cause(seen(older), Decision{Timing: Timing{Urgent: true}})).To(Equal("Urgent"))
	g.Expect(Cause(seen(older).with(func(o *Observation) { o.Manual, o.RenewRequest = true, "ticket 7" }), Decision{Timing: Timing{Urgent: true}})).To(Equal("Requested: ticket 7, approved"))
}
