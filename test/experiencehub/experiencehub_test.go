package experiencehub

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	simulated "github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
)

const (
	ready    = v1alpha1.ConditionReady
	required = v1alpha1.ConditionActionRequired
)

// One control plane serves all.
func TestExperienceHubConnections(t *testing.T) {
	s := start(t)
	for name, test := range map[string]func(*testing.T, *suite){
		"Assist": testAssist, "Notify": testNotify, "InUse": testInUse, "Label": testLabel, "Suspend": testSuspend, "Problems": testProblems,
		"Anypoint": testAnypointExpires, "Rest": testRest, "ObserveOnly": testObserveOnly, "Validation": testValidation, "Shard": testShard, "Lag": testLag, "Unwritable": testUnwritable, "Broken": testBroken,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// testShard has an operator look after some of the connections only.
func testShard(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(fresh)
	c.create(c.connection())
	var err error
	c.options.Selector, err = labels.Parse("shard=a")
	c.Expect(err).NotTo(HaveOccurred())
	c.run()
	mine := c.connection()
	mine.Name, mine.Labels = "mine", map[string]string{"shard": "a"}
	c.create(mine)
	c.Eventually(func() (*metav1.Time, error) {
		err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(mine), mine)
		return mine.Status.LastCheckTime, err
	}).ShouldNot(BeNil())
	c.Expect(c.get().Status).To(Equal(v1alpha1.ExperienceHubConnectionStatus{}))
	c.change(func(is *v1alpha1.ExperienceHubConnection) { is.Labels = map[string]string{"shard": "a"} })
	c.says(ready, "True Watching")
}

func testAssist(t *testing.T, s *suite) {
	c := s.scene(t)
	old := c.certificate(40 * day)
	c.create(c.connection())
	c.run()
	c.says(ready, "True Watching")
	c.says(required, "False NothingToDo")
	is := c.get()
	c.Expect(is.Status.Salesforce.NotAfter.Time).To(BeTemporally("==", old.NotAfter))
	c.Expect(is.Status.Anypoint.NotAfter.Time).To(BeTemporally("~", c.began.Add(fresh), time.Second))

	c.clock.Step(12 * day)
	c.says(required, "True LoginRequired")
	name := "Anypoint_to_expire_" + old.NotAfter.Format("20060102")
	c.Expect(c.org.Changes()).To(Equal([]string{"rename Anypoint to " + name}))
	c.Expect(c.message(required)).To(And(ContainSubstring("log in to API Experience Hub"), ContainSubstring(old.NotAfter.Format(time.RFC3339))))
	c.says(v1alpha1.ConditionSalesforceCertificateValid, "True Renamed")
	c.says(ready, "True LoginRequired")
	c.Expect(c.get().Status.Renamed).To(ConsistOf(HaveField("Name", name)))

	c.clock.Step(25 * day)
	c.says(ready, "False LoginRequired")
	c.Expect(meta.IsStatusConditionTrue(c.get().Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
	c.Expect(c.org.Login()).To(BeTrue())
	c.clock.Step(2 * time.Hour)
	c.says(required, "False NothingToDo")
	c.says(ready, "True Watching")
	c.Expect(c.org.Changes()).To(Equal([]string{"rename Anypoint to " + name, "delete " + name}))
	c.Expect(c.org.OnlyOnes()).To(BeEmpty())
	c.Expect(c.get().Status.Renamed).To(BeEmpty())
	c.Expect(c.org.Certificates()).To(ConsistOf(HaveField("Name", "SomethingElse"), HaveField("Name", "Anypoint")))
	c.Eventually(func() []string {
		var all eventsv1.EventList
		c.Expect(s.admin.List(t.Context(), &all, client.InNamespace(c.namespace))).To(Succeed())
		var told []string
		for _, e := range all.Items {
			told = append(told, e.Type+" "+e.Reason)
		}
		slices.Sort(told)
		return told
	}).Should(Equal([]string{"Normal Deleted", "Normal NothingToDo", "Normal Renamed", "Normal Watching", "Normal Watching", "Warning LoginRequired", "Warning LoginRequired"}))
}

// What Salesforce has taken but does not list yet is not sent again.
func testLag(t *testing.T, s *suite) {
	c := s.scene(t)
	old := c.certificate(20 * day)
	c.org.Lag(1)
	c.create(c.connection())
	c.run()
	c.says(v1alpha1.ConditionSalesforceCertificateValid, "Unknown Interrupted")
	c.Expect(c.message(ready)).To(ContainSubstring("does not show it yet"))
	c.clock.Step(15 * time.Minute)
	c.says(required, "True LoginRequired")
	c.Expect(c.org.Login()).To(BeTrue())
	c.ask()
	c.clock.Step(15 * time.Minute)
	c.says(required, "False NothingToDo")
	name := "Anypoint_to_expire_" + old.NotAfter.Format("20060102")
	c.Expect(c.org.Changes()).To(Equal([]string{"rename Anypoint to " + name, "delete " + name}))
	asked := slices.DeleteFunc(c.org.Requests(), func(call simulated.Call) bool { return call != simulated.CallRename && call != simulated.CallDelete })
	c.Expect(asked).To(HaveLen(2))
}

func testNotify(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(20 * day)
	connection := c.connection()
	connection.Spec.Rotation = v1alpha1.RotationSpec{}
	c.create(connection)
	c.run()
	c.says(required, "True RotateByHand")
	c.Expect(c.message(required)).To(ContainSubstring("Setup > Security > Certificate and Key Management"))
	c.ask()
	c.Expect(c.org.Changes()).To(BeEmpty())
	c.Expect(c.org.Requests()).NotTo(ContainElements(simulated.CallRename))

	c.change(func(is *v1alpha1.ExperienceHubConnection) { is.Spec.Rotation.Policy = v1alpha1.RotationAssist })
	c.says(required, "True LoginRequired")
}

// The named credential may go on using the renamed certificate: then that stays, until it doesn't.
func testInUse(t *testing.T, s *suite) {
	c := s.scene(t)
	old := c.certificate(20 * day)
	c.create(c.connection())
	c.run()
	c.says(required, "True LoginRequired")
	c.Expect(c.org.Login()).To(BeTrue())
	c.org.Use(old.ID)
	c.ask()
	c.says(required, "True DeletionRefused")
	c.Expect(c.message(required)).To(And(ContainSubstring("DEPENDENCY_EXISTS"), ContainSubstring("Named Credentials")))
	c.says(ready, "True DeletionRefused")
	// Asked for, since the operator may just have begun to wait, by a clock that was stepped before.
	c.clock.Step(21 * day)
	c.ask()
	c.says(ready, "False CertificateExpired")
	c.org.Use("")
	c.clock.Step(2 * day)
	c.ask()
	c.says(ready, "True Watching")
	c.Expect(c.org.Certificates()).To(HaveLen(2))
}

// API Experience Hub may look for the label, which Salesforce may leave as it was.
func testLabel(t *testing.T, s *suite) {
	c := s.scene(t)
	c.org.ByLabel = true
	old := c.certificate(20 * day)
	c.create(c.connection())
	c.run()
	c.says(required, "True LoginRequired")
	c.Expect(c.org.Login()).To(BeFalse())
	c.Expect(c.message(required)).To(ContainSubstring("change the label"))
	c.org.Relabel("Anypoint_to_expire_"+old.NotAfter.Format("20060102"), "Anypoint to expire")
	c.Expect(c.org.Login()).To(BeTrue())
	c.ask()
	c.says(required, "False NothingToDo")
	c.Expect(c.org.OnlyOnes()).To(BeEmpty())
}

func testSuspend(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(20 * day)
	connection := c.connection()
	connection.Spec.Suspend = true
	c.create(connection)
	c.run()
	c.says(required, "True RotateByHand")
	c.Expect(c.org.Changes()).To(BeEmpty())
	c.change(func(is *v1alpha1.ExperienceHubConnection) { is.Spec.Suspend = false })
	c.says(required, "True LoginRequired")
}

func testObserveOnly(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(20 * day)
	c.options.ObserveOnly = true
	c.create(c.connection())
	c.run()
	c.says(required, "True RotateByHand")
	c.Expect(c.org.Changes()).To(BeEmpty())
	var told eventsv1.EventList
	c.Expect(s.admin.List(t.Context(), &told, client.InNamespace(c.namespace))).To(Succeed())
	c.Expect(told.Items).To(BeEmpty())
}

func testProblems(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(fresh)
	connection := c.connection()
	connection.Spec.Salesforce.CredentialsRef.Name = "later"
	c.create(connection)
	c.run()
	c.says(ready, "False CredentialsNotFound")
	c.says(v1alpha1.ConditionAnypointCertificateValid, "True Valid")

	later := c.secret("salesforce").DeepCopy()
	later.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace, Name: "later"}
	good := later.Data["client-secret"]
	later.Data["client-secret"] = nil
	c.create(later)
	c.says(ready, "False CredentialsIncomplete")
	later.Data["client-secret"] = []byte("wrong")
	c.Expect(s.admin.Update(t.Context(), later)).To(Succeed())
	c.says(ready, "False CredentialsRejected")
	later.Data["client-secret"] = good
	c.Expect(s.admin.Update(t.Context(), later)).To(Succeed())
	c.says(ready, "True Watching")

	// Also while something else is wrong that does not pass.
	c.anypoint.SetSecret("hub-group", "certificates", "aeh", c.began.Add(-time.Hour))
	c.org.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Garbage})
	c.ask()
	c.says(v1alpha1.ConditionSalesforceCertificateValid, "Unknown AnswerInvalid")
	c.says(ready, "False CertificateExpired")
	c.clock.Step(11 * time.Minute)
	c.says(v1alpha1.ConditionSalesforceCertificateValid, "True Valid")
	c.anypoint.SetSecret("hub-group", "certificates", "aeh", c.began.Add(fresh))

	c.org.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Garbage})
	c.ask()
	c.says(ready, "Unknown AnswerInvalid")
	c.Expect(c.get().Status.Salesforce).NotTo(BeNil(), "what was seen last stays")
	c.clock.Step(11 * time.Minute)
	c.says(ready, "True Watching")

	for _, url := range []string{"https://example.my.salesforce.com", "https://127.0.0.1:1"} {
		c.change(func(is *v1alpha1.ExperienceHubConnection) { is.Spec.Salesforce.InstanceURL = url })
		c.says(ready, "False SalesforceHostNotAllowed")
	}
	c.change(func(is *v1alpha1.ExperienceHubConnection) { is.Spec.Anypoint.URL = "https://anypoint.example.com" })
	c.says(ready, "False AnypointHostNotAllowed")
	c.change(func(is *v1alpha1.ExperienceHubConnection) {
		is.Spec.Salesforce, is.Spec.Rotation, is.Spec.Anypoint.URL, is.Spec.Anypoint.SecretGroup = nil, v1alpha1.RotationSpec{}, c.anypoint.URL(), "another"
	})
	c.says(ready, "False SecretGroupNotFound")
	c.Expect(c.reason(v1alpha1.ConditionSalesforceCertificateValid)).To(BeEmpty())
	c.Expect(c.get().Status.Salesforce).To(BeNil())
}

