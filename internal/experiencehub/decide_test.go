package experiencehub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

const month = 30 * 24 * time.Hour

var noon = time.Date(2027, 10, 1, 12, 0, 0, 0, time.UTC)

func certificate(id, name string, left time.Duration) Certificate {
	return Certificate{ID: id, Name: name, Label: name, NotAfter: noon.Add(left)}
}

// renamed is one that the operator has renamed.
func renamed(id string, left time.Duration) Certificate {
	return certificate(id, "Anypoint_to_expire_"+noon.Add(left).Format(day), left)
}

func salesforce(certificates ...Certificate) *Salesforce {
	return &Salesforce{Host: "example.my.salesforce.com", Name: "Anypoint", Suffix: "to_expire", Assist: true, Certificates: certificates}
}

func TestDecide(t *testing.T) {
	const (
		yes, no, maybe = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	)
	soon, year := 20*24*time.Hour, 365*24*time.Hour
	notify := func(s *Salesforce) *Salesforce { s.Assist = false; return s }
	refusing := func(s *Salesforce, name string) *Salesforce {
		s.Refused = map[string]string{name: "it is in use"}
		return s
	}
	anypoint := func(left time.Duration) *Anypoint {
		c := certificate("", "aeh", left)
		return &Anypoint{Which: "certificate aeh of secret group hub", Certificate: &c}
	}
	for name, c := range map[string]struct {
		anypoint   *Anypoint
		salesforce *Salesforce
		step       Step
		ready      metav1.ConditionStatus
		reason     string
		action     string
		says       []string
		stalled    bool
	}{
		"nothing is due":                    {anypoint: anypoint(year), salesforce: salesforce(certificate("1", "Anypoint", year)), ready: yes, reason: "Watching", action: "NothingToDo"},
		"anypoint expires soon":             {anypoint: anypoint(soon), ready: yes, reason: "ReconnectAfterExpiry", action: "ReconnectAfterExpiry", says: []string{"2027-10-21T12:00:00Z", "plan for", "reconnect"}},
		"anypoint has expired":              {anypoint: anypoint(-time.Hour), ready: no, reason: "CertificateExpired", action: "ReconnectAfterExpiry", says: []string{"log in to API Experience Hub", "now"}, stalled: true},
		"anypoint has none":                 {anypoint: &Anypoint{Which: "keystore x"}, ready: no, reason: "CertificateNotFound", action: "CertificateNotFound", says: []string{"keystore x"}, stalled: true},
		"anypoint tells no date":            {anypoint: &Anypoint{Which: "keystore x", Certificate: &Certificate{}}, ready: no, reason: "AnswerInvalid", action: "AnswerInvalid", stalled: true},
		"due, assisted":                     {salesforce: salesforce(certificate("1", "Anypoint", soon)), step: Step{Rename: "Anypoint", To: "Anypoint_to_expire_20271021"}, ready: yes, reason: "Watching", action: "NothingToDo"},
		"due, and the name is taken":        {salesforce: salesforce(certificate("1", "Anypoint", soon), certificate("2", "anypoint_TO_expire_20271021", year)), step: Step{Rename: "Anypoint", To: "Anypoint_to_expire_20271021_2"}, ready: yes, reason: "Watching", action: "NothingToDo"},
		"due, to be done by hand":           {salesforce: notify(salesforce(certificate("1", "Anypoint", soon))), ready: yes, reason: "RotateByHand", action: "RotateByHand", says: []string{"rename it in Salesforce at Setup > Security", "2027-10-21T12:00:00Z"}},
		"due, to be done by hand, urgently": {salesforce: notify(salesforce(certificate("1", "Anypoint", month/4))), ready: no, reason: "RotateByHand", action: "RotateByHand", stalled: true},
		"expired, assisted":                 {salesforce: salesforce(certificate("1", "Anypoint", -time.Hour)), step: Step{Rename: "Anypoint", To: "Anypoint_to_expire_20271001"}, ready: no, reason: "CertificateExpired", action: "NothingToDo"},
		"due, and refused":                  {salesforce: refusing(salesforce(certificate("1", "Anypoint", soon)), "Anypoint"), ready: yes, reason: "RenameRefused", action: "RenameRefused", says: []string{"it is in use", "rename it in Salesforce"}},
		"renamed":                           {salesforce: salesforce(renamed("1", soon)), ready: yes, reason: "LoginRequired", action: "LoginRequired", says: []string{"log in to API Experience Hub", "2027-10-21T12:00:00Z"}},
		"renamed, label kept":               {salesforce: salesforce(Certificate{ID: "1", Name: "Anypoint_to_expire_20271021", Label: "Anypoint", NotAfter: noon.Add(soon)}), ready: yes, reason: "LoginRequired", action: "LoginRequired", says: []string{"change the label"}},
		"renamed, urgent":                   {salesforce: salesforce(renamed("1", month/4)), ready: no, reason: "LoginRequired", action: "LoginRequired", stalled: true},
		"renamed, expired":                  {salesforce: salesforce(renamed("1", -time.Hour)), ready: no, reason: "CertificateExpired", action: "LoginRequired", stalled: true},
		"a new one":                         {salesforce: salesforce(renamed("1", soon), certificate("2", "Anypoint", year)), step: Step{Delete: "Anypoint_to_expire_20271021"}, ready: yes, reason: "Watching", action: "NothingToDo"},
		"a new one, by hand":                {salesforce: notify(salesforce(renamed("1", soon), certificate("2", "Anypoint", year))), ready: yes, reason: "DeleteByHand", action: "DeleteByHand", says: []string{"Anypoint_to_expire_20271021"}},
		"a new one, refused":                {salesforce: refusing(salesforce(renamed("1", soon), certificate("2", "Anypoint", year)), "Anypoint_to_expire_20271021"), ready: yes, reason: "DeletionRefused", action: "DeletionRefused", says: []string{"it is in use", "Named Credentials"}},
		"a new one, refused and expired":    {salesforce: refusing(salesforce(renamed("1", -time.Hour), certificate("2", "Anypoint", year)), "Anypoint_to_expire_20271001"), ready: no, reason: "CertificateExpired", action: "DeletionRefused", stalled: true},
		"a new one that is older":           {salesforce: salesforce(renamed("1", soon), certificate("2", "Anypoint", soon-time.Hour)), ready: yes, reason: "DeleteByHand", action: "DeleteByHand", says: []string{"delete the other"}},
		"a new one that expires at once":    {salesforce: salesforce(renamed("1", soon), certificate("2", "Anypoint", soon)), ready: yes, reason: "DeleteByHand", action: "DeleteByHand"},
		"a new one that has expired":        {salesforce: salesforce(renamed("1", -2*time.Hour), certificate("2", "Anypoint", -time.Hour)), step: Step{Rename: "Anypoint", To: "Anypoint_to_expire_20271001_2"}, ready: no, reason: "CertificateExpired", action: "NothingToDo"},
		"somebody else's name":              {salesforce: salesforce(certificate("1", "Anypoint_to_expire", soon), certificate("2", "Anypoint_to_expire_20260101", soon), certificate("3", "Anypoint", year)), ready: yes, reason: "Watching", action: "NothingToDo"},
		"somebody else has renamed it":      {salesforce: salesforce(certificate("1", "Anypoint_to_expire", soon)), ready: no, reason: "CertificateNotFound", action: "CertificateNotFound", stalled: true},
		"no date":                           {salesforce: salesforce(Certificate{ID: "1", Name: "Anypoint"}), ready: no, reason: "AnswerInvalid", action: "AnswerInvalid", stalled: true},
		"a passing problem":                 {salesforce: &Salesforce{Problem: &Problem{Reason: "PlatformUnavailable", Message: "wait"}}, ready: maybe, reason: "PlatformUnavailable", action: "NothingToDo"},
		"a lasting problem":                 {anypoint: anypoint(soon), salesforce: &Salesforce{Problem: &Problem{Reason: "CredentialsRejected", Message: "correct them", Lasting: true}}, ready: no, reason: "CredentialsRejected", action: "CredentialsRejected", says: []string{"correct them; certificate aeh"}, stalled: true},
		"both":                              {anypoint: anypoint(soon), salesforce: salesforce(renamed("1", month/4)), ready: no, reason: "LoginRequired", action: "LoginRequired", says: []string{"plan for", "was renamed"}, stalled: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := Decide(Observation{Anypoint: c.anypoint, Salesforce: c.salesforce, WarnBefore: month}, noon)
			g.Expect(d.Step).To(Equal(c.step))
			all := d.Conditions()
			ready, action := meta.FindStatusCondition(all, v1alpha1.ConditionReady), meta.FindStatusCondition(all, v1alpha1.ConditionActionRequired)
			g.Expect([]string{string(ready.Status), ready.Reason, action.Reason}).To(Equal([]string{string(c.ready), c.reason, c.action}))
			g.Expect(action.Status == yes).To(Equal(c.action != "NothingToDo"))
			for _, said := range c.says {
				g.Expect(action.Message).To(ContainSubstring(said))
			}
			g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionStalled)).To(Equal(c.stalled))
			g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionReconciling)).To(Equal(c.ready == maybe))
			g.Expect(meta.FindStatusCondition(all, v1alpha1.ConditionAnypointCertificateValid) != nil).To(Equal(c.anypoint != nil))
			g.Expect(meta.FindStatusCondition(all, v1alpha1.ConditionSalesforceCertificateValid) != nil).To(Equal(c.salesforce != nil))
		})
	}
}

