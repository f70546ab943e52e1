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
		Expect(status.Certificate.PreviousFingerprint).To(Equal(old.Fingerprint))
		Expect(status.Gateway.AgentID).To(Equal(s.gateway.AgentID))
		Expect(status.Gateway.Name).To(Equal(operator.GatewayName))
		Expect(status.RenewalTime.Time).To(BeTemporally("~", renewed.NotAfter.Add(-720*time.Hour), time.Second))
		Expect(status.LastRenewalTime.Time).To(BeTemporally("~", clk.Now(), time.Second))
		Expect(status.Rollout.Completed).To(BeTrue())
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("True/Valid"))
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("True/UpToDate"))
		Expect(s.condition(v1alpha1.ConditionRolledOut)).To(Equal("True/Complete"))
		Expect(s.condition(v1alpha1.ConditionReconciling)).To(BeEmpty())
		Expect(s.condition(v1alpha1.ConditionStalled)).To(BeEmpty())
		Eventually(s.events).Should(ContainElements(HavePrefix("Renewed: renewed certificate "+old.SerialNumber), HavePrefix("RolledOut: ")))
	})
})
