package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// backup is what a backup of a gateway's namespace holds.
type backup struct{ secret, record *corev1.Secret }

func (s *scene) backup() backup {
	GinkgoHelper()
	return backup{s.secret(operator.SecretName), s.secret(s.recordName())}
}

// restore puts an object of a backup in the place of the one that is there. The operator may be quicker to make what is deleted.
func (s *scene) restore(saved *corev1.Secret) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: saved.Name, Labels: saved.Labels}
	Eventually(func() error {
		if err := admin.Delete(s.ctx, &corev1.Secret{ObjectMeta: meta}); client.IgnoreNotFound(err) != nil {
			return err
		}
		return admin.Create(s.ctx, &corev1.Secret{ObjectMeta: meta, Type: saved.Type, Data: saved.Data})
	}).Should(Succeed())
}

var _ = Describe("After a disaster", func() {
	// renewedSince is a gateway of which there is a backup, and that was renewed since.
	renewedSince := func(ctx context.Context) (*scene, backup) {
		GinkgoHelper()
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		old := s.backup()
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		})
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		return s, old
	}

	It("goes on with what a backup of everything holds, and asks for nothing before it is due", func(ctx context.Context) {
		s, old := renewedSince(ctx)
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s.fr), &v1alpha1.FlexRegistration{}))
		}).Should(BeTrue())
		s.restore(old.secret)
		s.restore(old.record)
		s.fr = operator.FlexRegistration(s.namespace, operator.GatewayName)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate().Fingerprint).To(Equal(s.gateway.Fingerprint))
		Consistently(s.renewals).Should(Equal(1))
	})

	It("restores the newest where an older Secret is restored, or one that was deleted is made again", func(ctx context.Context) {
		s, old := renewedSince(ctx)
		newest := s.certificate()
		s.restore(old.secret)
		Eventually(s.certificate).Should(Equal(newest))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(admin.Delete(ctx, s.secret(operator.SecretName))).To(Succeed())
		s.eventually(v1alpha1.ConditionReady, "False/SecretNotFound")
		s.restore(old.secret)
		Eventually(s.certificate).Should(Equal(newest))
		Expect(s.renewals()).To(Equal(1))
	})

	It("adopts what stands in the Secret where an older record is restored", func(ctx context.Context) {
		s, old := renewedSince(ctx)
		newest := s.certificate()
		s.restore(old.record)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() []v1alpha1.HistoryEntry { return s.status().History }).Should(ContainElement(HaveField("Action", "Adoption")))
		Expect(s.certificate()).To(Equal(newest))
		Expect(s.renewals()).To(Equal(1))
	})

	It("renews nothing and rolls nothing where the status is lost", func(ctx context.Context) {
		s, _ := renewedSince(ctx)
		before, generation := s.status(), s.deployment(operator.GatewayName).Generation
		fr := &v1alpha1.FlexRegistration{}
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s.fr), fr)).To(Succeed())
		fr.Status = v1alpha1.FlexRegistrationStatus{}
		Expect(admin.Status().Update(ctx, fr)).To(Succeed())
		clk.Step(25 * time.Hour) // the daily look
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		after := s.status()
		Expect(after.History).To(Equal(before.History))
		Expect(after.LastRenewalTime).To(Equal(before.LastRenewalTime))
		Expect(after.LastHandledRequest).To(Equal("now"))
		Expect(s.deployment(operator.GatewayName).Generation).To(Equal(generation))
		Expect(s.renewals()).To(Equal(1))
	})

	It("goes on in a namespace of another name", func(ctx context.Context) {
		s, _ := renewedSince(ctx)
		saved := s.backup()
		newest := s.certificate()
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		moved := newScene(ctx, 300*day)
		moved.gateway = s.gateway
		moved.restore(saved.secret)
		moved.restore(saved.record)
		moved.create()
		moved.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(moved.certificate()).To(Equal(newest))
		Expect(moved.status().LastRenewalTime).NotTo(BeNil(), "from the record")
		Expect(moved.renewals()).To(Equal(1))
	})

	It("adopts what a person has renewed while the operator was down, and rolls no pods that have it", func(ctx context.Context) {
		s, _ := renewedSince(ctx)
		Expect(running.Stop()).To(Succeed())
		s.renewByHand()
		written := s.lastWritten()
		Eventually(time.Now).WithTimeout(15*time.Second).Should(BeTemporally(">", written.Add(11*time.Second)), "for kubelets, which may hand out the old content for ten seconds")
		s.annotate(map[string]string{"kubectl.kubernetes.io/restartedAt": "now"})
		Eventually(func() bool { return gatewayIsRolled(s) }).Should(BeTrue())
		generation := s.deployment(operator.GatewayName).Generation
		var err error
		running, err = operator.Start(operatorOptions)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() string { return s.status().Certificate.SerialNumber }).Should(Equal(s.certificate().SerialNumber))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.deployment(operator.GatewayName).Generation).To(Equal(generation))
	})
})

// gatewayIsRolled says that all pods are those of the present template.
func gatewayIsRolled(s *scene) bool {
	GinkgoHelper()
	d := s.deployment(operator.GatewayName)
	return d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas
}