func testAnypointExpires(t *testing.T, s *suite) {
	c := s.scene(t)
	connection := c.connection()
	connection.Spec.Salesforce, connection.Spec.Rotation = nil, v1alpha1.RotationSpec{}
	c.create(connection)
	c.run()
	c.says(ready, "True Watching")
	c.clock.Step(fresh - 29*day)
	c.says(required, "True ReconnectAfterExpiry")
	c.says(ready, "True ReconnectAfterExpiry")
	c.clock.Step(29*day + time.Minute)
	c.says(ready, "False CertificateExpired")
	c.anypoint.SetSecret("hub-group", "certificates", "aeh", c.clock.Now().AddDate(1, 0, 0))
	c.clock.Step(2 * day)
	c.says(ready, "True Watching")
}

// Between two checks nobody is asked anything.
func testRest(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(fresh)
	c.create(c.connection())
	c.run()
	c.says(ready, "True Watching")
	count := func() int { return len(c.org.Requests()) + len(c.anypoint.Requests()) }
	before := count()
	c.Expect(before).To(Equal(5), "two tokens, the groups, the group, the certificates: %v", c.org.Requests())
	c.clock.Step(23 * time.Hour)
	c.change(func(is *v1alpha1.ExperienceHubConnection) { metav1.SetMetaDataAnnotation(&is.ObjectMeta, "x", "y") })
	c.Consistently(count, "500ms").Should(Equal(before))
	c.clock.Step(4 * time.Hour)
	c.Eventually(count).Should(BeNumerically(">", before))
}

