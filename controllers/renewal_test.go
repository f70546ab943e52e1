package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// scene is one gateway in a namespace of its own.
type scene struct {
	ctx       context.Context
	namespace string
	gateway   simulator.Gateway
	fr        *v1alpha1.FlexRegistration
}

var scenes int

const day = 24 * time.Hour

// newScene installs a gateway of two replicas whose certificate expires in the given time, and waits until it
// serves. The FlexRegistration is not created yet.
func newScene(ctx context.Context, remaining time.Duration) *scene {
	GinkgoHelper()
	scenes++
	s := &scene{ctx: ctx, namespace: fmt.Sprintf("gateway-%d", scenes)}
	var err error
	s.gateway, err = platform.Register(operator.GatewayName, remaining)
	Expect(err).NotTo(HaveOccurred())
	for _, object := range []client.Object{
		operator.Namespace(s.namespace),
		operator.RegistrationSecret(s.namespace, s.gateway.File),
		operator.CredentialsSecret(s.namespace, appID, appSecret),
		operator.Deployment(s.namespace, operator.GatewayName, operator.SecretName, 2),
	} {
		Expect(admin.Create(ctx, object)).To(Succeed())
	}
	Eventually(func(g Gomega) {
		g.Expect(s.deployment(operator.GatewayName).Status.AvailableReplicas).To(BeEquivalentTo(2))
	}).Should(Succeed())
	s.fr = operator.FlexRegistration(s.namespace, operator.GatewayName)
	DeferCleanup(func(ctx context.Context) {
		_ = client.IgnoreNotFound(admin.Delete(ctx, s.fr))
	})
	return s
}

func (s *scene) create() {
	GinkgoHelper()
	Expect(admin.Create(s.ctx, s.fr)).To(Succeed())
}

// createSeen creates the FlexRegistration, and lets the operator act when it has seen what was done to the Deployment just
// before.
func (s *scene) createSeen() {
	GinkgoHelper()
	s.fr.Spec.Suspend = true
	s.create()
	s.eventually(v1alpha1.ConditionReady, "False/Suspended")
	s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
}

func (s *scene) deployment(name string) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, d)).To(Succeed())
	return d
}

func (s *scene) secret(name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Expect(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, secret)).To(Succeed())
	return secret
}

func (s *scene) certificate() registration.Certificate {
	GinkgoHelper()
	r, err := registration.Parse(s.secret(operator.SecretName).Data, registration.DefaultKey)
	Expect(err).NotTo(HaveOccurred())
	return r.Certificate()
}

// status reads the FlexRegistration's present status.
func (s *scene) status() v1alpha1.FlexRegistrationStatus {
	GinkgoHelper()
	fr := &v1alpha1.FlexRegistration{}
	Expect(admin.Get(s.ctx, client.ObjectKeyFromObject(s.fr), fr)).To(Succeed())
	return fr.Status
}

