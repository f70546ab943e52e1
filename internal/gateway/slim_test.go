package gateway

import (
	"math"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// large is a Deployment as charts make them, with much that nobody here reads.
func large(volume corev1.VolumeSource) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "gateways", Name: "ingress", UID: "u", ResourceVersion: "7", Generation: 3, Labels: map[string]string{"a": "b"},
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "a secret, in clear", "deployment.kubernetes.io/revision": "9"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "helm"}},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2), ProgressDeadlineSeconds: ptr.To[int32](math.MaxInt32), Paused: true,
			Selector: &metav1.LabelSelector{
				MatchLabels:      map[string]string{"app": "ingress"},
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"edge"}}},
			},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstr.FromString("100%"))}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "ingress"}, Annotations: map[string]string{v1alpha1.AnnotationRegistration: "f-1"}},
				Spec: corev1.PodSpec{
					Volumes: []corev1.Volume{
						{Name: "registration", VolumeSource: volume},
						{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
					},
					NodeSelector:       map[string]string{"disk": "ssd"},
					ServiceAccountName: "ingress",
					ImagePullSecrets:   []corev1.LocalObjectReference{{Name: "pull"}},
					InitContainers:     []corev1.Container{{Name: "init", Image: "busybox"}},
					Containers: []corev1.Container{
						{Name: "proxy", Image: "proxy:1", VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc"}}},
						{
							Name: "app", Image: "flex-gateway:1", ImagePullPolicy: corev1.PullNever, SecurityContext: &corev1.SecurityContext{RunAsUser: ptr.To[int64](7)},
							Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "a secret, in clear"}}, Args: []string{"--secret"},
							ReadinessProbe: &corev1.Probe{PeriodSeconds: 3}, LivenessProbe: &corev1.Probe{PeriodSeconds: 3},
							VolumeMounts: []corev1.VolumeMount{{Name: "registration", MountPath: "/usr/local/share"}, {Name: "config", MountPath: "/etc"}},
						},
					},
				},
			},
		},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2, ReadyReplicas: 2, Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Message: "it is"},
			{Type: appsv1.DeploymentProgressing, Reason: "NewReplicaSetAvailable", LastUpdateTime: metav1.NewTime(time.Unix(1900000000, 0))},
		}},
	}
}

var gateways = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s", Items: []corev1.KeyToPath{{Key: "k", Path: registration.DefaultKey}}}}

// What is found in a Deployment must be the same whether it has come from the cache or not.
func TestSlimDeploymentsSayTheSame(t *testing.T) {
	g := NewWithT(t)
	whole, slim := large(gateways), large(gateways)
	Slim(slim)
	g.Expect(Progress(slim)).To(Equal(Progress(whole)))
	g.Expect(Interrupts(slim)).To(Equal(Interrupts(whole)))
	g.Expect(Unguarded(slim, "s")).To(Equal(Unguarded(whole, "s")))
	for _, d := range []*appsv1.Deployment{whole, slim} {
		d.Spec.ProgressDeadlineSeconds = nil
	}
	g.Expect(Unguarded(slim, "s")).To(Equal(Unguarded(whole, "s")), "it has a readiness probe")
	g.Expect(Mounts(slim)).To(Equal([]string{"s"}))
	key, _ := mountedKey(slim.Spec.Template.Spec.Volumes, "s")
	g.Expect(key).To(Equal("k"))
	for _, selects := range []*metav1.LabelSelector{whole.Spec.Selector, slim.Spec.Selector} {
		selector, err := metav1.LabelSelectorAsSelector(selects)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(selector.Matches(labels.Set{"app": "ingress", "tier": "edge"})).To(BeTrue())
		g.Expect(selector.Matches(labels.Set{"app": "ingress"})).To(BeFalse())
		g.Expect(selector.Matches(labels.Set{"app": "egress", "tier": "edge"})).To(BeFalse())
	}
	g.Expect(slim.Spec.Template.Spec.NodeSelector).To(Equal(whole.Spec.Template.Spec.NodeSelector))
	g.Expect(slim.Spec.Template.Spec.ImagePullSecrets).To(Equal(whole.Spec.Template.Spec.ImagePullSecrets))
	is := (&Gateway{SecretName: "s", Deployments: []appsv1.Deployment{*slim}}).Container()
	g.Expect(is).NotTo(BeNil())
	g.Expect([]any{is.Name, is.Image, is.ImagePullPolicy, *is.SecurityContext.RunAsUser}).To(Equal([]any{"app", "flex-gateway:1", corev1.PullNever, int64(7)}))
	again := slim.DeepCopy()
	Slim(again)
	g.Expect(again).To(Equal(slim))
}

func TestSlimDeploymentsAreSmallAndHoldNoSecrets(t *testing.T) {
	g := NewWithT(t)
	whole, slim := large(gateways), large(gateways)
	Slim(slim)
	g.Expect(slim.String()).NotTo(ContainSubstring("a secret"))
	g.Expect(slim.Size()).To(BeNumerically("<", whole.Size()*2/3))
}

func TestSlimLeavesOfForeignDeploymentsThatTheyMountNoSecret(t *testing.T) {
	g := NewWithT(t)
	foreign := large(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	Slim(foreign)
	left := &appsv1.Deployment{ObjectMeta: foreign.ObjectMeta}
	left.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "registration", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	g.Expect(foreign).To(Equal(left))

	projected := large(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "p"}}}}}})
	Slim(projected)
	g.Expect(Mounts(projected)).To(ConsistOf("p"))
}