// Where the status can't be written that is tried again, and the services are asked at their own time all the same.
func testUnwritable(t *testing.T, s *suite) {
	c := s.scene(t)
	c.certificate(fresh)
	var refusing atomic.Bool
	var refused atomic.Int32
	refusing.Store(true)
	c.options.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if refusing.Load() && r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/status") {
				refused.Add(1)
				return nil, errors.New("connection refused, by the test")
			}
			return next.RoundTrip(r)
		})
	}
	c.create(c.connection())
	c.run()
	asked := func() int { return len(c.org.Requests()) + len(c.anypoint.Requests()) }
	tried := func(times int32) {
		t.Helper()
		until := refused.Load() + times
		c.Eventually(func() int32 { c.clock.Step(time.Second); return refused.Load() }).Should(BeNumerically(">=", until))
	}
	tried(5)
	c.Expect(asked()).To(Equal(5), "two tokens, the groups, the group, the certificates: %v", c.org.Requests())
	c.clock.Step(27 * time.Hour)
	c.Eventually(asked).Should(Equal(10))
	tried(3)
	c.Expect(asked()).To(Equal(10))
	refusing.Store(false)
	c.Eventually(func() string { c.clock.Step(time.Second); return c.reason(ready) }).Should(Equal("True Watching"))
	c.Expect(asked()).To(Equal(10))
}

