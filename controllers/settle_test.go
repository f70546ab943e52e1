package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// edit changes the gateway's Deployment.
func (s *scene) edit(change func(*appsv1.Deployment)) {
	GinkgoHelper()
	Eventually(func() error {
		d := s.deployment(operator.GatewayName)
		change(d)
		return admin.Update(s.ctx, d)
	}).Should(Succeed())
}

func pausedDeployment(d *appsv1.Deployment)  { d.Spec.Paused = true }
func resumedDeployment(d *appsv1.Deployment) { d.Spec.Paused = false }

// annotate has the gateway's next pods behave in a way.
func (s *scene) annotate(annotations map[string]string) {
	GinkgoHelper()
	s.edit(func(d *appsv1.Deployment) {
		for name, value := range annotations {
			metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, name, value)
			if value == "" {
				delete(d.Spec.Template.Annotations, name)
			}
		}
	})
}

// isUp waits until Kubernetes has rolled the gateway.
func (s *scene) isUp() {
	GinkgoHelper()
	Eventually(func() bool {
		return gateway.Progress(gateway.NewDeployment(s.deployment(operator.GatewayName))).Complete
	}).Should(BeTrue())
}

// rolledTo is the annotation on the pod template.
func (s *scene) rolledTo() string {
	GinkgoHelper()
	return s.deployment(operator.GatewayName).Spec.Template.Annotations[v1alpha1.AnnotationRegistration]
}

func (s *scene) pods() []corev1.Pod {
	GinkgoHelper()
	pods, err := gateway.Pods(s.ctx, admin, gateway.NewDeployment(s.deployment(operator.GatewayName)))
	Expect(err).NotTo(HaveOccurred())
	return pods
}

// watchedScene is a gateway that was renewed, whose new pods were started at the time of the operator's clock and
// otherwise behave as the annotations say: they are watched.
func watchedScene(ctx context.Context, annotations map[string]string, change func(*v1alpha1.FlexRegistration)) *scene {
	GinkgoHelper()
	s := newScene(ctx, 10*day)
	s.edit(pausedDeployment)
	s.annotate(annotations)
	s.annotate(map[string]string{controlplane.StartedAnnotation: clk.Now().UTC().Format(time.RFC3339)})
	change(s.fr)
	s.create()
	s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed") // since it is paused
	s.edit(resumedDeployment)
	return s
}

var _ = Describe("After a rollout", func() {
	unchanged := func(*v1alpha1.FlexRegistration) {}

	It("watches whether the new pods stay up, for a minute", func(ctx context.Context) {
		s := watchedScene(ctx, nil, unchanged)
		s.isUp()
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("when its new pods are up, they are watched for 1m0s"))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/RollingOut"))
		clk.Step(59 * time.Second)
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/RollingOut"))
		clk.Step(time.Second)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("watches for as long as spec.rollout.settle says", func(ctx context.Context) {
		s := watchedScene(ctx, nil, func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Rollout.Settle = &metav1.Duration{Duration: 30 * time.Minute}
		})
		s.eventually(v1alpha1.ConditionReady, "True/RollingOut")
		clk.Step(29 * time.Minute)
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/RollingOut"))
		clk.Step(time.Minute)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("tells that they don't, with what they say, and goes on when they do", func(ctx context.Context) {
		s := watchedScene(ctx, map[string]string{controlplane.PodAnnotation: controlplane.PodCrashLoop, controlplane.AfterAnnotation: "1s"}, unchanged)
		renewed := s.certificate()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(And(ContainSubstring("do not stay up"), ContainSubstring("ended with exit code 1 (Error)")))
		Eventually(s.events).Should(ContainElement(And(HavePrefix("RolloutFailed: "), ContainSubstring("exit code 1"))))
		Expect(s.status().Rollout.FailureTime.Time).To(BeTemporally("~", clk.Now(), time.Second))
		Expect(s.certificate()).To(Equal(renewed), "the renewed registration stays")
		s.annotate(map[string]string{controlplane.PodAnnotation: "", controlplane.AfterAnnotation: "", controlplane.StartedAnnotation: ""})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("takes pods that are drained, deleted, scaled away or added for no failure", func(ctx context.Context) {
		s := watchedScene(ctx, nil, unchanged)
		s.isUp()
		pods := s.pods()
		Expect(admin.Delete(ctx, &pods[0])).To(Succeed())
		Expect(admin.SubResource("eviction").Create(ctx, &pods[1], &policyv1.Eviction{})).To(Succeed())
		s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](3) })
		Eventually(func() int32 { return s.deployment(operator.GatewayName).Status.AvailableReplicas }).Should(BeEquivalentTo(3))
		s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](1) })
		clk.Step(time.Minute)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.status().Rollout.FailureTime).To(BeNil())
		Expect(s.rolledTo()).To(HaveSuffix("-1"))
	})
})

