package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
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

// encoded has the encodings that an API server answers with, of a Deployment and of a list of it.
func encoded(t *testing.T, whole *appsv1.Deployment) map[string][]byte {
	t.Helper()
	g, all := NewWithT(t), map[string][]byte{}
	for _, object := range []runtime.Object{whole, &appsv1.DeploymentList{Items: []appsv1.Deployment{*whole}}} {
		for _, info := range clientgoscheme.Codecs.SupportedMediaTypes() {
			written, err := runtime.Encode(clientgoscheme.Codecs.EncoderForVersion(info.Serializer, appsv1.SchemeGroupVersion), object)
			g.Expect(err).NotTo(HaveOccurred())
			all[fmt.Sprintf("%T in %s", object, info.MediaType)] = written
		}
	}
	return all
}

// decoded is what the operator makes of it.
func decoded(t *testing.T, encoded []byte) *Deployment {
	t.Helper()
	g := NewWithT(t)
	object, err := runtime.Decode(serializer.NewCodecFactory(NewScheme()).UniversalDeserializer(), encoded)
	g.Expect(err).NotTo(HaveOccurred())
	if list, is := object.(*DeploymentList); is {
		g.Expect(list.Items).To(HaveLen(1))
		return list.Items[0]
	}
	g.Expect(object).To(BeAssignableToTypeOf(&Deployment{}))
	return object.(*Deployment) //nolint:forcetypeassert // It was asserted.
}

func TestDeploymentsAreDecodedOfAnyEncoding(t *testing.T) {
	whole := large(gateways)
	encodings := encoded(t, whole)
	NewWithT(t).Expect(len(encodings)).To(BeNumerically(">=", 6), "JSON, YAML and Protocol Buffers, of one and of a list")
	for name, encoding := range encodings {
		t.Run(name, func(t *testing.T) {
			g, is := NewWithT(t), decoded(t, encoding)
			is.TypeMeta = metav1.TypeMeta{}
			g.Expect(equality.Semantic.DeepEqual(is, NewDeployment(whole))).To(BeTrue(), "%+v", is)
		})
	}
}

// By an annotation of what looks like a Deployment, a watch tells that it has shown all: without it, a cache would never be ready.
func TestBookmarksStayBookmarks(t *testing.T) {
	bookmark := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
	for name, encoding := range encoded(t, bookmark) {
		t.Run(name, func(t *testing.T) {
			g, is := NewWithT(t), decoded(t, encoding)
			g.Expect(is.Annotations).To(Equal(bookmark.Annotations))
			g.Expect(is.ResourceVersion).To(Equal("7"))
		})
	}
}

func TestBrokenDeploymentsAreErrors(t *testing.T) {
	for name, encoding := range encoded(t, large(gateways)) {
		t.Run(name, func(t *testing.T) {
			broken := slices.Concat(encoding[:len(encoding)/2], []byte{0xff, '}', '}'})
			_, err := runtime.Decode(serializer.NewCodecFactory(NewScheme()).UniversalDeserializer(), broken)
			NewWithT(t).Expect(err).To(HaveOccurred())
		})
	}
}

// What is encoded again is a Deployment as there are in apps/v1.
func TestDeploymentsAreEncodedAsTheyWere(t *testing.T) {
	g, is := NewWithT(t), NewDeployment(large(gateways))
	encoded, err := json.Marshal(is)
	g.Expect(err).NotTo(HaveOccurred())
	whole := &appsv1.Deployment{}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	g.Expect(decoder.Decode(whole)).To(Succeed())
	g.Expect(equality.Semantic.DeepEqual(NewDeployment(whole), is)).To(BeTrue(), "%s", encoded)
}

func TestDeploymentsTellWhatIsRead(t *testing.T) {
	g, whole := NewWithT(t), large(gateways)
	d := NewDeployment(whole)
	g.Expect(Progress(d)).To(Equal(renewal.Deployment{
		Name: "ingress", UID: "u", Annotation: "f-1", Complete: true, WasComplete: true, Paused: true, UpSince: time.Unix(1900000000, 0),
		Message: "its rollout is paused, run kubectl rollout resume deployment/ingress; 2 of 2 replicas updated, 2 available, 2 in all",
	}))
	g.Expect(Interrupts(d)).To(ContainSubstring("all replicas"))
	g.Expect(Unguarded(d, "s")).To(ContainSubstring("no progress deadline"))
	d.Spec.ProgressDeadlineSeconds = nil
	g.Expect(Unguarded(d, "s")).To(BeEmpty(), "it has a readiness probe")
	whole.Spec.Template.Spec.Containers[1].ReadinessProbe, whole.Spec.ProgressDeadlineSeconds = nil, nil
	g.Expect(Unguarded(NewDeployment(whole), "s")).To(ContainSubstring("container app has no readiness probe"))
	g.Expect(Mounts(d)).To(Equal([]string{"s"}))
	key, _ := mountedKey(d.Spec.Template.Spec.Volumes, "s")
	g.Expect(key).To(Equal("k"))
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(selector.Matches(labels.Set{"app": "ingress", "tier": "edge"})).To(BeTrue())
	g.Expect(selector.Matches(labels.Set{"app": "ingress"})).To(BeFalse())
	g.Expect(selector.Matches(labels.Set{"app": "egress", "tier": "edge"})).To(BeFalse())
	g.Expect(d.Spec.Template.Spec.NodeSelector).To(Equal(whole.Spec.Template.Spec.NodeSelector))
	g.Expect(d.Spec.Template.Spec.ImagePullSecrets).To(Equal(whole.Spec.Template.Spec.ImagePullSecrets))
	is := (&Gateway{SecretName: "s", Deployments: []*Deployment{d}}).Container()
	g.Expect(is).NotTo(BeNil())
	g.Expect([]any{is.Name, is.Image, is.ImagePullPolicy, *is.SecurityContext.RunAsUser}).To(Equal([]any{"app", "flex-gateway:1", corev1.PullNever, int64(7)}))
}

func TestDeploymentsAreSmallAndHoldNoSecrets(t *testing.T) {
	g, whole := NewWithT(t), large(gateways)
	encoded, err := json.Marshal(NewDeployment(whole))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(encoded)).NotTo(ContainSubstring("a secret"))
	all, err := json.Marshal(whole)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(encoded)).To(BeNumerically("<", len(all)*2/3))
	g.Expect(int(reflect.TypeFor[Deployment]().Size())).To(BeNumerically("<=", int(reflect.TypeFor[appsv1.Deployment]().Size()/2)))
	g.Expect(int(reflect.TypeFor[Container]().Size())).To(BeNumerically("<=", int(reflect.TypeFor[corev1.Container]().Size()/2)))
}

func TestOfForeignDeploymentsThereIsThatTheyMountNoSecret(t *testing.T) {
	g := NewWithT(t)
	foreign := NewDeployment(large(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	left := &Deployment{ObjectMeta: foreign.ObjectMeta}
	left.Spec.Template.Spec.Volumes = []Volume{{Name: "registration"}}
	g.Expect(foreign).To(Equal(left))

	projected := NewDeployment(large(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "p"}}}}}}))
	g.Expect(Mounts(projected)).To(ConsistOf("p"))
}