func testValidation(t *testing.T, s *suite) {
	c := s.scene(t)
	for want, how := range map[string]func(*v1alpha1.ExperienceHubConnectionSpec){
		"name a certificate to watch":         func(s *v1alpha1.ExperienceHubConnectionSpec) { *s = v1alpha1.ExperienceHubConnectionSpec{} },
		"set salesforce, or leave the policy": func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Salesforce = nil },
		"set either certificate or keystore":  func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Anypoint.Keystore = "too" },
		"write https:// and a host":           func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Anypoint.URL = "https://user@example.com" },
		"write https:// and the My Domain": func(s *v1alpha1.ExperienceHubConnectionSpec) {
			s.Salesforce.InstanceURL = "http://example.my.salesforce.com"
		},
		"37.0 or later": func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Salesforce.APIVersion = "36.0" },
		"write a duration from 1h to 2880h": func(s *v1alpha1.ExperienceHubConnectionSpec) {
			s.WarnBefore = &metav1.Duration{Duration: 3000 * time.Hour}
		},
		"letters, digits and single underscore": func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Rotation.RenameSuffix = "to expire" },
		"the certificate's unique name":         func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Salesforce.CertificateName = "Any__point" },
		"a UUID, as Access Management shows it": func(s *v1alpha1.ExperienceHubConnectionSpec) { s.Anypoint.OrganizationID = "../x" },
	} {
		connection := c.connection()
		how(&connection.Spec)
		c.Expect(s.admin.Create(t.Context(), connection)).To(MatchError(ContainSubstring(want)))
	}
	for i, version := range []string{"37.0", "62.0", "101.0"} {
		connection := c.connection()
		connection.Name, connection.Spec.Salesforce.APIVersion = fmt.Sprint("v", i), version
		connection.Spec.Salesforce.InstanceURL = "https://example--test.sandbox.my.salesforce.com"
		c.create(connection)
	}
}