var _ = Describe("A rollout that fails", func() {
	failing := map[string]string{controlplane.PodAnnotation: controlplane.PodNotReady}
	// failingScene has new pods that never become ready, while the old ones serve.
	failingScene := func(ctx context.Context, change func(*v1alpha1.FlexRegistration)) *scene {
		s := newScene(ctx, 10*day)
		s.edit(func(d *appsv1.Deployment) {
			d.Spec.Paused = true
			d.Spec.ProgressDeadlineSeconds = ptr.To[int32](2)
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstrOf(0)), MaxSurge: ptr.To(intstrOf(1))}
		})
		s.annotate(failing)
		change(s.fr)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		s.edit(resumedDeployment)
		return s
	}
	failed := func(s *scene) func() string {
		return func() string { return s.condition(v1alpha1.ConditionReady) + " " + s.rolledTo()[65:] }
	}

	It("is tried anew twice within the hour, and the old pods go on serving", func(ctx context.Context) {
		s := failingScene(ctx, func(*v1alpha1.FlexRegistration) {})
		for i, pause := range []time.Duration{10 * time.Minute, 30 * time.Minute} {
			Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("is tried anew at "))
			clk.Step(pause - time.Minute)
			Consistently(s.rolledTo).Should(HaveSuffix([]string{"-1", "-2"}[i]))
			clk.Step(time.Minute)
			Eventually(s.rolledTo).Should(HaveSuffix([]string{"-2", "-3"}[i]))
			Expect(s.deployment(operator.GatewayName).Status.AvailableReplicas).To(BeEquivalentTo(2))
		}
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(And(ContainSubstring("is not ready"), Not(ContainSubstring("is tried anew"))))
		clk.Step(25 * time.Hour)
		Consistently(failed(s)).Should(Equal("False/RolloutFailed 3"))
		Expect(s.deployment(operator.GatewayName).Status.AvailableReplicas).To(BeEquivalentTo(2))
		By("going on when its cause is gone")
		s.annotate(map[string]string{controlplane.PodAnnotation: ""})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("is begun anew where a replaced manifest took it back, but not where a person did after it had failed", func(ctx context.Context) {
		s := failingScene(ctx, func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Rollout.Timeout = &metav1.Duration{Duration: 5 * time.Minute}
		})
		s.eventually(v1alpha1.ConditionReady, "True/RollingOut")
		s.annotate(map[string]string{v1alpha1.AnnotationRegistration: ""})
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("was taken back"))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/RollingOut"))
		clk.Step(10 * time.Minute)
		Eventually(s.rolledTo).Should(HaveSuffix("-2"))
		// Since when it is being rolled is recorded after that, and then told.
		Eventually(func() int64 { return s.status().Rollout.Sequence }).Should(BeEquivalentTo(2))
		clk.Step(5 * time.Minute)
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		s.annotate(map[string]string{v1alpha1.AnnotationRegistration: ""})
		s.eventually(v1alpha1.ConditionReady, "False/RestartRequired")
		clk.Step(30 * time.Minute)
		Consistently(s.rolledTo).Should(BeEmpty())
		By("seeing when the person has done it")
		s.publishedEarlier()
		s.annotate(map[string]string{controlplane.PodAnnotation: "", "kubectl.kubernetes.io/restartedAt": "now"})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("is no success when somebody takes it back and the gateway stays down", func(ctx context.Context) {
		s := failingScene(ctx, func(*v1alpha1.FlexRegistration) {})
		Eventually(func() bool { return s.status().Rollout.FailureTime != nil }).Should(BeTrue())
		Expect(failed(s)()).To(Equal("False/RolloutFailed 1"))
		s.edit(func(d *appsv1.Deployment) {
			d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
			delete(d.Spec.Template.Annotations, v1alpha1.AnnotationRegistration)
			metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", "now")
		})
		s.publishedEarlier()
		Eventually(func() int32 { return s.deployment(operator.GatewayName).Status.AvailableReplicas }).Should(BeZero())
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).ShouldNot(HavePrefix("True/"))
		Expect(s.status().Rollout.Completed).To(BeFalse())
		s.annotate(map[string]string{controlplane.PodAnnotation: ""})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("is not tried anew when the policy is changed to Never", func(ctx context.Context) {
		s := failingScene(ctx, func(*v1alpha1.FlexRegistration) {})
		Eventually(func() bool { return s.status().Rollout.FailureTime != nil }).Should(BeTrue())
		Expect(failed(s)()).To(Equal("False/RolloutFailed 1"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Rollout.Policy = v1alpha1.RolloutNever })
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).ShouldNot(ContainSubstring("tried anew"))
		clk.Step(15 * time.Minute)
		Consistently(s.rolledTo).Should(HaveSuffix("-1"))
	})
})