// condition is "Status/Reason", or "" where there is none.
func (s *scene) condition(kind string) string {
	GinkgoHelper()
	c := meta.FindStatusCondition(s.status().Conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func (s *scene) message(kind string) string {
	GinkgoHelper()
	c := meta.FindStatusCondition(s.status().Conditions, kind)
	if c == nil {
		return ""
	}
	return c.Message
}

// eventually waits for a condition to be as "Status/Reason" says.
func (s *scene) eventually(kind, want string) {
	GinkgoHelper()
	Eventually(func() string { return s.condition(kind) }).Should(Equal(want), func() string {
		return fmt.Sprintf("condition %s; status: %+v", kind, s.status())
	})
}

// change updates the FlexRegistration.
func (s *scene) change(f func(*v1alpha1.FlexRegistration)) {
	GinkgoHelper()
	Eventually(func() error {
		fr := &v1alpha1.FlexRegistration{}
		if err := admin.Get(s.ctx, client.ObjectKeyFromObject(s.fr), fr); err != nil {
			return err
		}
		f(fr)
		return admin.Update(s.ctx, fr)
	}).Should(Succeed())
}

// renewals counts the gateway's successful renewals at the platform.
func (s *scene) renewals() int { return len(platform.Renewals(s.gateway.AgentID)) }

// events lists "Reason: note" of the Events about the FlexRegistration.
func (s *scene) events() []string {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(admin.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	var found []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "FlexRegistration" {
			found = append(found, e.Reason+": "+e.Note)
		}
	}
	return found
}

var _ = Describe("Renewing", func() {
	It("renews a certificate inside the threshold, publishes it and rolls the gateway", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		before := s.secret(operator.SecretName)
		old := s.certificate()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		Expect(s.renewals()).To(Equal(1))
		renewed := s.certificate()
		Expect(renewed.NewerThan(old)).To(BeTrue())
		Expect(renewed.Fingerprint).To(Equal(platform.Renewals(s.gateway.AgentID)[0].NewFingerprint))

		By("changing nothing else in the Secret")
		after := s.secret(operator.SecretName)
		Expect(after.Data["notes.txt"]).To(Equal(before.Data["notes.txt"]))
		Expect(after.Labels).To(Equal(before.Labels))
		Expect(after.Type).To(Equal(before.Type))

		By("replacing every pod")
		d := s.deployment(operator.GatewayName)
		Expect(d.Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, renewed.Fingerprint+"-1"))
		var pods corev1.PodList
		Expect(admin.List(ctx, &pods, client.InNamespace(s.namespace))).To(Succeed())
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp.IsZero() {
				Expect(pod.Annotations).To(HaveKey(v1alpha1.AnnotationRegistration))
			}
		}

		By("telling all that")
		status := s.status()
		Expect(status.Certificate.Fingerprint).To(Equal(renewed.Fingerprint))
		Expect(status.Gateway.AgentID).To(Equal(s.gateway.AgentID))
		Expect(status.Gateway.Name).To(Equal(operator.GatewayName))
		Expect(status.RenewalTime.Time).To(BeTemporally("~", renewed.NotAfter.Add(-723*time.Hour), 3*time.Hour), "a jitter of six hours at the most")
		Expect(status.LastRenewalTime.Time).To(BeTemporally("~", clk.Now(), time.Second))
		Expect(status.Rollout.Completed).To(BeTrue())
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("True/Valid"))
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("True/UpToDate"))
		Expect(s.condition(v1alpha1.ConditionRolledOut)).To(Equal("True/Complete"))
		Expect(s.condition(v1alpha1.ConditionReconciling)).To(BeEmpty())
		Expect(s.condition(v1alpha1.ConditionStalled)).To(BeEmpty())
		Eventually(s.events).Should(ContainElements(HavePrefix("Renewed: renewed certificate "+old.SerialNumber), HavePrefix("RolledOut: ")))
	})

	It("waits for the renewal time, which is a time, not a poll", func(ctx context.Context) {
		s := newScene(ctx, 60*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		due := s.status().RenewalTime.Time
		Expect(due).To(BeTemporally("~", s.certificate().NotAfter.Add(-723*time.Hour), 3*time.Hour), "a jitter of six hours at the most")
		clk.SetTime(due.Add(-2 * time.Second))
		Consistently(s.renewals).Should(BeZero())
		clk.SetTime(due)
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("asks the API server little, and tells what has come of it rather than each step", func(ctx context.Context) {
		s := newScene(ctx, 60*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(s.events).Should(ContainElement(HavePrefix("Scheduled: ")))
		began := time.Now()
		s.change(func(fr *v1alpha1.FlexRegistration) {
			metav1.SetMetaDataAnnotation(&fr.ObjectMeta, v1alpha1.AnnotationRenew, "now")
		})
		Eventually(func() string { return s.status().LastHandledRequest }).Should(Equal("now"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(s.events).Should(ContainElement(HavePrefix("RolledOut: ")))
		Expect(s.events()).To(HaveLen(3), "Scheduled, when it was made, Renewed and RolledOut")
		requests, err := cluster.Requests(operatorUser, began)
		Expect(err).NotTo(HaveOccurred())
		by := map[string]int{}
		for _, r := range requests {
			if r.Namespace == s.namespace && r.Verb != "watch" {
				by[r.Verb+" "+r.Resource]++
			}
		}
		Expect(by).To(HaveKeyWithValue("update secrets", 6), "the claim, the outcome, the publication and that it is known, the beginning of the rollout and its end: %v", by)
		Expect(by["patch flexregistrations"]).To(BeNumerically("<=", 3), "%v", by)
		Expect(by["list pods"]).To(BeNumerically("<=", 2), "%v", by)
	})

	It("takes spec.renewal.before, and never more than a third of the lifetime", func(ctx context.Context) {
		s := newScene(ctx, 60*day)
		s.fr.Spec.Renewal.Before = &metav1.Duration{Duration: 24 * time.Hour}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.status().RenewBefore.Duration).To(Equal(24 * time.Hour))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Before.Duration = 17520 * time.Hour })
		Eventually(func() time.Duration { return s.status().RenewBefore.Duration }).Should(Equal(450 * day / 3))
		Eventually(s.renewals).Should(Equal(1), "60 of 450 days are less than a third")
	})

	It("renews an expired registration at once", func(ctx context.Context) {
		s := newScene(ctx, -3*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("True/Valid"))
	})

	It("does not touch a gateway at first sight", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		before := s.secret(operator.SecretName).ResourceVersion
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.secret(operator.SecretName).ResourceVersion).To(Equal(before))
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(1))
		Expect(s.condition(v1alpha1.ConditionRolledOut)).To(Equal("True/Complete"))
	})

	It("renews by hand, once for each request", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		request := func(value string) {
			s.change(func(fr *v1alpha1.FlexRegistration) {
				fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: value}
			})
		}
		request("because I say so")
		Eventually(func() string { return s.status().LastHandledRequest }).Should(Equal("because I say so"))
		Expect(s.renewals()).To(Equal(1))
		restart()
		Consistently(s.renewals).Should(Equal(1))
		clk.Step(time.Minute) // The platform's answer within the same second would not be newer.
		request("again")
		Eventually(s.renewals).Should(Equal(2))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("does nothing while suspended, and says from when on that matters", func(ctx context.Context) {
		s := newScene(ctx, 60*day)
		s.fr.Spec.Suspend = true
		s.fr.Annotations = map[string]string{}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Suspended")
		clk.Step(40 * day)
		s.eventually(v1alpha1.ConditionReady, "False/Suspended")
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("False/Suspended"))
		Expect(s.renewals()).To(BeZero())
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("does nothing when it is restarted", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		versions := func() []string {
			fr := &v1alpha1.FlexRegistration{}
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(s.fr), fr)).To(Succeed())
			return []string{fr.ResourceVersion, s.secret(operator.SecretName).ResourceVersion, s.secret(s.recordName()).ResourceVersion, s.deployment(operator.GatewayName).ResourceVersion}
		}
		var before []string
		Eventually(func() []string { before = versions(); return before }).Should(Equal(versions()))
		restart()
		Consistently(versions).WithTimeout(2 * time.Second).Should(Equal(before))
		Expect(s.renewals()).To(Equal(1))
	})

	It("renews once where two operators run at the same time", func(ctx context.Context) {
		second, err := operator.Start(operatorOptions)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(second.Stop()).To(Succeed()) })
		s := newScene(ctx, 10*day)
		s.create()
		// One of them may meet the other's claim and wait until its deadline has passed for sure.
		Eventually(func() string { clk.Step(time.Second); return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
		Expect(s.renewals()).To(Equal(1))
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(2))
	})

	DescribeTable("takes nothing over that is no renewal", func(ctx context.Context, kind simulator.FaultKind) {
		s := newScene(ctx, 10*day)
		before := s.secret(operator.SecretName).ResourceVersion
		platform.Inject(simulator.Fault{Kind: kind})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/ResultInvalid")
		Expect(s.secret(operator.SecretName).ResourceVersion).To(Equal(before))
		Expect(s.status().FailedAttempts).To(BeEquivalentTo(1))
		By("trying again by itself")
		clk.SetTime(s.status().NextAttemptTime.Time)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.status().FailedAttempts).To(BeZero())
	},
		Entry("a truncated file", simulator.TruncatedFile),
		Entry("an empty file", simulator.EmptyFile),
		Entry("the old certificate again", simulator.OldCertificate),
		Entry("another gateway's certificate", simulator.OtherGateway),
		Entry("an expired certificate", simulator.AlreadyExpired),
		Entry("a certificate of tomorrow", simulator.NotYetValid),
		Entry("a key that does not match", simulator.WrongKey),
	)

	It("leaves a changed URL out and tells it", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		platform.Inject(simulator.Fault{Kind: simulator.ChangedURL})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.status().Gateway.AnypointURL).To(Equal(platform.URL()))
		Eventually(s.events).Should(ContainElement(And(HavePrefix("AnswerDiffers: "), ContainSubstring("spec.platformConnection.anypoint"))))
	})

	It("backs off from a platform that is down, counts it as a fault from the third time on, and recovers", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		platform.Inject(simulator.Fault{Kind: simulator.Unavailable503, Times: -1})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/PlatformUnavailable")
		for range 2 {
			clk.SetTime(s.status().NextAttemptTime.Time)
			failed := s.status().FailedAttempts
			Eventually(func() int32 { return s.status().FailedAttempts }).Should(Equal(failed + 1))
		}
		s.eventually(v1alpha1.ConditionReady, "False/PlatformUnavailable")
		platform.ClearFaults()
		clk.SetTime(s.status().NextAttemptTime.Time)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tries refused credentials once for all that share them, until they change", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong-and-secret")})
		other, err := platform.Register("egress", 10*day)
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "egress"}, Data: map[string][]byte{"registration.yaml": other.File}})).To(Succeed())
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "egress", "egress", 1))).To(Succeed())
		second := &scene{ctx: ctx, namespace: s.namespace, gateway: other, fr: operator.FlexRegistration(s.namespace, "egress")}
		DeferCleanup(func(ctx context.Context) { _ = admin.Delete(ctx, second.fr) })
		platform.ResetRequests()
		s.create()
		second.create()
		// One waits for its turn with the credentials, by the clock.
		Eventually(func() string {
			clk.Step(5 * time.Second)
			return s.condition(v1alpha1.ConditionReady) + second.condition(v1alpha1.ConditionReady)
		}).
			Should(Equal("False/CredentialsRejectedFalse/CredentialsRejected"))
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/CredentialsRejected"))
		Expect(platform.Requests()).To(HaveLen(1))

		By("letting one try through a day later")
		clk.Step(25 * time.Hour)
		Eventually(platform.Requests).Should(HaveLen(2))
		Consistently(platform.Requests).Should(HaveLen(2))

		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret + "\n")})
		Eventually(func() []string {
			clk.Step(time.Second)
			return []string{s.condition(v1alpha1.ConditionReady), second.condition(v1alpha1.ConditionReady)}
		}).Should(HaveEach("True/Scheduled"))
		Expect(s.events()).NotTo(ContainElement(ContainSubstring("wrong-and-secret")))
	})

	It("keeps what the platform answered although the record is deleted meanwhile", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		platform.Inject(simulator.Fault{Call: simulator.CallRenew, Hook: func() {
			defer GinkgoRecover()
			Expect(admin.Delete(ctx, s.secret(s.recordName()))).To(Succeed())
		}})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.certificate().Fingerprint).To(Equal(platform.Renewals(s.gateway.AgentID)[0].NewFingerprint))
	})

	It("does not renew again and again when the answers of the platform are lost", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		platform.Inject(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.DropAfter, Times: -1})
		s.create()
		Eventually(func() string { clk.Step(10 * time.Minute); return s.condition(v1alpha1.ConditionReady) }).Should(Equal("False/UnresolvedAttempts"))
		Expect(s.renewals()).To(Equal(3))
		for range 20 {
			clk.Step(time.Hour)
		}
		Consistently(s.renewals).Should(Equal(3))
		By("trying at once where a person asks for it")
		platform.ClearFaults()
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})
})

// restart stops the operator and starts another one.
func restart() {
	GinkgoHelper()
	Expect(running.Stop()).To(Succeed())
	var err error
	running, err = operator.Start(operatorOptions)
	Expect(err).NotTo(HaveOccurred())
}
