package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// renewByHand puts a newer registration into the Secret, as a person with flexctl does.
func (s *scene) renewByHand() {
	GinkgoHelper()
	fresh, err := platform.Register("by-hand", 400*day)
	Expect(err).NotTo(HaveOccurred())
	s.put(operator.SecretName, map[string][]byte{"registration.yaml": fresh.File})
}

// publishedEarlier lets the renewed registration have been published long enough ago: a kubelet may hand out the old
// content for ten seconds more.
func (s *scene) publishedEarlier() {
	GinkgoHelper()
	s.editRecord(func(state map[string]any) {
		rollout := state["rollout"].(map[string]any)
		published, err := time.Parse(time.RFC3339Nano, rollout["published"].(string))
		Expect(err).NotTo(HaveOccurred())
		rollout["published"] = published.Add(time.Second - 10*time.Second)
	})
}

// renewedScene is a gateway that has been renewed and rolled, and what its Secret held before.
func renewedScene(ctx context.Context) (s *scene, old map[string][]byte) {
	GinkgoHelper()
	s = newScene(ctx, 10*day)
	old = s.secret(operator.SecretName).Data
	s.create()
	s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	return s, old
}

var _ = Describe("Rolling out", func() {
	It("rolls what somebody else has put into the Secret, without renewing", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.renewByHand()
		certificate := s.certificate()
		Eventually(func() map[string]string { return s.deployment(operator.GatewayName).Spec.Template.Annotations }).
			Should(HaveKeyWithValue(v1alpha1.AnnotationRegistration, certificate.Fingerprint+"-1"))
		Eventually(func() string { return s.status().Certificate.Fingerprint }).Should(Equal(certificate.Fingerprint))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(BeZero())
		Eventually(s.events).Should(ContainElement(HavePrefix("Adopted: ")))
	})

	It("restores the newest registration, says who had put an older one back, and rolls the pods that came up with that", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		renewed := s.certificate()

		By("as an upgrade does that changes the image, too")
		d := s.deployment(operator.GatewayName)
		d.Spec.Template.Spec.Containers[0].Image = "mulesoft/flex-gateway:1.9.0"
		secret := s.secret(operator.SecretName)
		secret.Data = map[string][]byte{"registration.yaml": old["registration.yaml"], "notes.txt": []byte("changed by the upgrade")}
		Expect(admin.Update(ctx, secret, client.FieldOwner("helm"))).To(Succeed())
		Expect(admin.Update(ctx, d, client.FieldOwner("helm"))).To(Succeed())
		Eventually(s.certificate).Should(Equal(renewed))
		Eventually(func() map[string]string { return s.deployment(operator.GatewayName).Spec.Template.Annotations }).
			Should(HaveKeyWithValue(v1alpha1.AnnotationRegistration, renewed.Fingerprint+"-2"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.secret(operator.SecretName).Data).To(HaveKeyWithValue("notes.txt", []byte("changed by the upgrade")))
		Eventually(s.events).Should(ContainElement(And(HavePrefix("Restored: "), ContainSubstring("helm"))))
	})

	It("fights nobody for ever, and says how to end it", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		renewed := s.certificate()
		for range 3 {
			// Times in managed fields have seconds.
			written := s.lastWritten()
			Eventually(func() bool { return time.Now().After(written.Add(time.Second)) }).Should(BeTrue())
			s.put(operator.SecretName, old)
			Eventually(s.certificate).Should(Equal(renewed))
			s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		}
		written := s.lastWritten()
		Eventually(func() bool { return time.Now().After(written.Add(time.Second)) }).Should(BeTrue())
		s.put(operator.SecretName, old)
		s.eventually(v1alpha1.ConditionReady, "False/Reverted")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/Reverted"))
		Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("helm.sh/resource-policy=keep"), ContainSubstring("registration.secretName"), ContainSubstring("spec.suspend")))
		Consistently(s.certificate).ShouldNot(Equal(renewed))
		By("trying once a day")
		clk.Step(24*time.Hour + time.Second)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate()).To(Equal(renewed))
		Expect(s.renewals()).To(Equal(1))
	})

	It("restores nothing while it is suspended", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		renewed := s.certificate()
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		s.eventually(v1alpha1.ConditionReady, "True/Suspended")
		s.put(operator.SecretName, old)
		Consistently(s.certificate).ShouldNot(Equal(renewed))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		Eventually(s.certificate).Should(Equal(renewed))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("rolls every Deployment that mounts the Secret, one after another, where none is named", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "second", operator.SecretName, 1))).To(Succeed())
		s.fr.Spec.TargetRef = nil
		s.fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: operator.SecretName}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		want := s.certificate().Fingerprint + "-1"
		for _, name := range []string{operator.GatewayName, "second"} {
			Expect(s.deployment(name).Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, want))
			Expect(s.deployment(name).Generation).To(BeEquivalentTo(2))
		}
		Expect(s.status().Rollout.Deployments).To(ConsistOf(operator.GatewayName, "second"))
	})

	It("leaves the restart to a person where the policy says so, and sees when it is done", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Rollout.Policy = v1alpha1.RolloutNever
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RestartRequired")
		Expect(s.condition(v1alpha1.ConditionRolledOut)).To(Equal("False/RestartRequired"))
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("True/UpToDate"))
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(1))
		s.publishedEarlier()
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("False/RestartRequired"))
		Eventually(time.Now).Should(BeTemporally(">", s.lastWritten().Add(2*time.Second)))
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "now"}
			return admin.Update(ctx, d)
		}).Should(Succeed())
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.deployment(operator.GatewayName).Spec.Template.Annotations).NotTo(HaveKey(v1alpha1.AnnotationRegistration))
	})

	// notReadyScene is a gateway whose new pods never become ready, while the old ones serve.
	notReadyScene := func(ctx context.Context, change func(*v1alpha1.FlexRegistration)) *scene {
		s := newScene(ctx, 10*day)
		d := s.deployment(operator.GatewayName)
		Expect(admin.Delete(ctx, d)).To(Succeed())
		d = operator.Deployment(s.namespace, operator.GatewayName, operator.SecretName, 1)
		d.Spec.ProgressDeadlineSeconds = ptr.To[int32](2)
		d.Spec.Template.Annotations = map[string]string{controlplane.PodAnnotation: controlplane.PodNotReady}
		Expect(admin.Create(ctx, d)).To(Succeed())
		change(s.fr)
		s.create()
		return s
	}
	repair := func(s *scene) {
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			delete(d.Spec.Template.Annotations, controlplane.PodAnnotation)
			return admin.Update(s.ctx, d)
		}).Should(Succeed())
	}

	It("tells that new pods don't become available within the Deployment's own deadline, and when they do", func(ctx context.Context) {
		s := notReadyScene(ctx, func(*v1alpha1.FlexRegistration) {})
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		Expect(s.condition(v1alpha1.ConditionRolledOut)).To(Equal("False/RolloutFailed"))
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("True/UpToDate"))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("is not ready (ContainersNotReady)"))
		Eventually(s.events).Should(ContainElement(And(HavePrefix("RolloutFailed: "), ContainSubstring("is not ready"))))
		repair(s)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells it after spec.rollout.timeout where that is set", func(ctx context.Context) {
		s := notReadyScene(ctx, func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Rollout.Timeout = &metav1.Duration{Duration: time.Hour}
		})
		s.eventually(v1alpha1.ConditionReady, "True/RollingOut")
		clk.Step(59 * time.Minute)
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/RollingOut"))
		clk.Step(2 * time.Minute)
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
	})

	It("tells when the certificate expires that pods hold which were not replaced", func(ctx context.Context) {
		s := notReadyScene(ctx, func(*v1alpha1.FlexRegistration) {})
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("True/Valid"))
		clk.Step(11 * day)
		s.eventually(v1alpha1.ConditionCertificateValid, "False/Expired")
	})

	It("does not fight somebody who takes a rollout back", func(ctx context.Context) {
		s := notReadyScene(ctx, func(*v1alpha1.FlexRegistration) {})
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		generation := s.deployment(operator.GatewayName).Generation
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			delete(d.Spec.Template.Annotations, v1alpha1.AnnotationRegistration)
			return admin.Update(ctx, d)
		}).Should(Succeed())
		s.eventually(v1alpha1.ConditionReady, "False/RestartRequired")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("taken back"))
		clk.Step(time.Hour)
		Consistently(func() int64 { return s.deployment(operator.GatewayName).Generation }).Should(Equal(generation + 1))
	})

	It("rolls pods that don't run at the moment of the publication", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		Expect(admin.Delete(ctx, s.deployment(operator.GatewayName))).To(Succeed())
		d := operator.Deployment(s.namespace, operator.GatewayName, operator.SecretName, 1)
		d.Spec.Template.Annotations = map[string]string{controlplane.PodAnnotation: controlplane.PodCrash}
		Expect(admin.Create(ctx, d)).To(Succeed())
		Eventually(func() int32 { return s.deployment(operator.GatewayName).Status.Replicas }).Should(BeEquivalentTo(1))
		s.create()
		Eventually(func() map[string]string { return s.deployment(operator.GatewayName).Spec.Template.Annotations }).Should(HaveKey(v1alpha1.AnnotationRegistration))
		s.eventually(v1alpha1.ConditionRolledOut, "False/RollingOut")
	})

	It("rolls a Deployment that becomes the gateway's after the rollout", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "second", operator.SecretName, 1))).To(Succeed())
		Eventually(func() int32 { return s.deployment("second").Status.AvailableReplicas }).Should(BeEquivalentTo(1))
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.deployment("second").Generation).To(BeEquivalentTo(1))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: operator.SecretName}
			fr.Spec.TargetRef = nil
		})
		Eventually(func() map[string]string { return s.deployment("second").Spec.Template.Annotations }).Should(HaveKey(v1alpha1.AnnotationRegistration))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(2))
	})

	It("neither publishes nor rolls when it is suspended while flexctl runs", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		before := s.secret(operator.SecretName).ResourceVersion
		platform.Inject(simulator.Fault{Call: simulator.CallRenew, Hook: func() {
			defer GinkgoRecover()
			s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		}})
		s.create()
		Eventually(s.renewals).Should(Equal(1))
		Eventually(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(HaveSuffix("/Suspended"))
		Expect(s.secret(operator.SecretName).ResourceVersion).To(Equal(before))
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(1))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells beforehand that a rollout takes the gateway down", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
			return admin.Update(ctx, d)
		}).Should(Succeed())
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "bystander", operator.SecretName, 1))).To(Succeed())
		s.create()
		Eventually(func() string { return s.message(v1alpha1.ConditionRolledOut) }).Should(And(
			ContainSubstring("takes the gateway down: its strategy is Recreate"), ContainSubstring("not rolled: bystander")))
	})

	It("tells that a rollout is paused", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Paused = true
			return admin.Update(ctx, d)
		}).Should(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("kubectl rollout resume"))
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Paused = false
			return admin.Update(ctx, d)
		}).Should(Succeed())
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("does not roll again when the annotation is taken away after the rollout", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Template.Annotations = nil
			return admin.Update(ctx, d)
		}).Should(Succeed())
		Consistently(func() map[string]string { return s.deployment(operator.GatewayName).Spec.Template.Annotations }).Should(BeEmpty())
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
	})

	It("never makes a Deployment that was deleted", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		d := s.deployment(operator.GatewayName)
		Expect(admin.Delete(ctx, d)).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(d), &appsv1.Deployment{}))
		}).Should(BeTrue())
		Expect(gateway.Roll(ctx, admin, gateway.NewDeployment(d), "x-1")).NotTo(Succeed())
		Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(d), &appsv1.Deployment{}))).To(BeTrue())
	})

	It("tells what the API server refuses, and goes on when it does not any more", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		policy := &admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "no-rollouts-in-" + s.namespace},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionv1.MatchResources{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}},
					ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Update},
						Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
					}}},
				},
				Validations: []admissionv1.Validation{{Expression: "!('gateway.flexops.dev/registration' in object.spec.template.metadata.?annotations.orValue({}))", Message: "not at night"}},
			},
		}
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: policy.Name},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		}
		Expect(admin.Create(ctx, policy)).To(Succeed())
		Expect(admin.Create(ctx, binding)).To(Succeed())
		Eventually(func() error {
			return gateway.Roll(ctx, client.NewDryRunClient(admin), gateway.NewDeployment(s.deployment(operator.GatewayName)), "x-1")
		}).Should(MatchError(ContainSubstring("not at night")))
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/Forbidden")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("not at night"))
		Expect(s.renewals()).To(Equal(1))
		Expect(admin.Delete(ctx, binding)).To(Succeed())
		Eventually(func() string { clk.Step(time.Minute); return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
		Expect(s.renewals()).To(Equal(1))
	})

	It("owns one annotation of the Deployment and nothing else", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		for _, entry := range s.deployment(operator.GatewayName).ManagedFields {
			if entry.Manager == "flex-registration-operator" {
				Expect(entry.FieldsV1.GetRawString()).To(MatchJSON(`{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:gateway.flexops.dev/registration":{}}}}}}`))
			}
		}
	})
})