var _ = Describe("While a rollout goes on", func() {
	slow := map[string]string{controlplane.PodAnnotation: controlplane.PodSlow, controlplane.AfterAnnotation: "1s"}
	slowScene := func(ctx context.Context, change func(*appsv1.Deployment)) *scene {
		s := newScene(ctx, 10*day)
		s.edit(func(d *appsv1.Deployment) { d.Spec.Paused = true; change(d) })
		s.annotate(slow)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RolloutFailed")
		s.edit(resumedDeployment)
		return s
	}
	// ends waits for the end of the rollout, which must have been the only one of the operator, and replace every pod.
	ends := func(s *scene) {
		GinkgoHelper()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.rolledTo()).To(HaveSuffix("-1"))
		for _, pod := range s.pods() {
			Expect(pod.Annotations).To(HaveKey(v1alpha1.AnnotationRegistration))
		}
		Expect(s.renewals()).To(Equal(1))
		Expect(s.status().Rollout.FailureTime).To(BeNil())
	}

	It("waits for every replica where an autoscaler changes their number", func(ctx context.Context) {
		s := slowScene(ctx, func(*appsv1.Deployment) {})
		for _, replicas := range []int32{5, 1, 4} {
			s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To(replicas) })
		}
		ends(s)
		Expect(s.pods()).To(HaveLen(4))
	})

	It("waits for the end of an upgrade that somebody makes", func(ctx context.Context) {
		s := slowScene(ctx, func(*appsv1.Deployment) {})
		s.edit(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "mulesoft/flex-gateway:1.9.0" })
		ends(s)
		for _, pod := range s.pods() {
			Expect(pod.Spec.Containers[0].Image).To(HaveSuffix("1.9.0"))
		}
	})

	It("waits where pods are drained", func(ctx context.Context) {
		s := slowScene(ctx, func(*appsv1.Deployment) {})
		pods := s.pods()
		for i := range pods {
			Expect(client.IgnoreNotFound(admin.SubResource("eviction").Create(ctx, &pods[i], &policyv1.Eviction{}))).To(Succeed())
		}
		ends(s)
	})

	It("replaces pods that are stopped before new ones are started", func(ctx context.Context) {
		s := slowScene(ctx, func(d *appsv1.Deployment) {
			d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		})
		ends(s)
	})

	It("replaces all pods at once where the strategy allows it", func(ctx context.Context) {
		s := slowScene(ctx, func(d *appsv1.Deployment) {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstrOf(2)), MaxSurge: ptr.To(intstrOf(0))}
		})
		Expect(s.message(v1alpha1.ConditionRolledOut)).To(ContainSubstring("takes the gateway down: its strategy allows all replicas to be unavailable"))
		ends(s)
	})

	It("says beforehand that Kubernetes would not hold it up where the gateway has no readiness probe", func(ctx context.Context) {
		s := slowScene(ctx, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].ReadinessProbe = nil })
		Expect(s.message(v1alpha1.ConditionRolledOut)).To(ContainSubstring("container app has no readiness probe"))
		ends(s)
	})

	It("waits until pods have been ready for minReadySeconds", func(ctx context.Context) {
		s := slowScene(ctx, func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 2 })
		ends(s)
	})

	It("comes to its end where only an init container reads the registration", func(ctx context.Context) {
		s := slowScene(ctx, func(d *appsv1.Deployment) {
			pod := &d.Spec.Template.Spec
			pod.InitContainers = []corev1.Container{{Name: "copy", Image: "busybox", VolumeMounts: pod.Containers[0].VolumeMounts}}
			pod.Containers[0].VolumeMounts = nil
		})
		ends(s)
	})

	It("has nothing to wait for where there are no replicas", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](0) })
		Eventually(s.pods).Should(BeEmpty())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.edit(func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](1) })
		Eventually(s.pods).Should(HaveLen(1))
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
	})
})

var _ = Describe("A rollout that is refused", func() {
	// Nobody may annotate the Deployment: the registration is published all the same, and that is known.
	It("keeps nobody from going back, and tells who does", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.certificate()
		before := s.secret(operator.SecretName).Data
		policy(ctx, s, admissionv1.Deny, []string{"deployments"}, []string{"apps"}, `!("gateway.flexops.dev/registration" in object.spec.template.metadata.?annotations.orValue({}))`, "no rollouts today")
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, v1alpha1.AnnotationRegistration, "any")
			return admin.Update(ctx, d, client.DryRunAll)
		}).Should(MatchError(ContainSubstring("no rollouts today")))
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/Forbidden")
		renewed := s.certificate()
		s.put(operator.SecretName, before)
		Eventually(s.events).Should(ContainElement(And(HavePrefix("Restored: "), ContainSubstring(old.SerialNumber))), "it is known to be put back, which is counted")
		Expect(s.certificate()).To(Equal(renewed))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = old.SerialNumber })
		Eventually(s.certificate).Should(Equal(old))
		Expect(s.renewals()).To(Equal(1))
	})
})
