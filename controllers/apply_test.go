package controllers_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("Beside server-side apply", func() {
	const kubectl = client.FieldOwner("kubectl")
	// apply does what kubectl apply --server-side does with the manifests that the gateway was made from.
	apply := func(s *scene, file []byte, image string, options ...client.ApplyOption) error {
		options = append(options, kubectl)
		labels := map[string]string{"app.kubernetes.io/name": "flex-gateway", "app.kubernetes.io/instance": operator.GatewayName}
		container := corev1ac.Container().WithName("app").WithImage(image)
		d := appsv1ac.Deployment(operator.GatewayName, s.namespace).WithSpec(appsv1ac.DeploymentSpec().WithTemplate(corev1ac.PodTemplateSpec().WithLabels(labels).WithSpec(corev1ac.PodSpec().WithContainers(container))))
		if err := admin.Apply(s.ctx, d, options...); err != nil {
			return err
		}
		return admin.Apply(s.ctx, corev1ac.Secret(operator.SecretName, s.namespace).WithData(map[string][]byte{"registration.yaml": file}), options...)
	}
	// appliedScene is a gateway whose manifests were applied, not yet looked at.
	appliedScene := func(ctx context.Context) *scene {
		s := newScene(ctx, 10*day)
		Expect(apply(s, s.gateway.File, "mulesoft/flex-gateway:1.8.0", client.ForceOwnership)).To(Succeed())
		secret := s.secret(operator.SecretName)
		for i, entry := range secret.ManagedFields {
			if entry.Manager != string(kubectl) { // who made it here is nobody's business
				secret.ManagedFields = append(secret.ManagedFields[:i], secret.ManagedFields[i+1:]...)
				break
			}
		}
		Expect(admin.Update(ctx, secret)).To(Succeed())
		return s
	}

	It("announces the conflict, which then comes, and leaves a forced apply no more than a moment", func(ctx context.Context) {
		s := appliedScene(ctx)
		s.fr.Spec.Suspend = true
		s.create()
		Eventually(func() string { return s.message(v1alpha1.ConditionRenewed) }).Should(ContainSubstring("field manager kubectl applies the registration in Secret " + operator.SecretName + " server-side"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		renewed := s.certificate()
		Expect(s.message(v1alpha1.ConditionRenewed)).NotTo(ContainSubstring("field manager"), "there is nothing left to announce")

		By("refusing the old content, in the words that were announced")
		err := apply(s, s.gateway.File, "mulesoft/flex-gateway:1.8.0")
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring("flex-registration-operator")))
		Expect(s.certificate()).To(Equal(renewed))

		By("taking the newest content without a conflict")
		Expect(apply(s, s.secret(operator.SecretName).Data["registration.yaml"], "mulesoft/flex-gateway:1.8.0")).To(Succeed())
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.rolledTo()).To(Equal(renewed.Fingerprint + "-1"))

		By("restoring what a forced apply puts back, which leaves the annotation alone, and rolling once for it")
		Expect(apply(s, s.gateway.File, "mulesoft/flex-gateway:1.9.0", client.ForceOwnership)).To(Succeed())
		Eventually(s.events).Should(ContainElement(And(HavePrefix("Restored: "), ContainSubstring("kubectl"))))
		Eventually(s.rolledTo).Should(Equal(renewed.Fingerprint + "-2"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate()).To(Equal(renewed))
		Expect(s.renewals()).To(Equal(1))
	})

	It("does no harm in the middle of a rollout", func(ctx context.Context) {
		s := appliedScene(ctx)
		s.edit(pausedDeployment)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		renewed := s.certificate()
		Expect(apply(s, s.gateway.File, "mulesoft/flex-gateway:1.9.0", client.ForceOwnership)).To(Succeed())
		s.edit(resumedDeployment)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate()).To(Equal(renewed))
		for _, pod := range s.pods() {
			Expect(pod.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, HavePrefix(renewed.Fingerprint)))
			Expect(pod.CreationTimestamp.Time).To(BeTemporally(">=", s.lastWritten()))
		}
		Expect(s.renewals()).To(Equal(1))
	})
})