var _ = Describe("Sharing a certificate", func() {
	// twin is a FlexRegistration whose own Secret holds a copy of the same registration.
	twin := func(ctx context.Context, s *scene) *scene {
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, "twin")}
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "copy"}, Data: s.secret(operator.SecretName).Data})).To(Succeed())
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "twin", "copy", 1))).To(Succeed())
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		return t
	}

	It("lets the oldest work and the others say so, until it is gone", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t := twin(ctx, s)
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(t.condition(v1alpha1.ConditionStalled)).To(Equal("True/Duplicate"))
		Expect(t.message(v1alpha1.ConditionReady)).To(ContainSubstring(s.namespace + "/ingress"))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		By("taking over when the oldest is suspended, and when it is deleted")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("never renews an old copy, however often the newer one is renewed and the operator restarted", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.create()
		t := twin(ctx, s) // with a copy of the old or the new registration, as it comes
		t.put("copy", map[string][]byte{"registration.yaml": s.gateway.File})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		for i := range 2 {
			clk.Step(time.Minute)
			s.change(func(fr *v1alpha1.FlexRegistration) {
				fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: fmt.Sprint(i)}
			})
			Eventually(s.renewals).Should(Equal(i + 2))
			restart()
		}
		clk.Step(25 * time.Hour)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Consistently(func() string { return t.condition(v1alpha1.ConditionReady) }).Should(Equal("False/Duplicate"))
		Expect(s.renewals()).To(Equal(3))
		By("and not when the record of the one that renews is broken")
		s.put(s.recordName(), map[string][]byte{"state.json": []byte("{")})
		s.eventually(v1alpha1.ConditionReady, "False/RecordRefused")
		Expect(s.status().LastHandledRequest).To(Equal("1"))
		Consistently(s.renewals).Should(Equal(3))
	})

	It("lets one of them work again when a renewal fails while the other one comes back", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Suspend = true
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/Suspended")
		t := twin(ctx, s)
		resume := make(chan struct{})
		platform.Inject(simulator.Fault{Call: simulator.CallToken, Kind: simulator.Unavailable503, Hook: func() { <-resume }})
		t.create()
		t.eventually(v1alpha1.ConditionReady, "True/Renewing")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		close(resume)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(s.renewals()).To(Equal(1))
	})

	It("lets one finish that has renewed before the oldest was there", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Suspend = true
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/Suspended")
		t := twin(ctx, s)
		platform.Inject(simulator.Fault{Call: simulator.CallRenew, Hook: func() {
			defer GinkgoRecover()
			s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
			s.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		}})
		t.create()
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("has already renewed"))
	})

	It("lets a copy work when the oldest can't read its registration any more", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t := twin(ctx, s)
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(admin.Delete(ctx, s.deployment(operator.GatewayName))).To(Succeed())
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("renews a certificate once that stands in two Secrets", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		t := twin(ctx, s)
		s.create()
		t.create()
		By("letting the one work that comes first, and telling the other where to copy from")
		states := func() []string {
			clk.Step(time.Second) // They take turns with the credentials.
			return []string{s.condition(v1alpha1.ConditionReady), t.condition(v1alpha1.ConditionReady)}
		}
		Eventually(states).Should(ConsistOf("True/Scheduled", "False/Duplicate"), func() string {
			return s.message(v1alpha1.ConditionReady) + "\n" + t.message(v1alpha1.ConditionReady)
		})
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) + t.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("has already renewed this registration in another Secret"))
		clk.Step(25 * time.Hour)
		Consistently(states).Should(ConsistOf("True/Scheduled", "False/Duplicate"))
		Expect(s.renewals()).To(Equal(1))
	})

	It("believes a copy in another namespace only where its record proves that it was renewed from this one", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		By("letting nobody stop a renewal who made up a later certificate for the same agent id")
		forged := newScene(ctx, 300*day)
		later, err := platform.Register("forged", 449*day)
		Expect(err).NotTo(HaveOccurred())
		forged.put(operator.SecretName, map[string][]byte{"registration.yaml": bytes.ReplaceAll(later.File, []byte(later.AgentID), []byte(s.gateway.AgentID))})
		forged.fr.Spec.Suspend = true
		forged.create()
		forged.eventually(v1alpha1.ConditionReady, "True/Suspended")
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		})
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		By("telling a real copy that it is one")
		copied := newScene(ctx, 300*day)
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": s.gateway.File})
		copied.create()
		copied.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(copied.message(v1alpha1.ConditionReady)).To(ContainSubstring("has already renewed"))
	})

	It("lets one of two FlexRegistrations for one Secret work", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, operator.GatewayName)}
		t.fr.Name = "same"
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		s.create()
		t.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		Expect(s.renewals()).To(Equal(1))
	})
})