func TestSuspendedDoesNothing(t *testing.T) {
	g := NewWithT(t)
	s := salesforce(certificate("1", "Anypoint", time.Hour))
	s.Suspended = true
	d := Decide(Observation{Salesforce: s, WarnBefore: month}, noon)
	g.Expect(d.Step).To(BeZero())
	g.Expect(meta.FindStatusCondition(d.Conditions(), v1alpha1.ConditionActionRequired).Message).To(ContainSubstring("spec.suspend is set"))
}

func TestNextIsWhenWhatIsToldChanges(t *testing.T) {
	g := NewWithT(t)
	c := certificate("", "aeh", 400*24*time.Hour)
	o := Observation{Anypoint: &Anypoint{Which: "it", Certificate: &c}, WarnBefore: month}
	var passed []time.Duration
	for now := noon; ; {
		d := Decide(o, now)
		if d.Next.IsZero() {
			break
		}
		g.Expect(Decide(o, d.Next.Add(-1)).Report).To(Equal(d.Report), "nothing changes before")
		passed, now = append(passed, c.NotAfter.Sub(d.Next)), d.Next
	}
	g.Expect(passed).To(Equal([]time.Duration{month, month / 3, 0}))
}

// organization is a Salesforce organization whose administrator and clock do anything at all.
type organization struct {
	certificates []Certificate
	made         int
}