var _ = Describe("Reverts", func() {
	It("does not take a restart that a person owes for done when the registration was put back and restored", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.secret(operator.SecretName).Data
		s.fr.Spec.Rollout.Policy = v1alpha1.RolloutNever
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RestartRequired")
		renewed := s.certificate()
		s.put(operator.SecretName, old)
		Eventually(s.certificate).Should(Equal(renewed))
		s.eventually(v1alpha1.ConditionReady, "False/RestartRequired")
		Consistently(func() string { return s.condition(v1alpha1.ConditionRolledOut) }).Should(Equal("False/RestartRequired"))
	})

	It("rolls the pods that came up while nobody restored anything, whoever puts the newest back", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		renewed := s.secret(operator.SecretName).Data
		s.editRecord(func(state map[string]any) {
			now := clk.Now().UTC().Format(time.RFC3339)
			state["revert"] = map[string]any{"count": 3, "last": now, "written": now}
		})
		s.put(operator.SecretName, old)
		s.eventually(v1alpha1.ConditionReady, "False/Reverted")
		d := s.deployment(operator.GatewayName)
		d.Spec.Template.Spec.Containers[0].Image = "mulesoft/flex-gateway:1.9.0"
		Expect(admin.Update(ctx, d)).To(Succeed())
		Eventually(func() int32 { return s.deployment(operator.GatewayName).Status.UpdatedReplicas }).Should(BeEquivalentTo(2))
		s.put(operator.SecretName, renewed)
		Eventually(func() map[string]string { return s.deployment(operator.GatewayName).Spec.Template.Annotations }).
			Should(HaveKeyWithValue(v1alpha1.AnnotationRegistration, HaveSuffix("-2")))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("adopts a registration of another agent id that is put back, and goes on with it", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		first := s.secret(operator.SecretName).Data
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.renewByHand() // another agent id
		Eventually(func() string { return s.status().Certificate.Fingerprint }).Should(Equal(s.certificate().Fingerprint))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.put(operator.SecretName, first)
		Eventually(func() string { return s.status().Gateway.AgentID }).Should(Equal(s.gateway.AgentID))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("says that the Secret is immutable where an old registration was put back in one", func(ctx context.Context) {
		s, old := renewedScene(ctx)
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		s.eventually(v1alpha1.ConditionReady, "True/Suspended")
		Expect(admin.Delete(ctx, s.secret(operator.SecretName))).To(Succeed())
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: operator.SecretName}, Immutable: ptr.To(true), Data: old})).To(Succeed())
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "False/SecretImmutable")
		version := s.secret(s.recordName()).ResourceVersion
		clk.Step(time.Hour)
		Consistently(func() string { return s.secret(s.recordName()).ResourceVersion }).Should(Equal(version))
	})

	It("rolls only those Deployments whose pods came up with what was put back", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.secret(operator.SecretName)
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "second", operator.SecretName, 1))).To(Succeed())
		s.fr.Spec.TargetRef, s.fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: operator.SecretName}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		// Pods that were made a moment before count as made after it: clocks differ.
		began := time.Now()
		Eventually(func() bool { return time.Since(began) > 11*time.Second }).WithPolling(time.Second).Should(BeTrue())
		d := s.deployment(operator.GatewayName)
		s.put(operator.SecretName, old.Data)
		d.Spec.Template.Spec.Containers[0].Image = "mulesoft/flex-gateway:1.9.0"
		Expect(admin.Update(ctx, d)).To(Succeed())
		Eventually(func() string {
			return s.deployment(operator.GatewayName).Spec.Template.Annotations[v1alpha1.AnnotationRegistration]
		}).Should(HaveSuffix("-2"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.deployment("second").Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, HaveSuffix("-1")))
	})
})