func (o *organization) add(name string, notAfter time.Time) {
	o.made++
	o.certificates = append(o.certificates, Certificate{ID: fmt.Sprint(o.made), Name: name, Label: name, NotAfter: notAfter})
}

func (o *organization) find(name string) int {
	return slices.IndexFunc(o.certificates, func(c Certificate) bool { return c.Name == name })
}

// Whatever an administrator does meanwhile: only what was renamed is deleted, only where a valid one with the name expires later;
// nothing is renamed that isn't due, or over another; and every row of steps ends.
func TestNeverTheOnlyOne(t *testing.T) {
	for seed := range uint64(3000) {
		g, random := NewWithT(t), rand.New(rand.NewPCG(seed, 7))
		o, now := &organization{}, noon
		o.add("Anypoint", noon.Add(time.Duration(random.IntN(400*24))*time.Hour))
		deleted, renamedOnes := 0, 0
		for range 40 {
			switch random.IntN(8) {
			case 0, 1:
				if o.find("Anypoint") < 0 { // a login
					o.add("Anypoint", now.Add(time.Duration(random.IntN(400*24))*time.Hour))
				}
			case 2:
				if i := random.IntN(len(o.certificates) + 1); i < len(o.certificates) { // somebody deletes one
					o.certificates = slices.Delete(o.certificates, i, i+1)
				}
			case 3:
				o.add([]string{"Other", "Anypoint_to_expire", "Anypoint_to_expire_20271010", "anypoint_to_expire_" + now.Format(day)}[random.IntN(4)]+fmt.Sprint(o.made), now.Add(month))
			case 4:
				if i := o.find("Anypoint"); i >= 0 { // somebody renames it
					o.certificates[i].Name = fmt.Sprint("Anypoint_to_expire_", o.certificates[i].NotAfter.Format(day), "_9")
				}
			default:
				now = now.Add(time.Duration(random.IntN(40*24)) * time.Hour)
			}
			s := salesforce(o.certificates...)
			s.Refused = map[string]string{}
			for steps := 0; ; steps++ {
				g.Expect(steps).To(BeNumerically("<", 30), "seed %d: it ends", seed)
				s.Certificates = o.certificates
				d := Decide(Observation{Salesforce: s, WarnBefore: month}, now)
				for _, c := range d.Conditions() {
					g.Expect(c.Message).NotTo(BeEmpty(), "seed %d: %s", seed, c.Type)
				}
				if d.Step == (Step{}) {
					break
				}
				i := o.find(d.Step.Certificate())
				g.Expect(i).To(BeNumerically(">=", 0), "seed %d", seed)
				if random.IntN(5) == 0 {
					s.Refused[d.Step.Certificate()] = "no"
					continue
				}
				if d.Step.Delete != "" {
					current := o.find("Anypoint")
					g.Expect(current).To(BeNumerically(">=", 0), "seed %d: it is the only one", seed)
					g.Expect(o.certificates[current].NotAfter).To(BeTemporally(">", o.certificates[i].NotAfter), "seed %d", seed)
					g.Expect(o.certificates[current].NotAfter).To(BeTemporally(">", now), "seed %d", seed)
					g.Expect(d.Step.Delete).To(HavePrefix("Anypoint_to_expire_"+o.certificates[i].NotAfter.Format(day)), "seed %d: the operator has renamed it", seed)
					o.certificates = slices.Delete(slices.Clone(o.certificates), i, i+1)
					deleted++
					continue
				}
				g.Expect(o.certificates[i].NotAfter.Sub(now)).To(BeNumerically("<=", month), "seed %d: it is due", seed)
				g.Expect(slices.ContainsFunc(o.certificates, func(c Certificate) bool { return strings.EqualFold(c.Name, d.Step.To) })).To(BeFalse(), "seed %d: it is free", seed)
				o.certificates = slices.Clone(o.certificates)
				o.certificates[i].Name = d.Step.To
				renamedOnes++
			}
		}
		if seed == 0 {
			g.Expect(deleted + renamedOnes).To(BeNumerically(">", 0))
		}
	}
}

func TestNotifyChangesNothing(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 8))
		s := salesforce(renamed("1", time.Duration(random.IntN(2000))*time.Hour), certificate("2", "Anypoint", time.Duration(random.IntN(9000)-100)*time.Hour))
		s.Assist = false
		NewWithT(t).Expect(Decide(Observation{Salesforce: s, WarnBefore: month}, noon).Step).To(BeZero())
	}
}
