package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// A Secret's annotations may hold its content (kubectl's last-applied-configuration).
func TestCacheKeepsNothingOfSecretsButTheirIdentity(t *testing.T) {
	g := NewWithT(t)
	kept, err := onlyIdentity(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "s", Namespace: "n", UID: "u", ResourceVersion: "7",
		Labels:        map[string]string{"a": "b"},
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "a key"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kept).To(Equal(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "u", ResourceVersion: "7"}}))
}

func TestCacheKeepsNoManifestsNorManagers(t *testing.T) {
	g := NewWithT(t)
	kept, err := Scope{}.CacheOptions().DefaultTransform(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name:          "d",
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "stays"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kept).To(Equal(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "d", Annotations: map[string]string{"mine": "stays"}}}))
	for _, annotations := range []map[string]string{nil, {"kubectl.kubernetes.io/last-applied-configuration": "{}"}} {
		kept, err = Scope{}.CacheOptions().DefaultTransform(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(kept).To(Equal(&corev1.Pod{}))
	}
}

func TestChangesConcernWhoNamesWhatHasChanged(t *testing.T) {
	fr := &v1alpha1.FlexRegistration{Spec: v1alpha1.FlexRegistrationSpec{
		TargetRef:      &v1alpha1.TargetReference{Name: "target"},
		CredentialsRef: v1alpha1.LocalReference{Name: "credentials"},
		SecretRef:      &v1alpha1.SecretKeyReference{Name: "named"},
		Publish:        v1alpha1.PublishSpec{SecretRef: &v1alpha1.SecretKeyReference{Name: "published"}},
	}}
	fr.Status.SecretRef = &v1alpha1.SecretKeyReference{Name: "found", Key: "key"}
	fr.Status.Rollout = &v1alpha1.RolloutStatus{Deployments: []string{"rolled"}}
	for name, want := range map[string]struct{ secret, deployment bool }{
		"credentials": {secret: true}, "named": {secret: true}, "published": {secret: true}, "found": {secret: true},
		"target": {deployment: true}, "rolled": {deployment: true}, "another": {}, "key": {},
	} {
		g := NewWithT(t)
		g.Expect(namesSecret(fr, name)).To(Equal(want.secret), name)
		g.Expect(namesDeployment(fr, name)).To(Equal(want.deployment), name)
	}
}

func TestDeploymentsMountSecretsWholeAndInPart(t *testing.T) {
	d := &gateway.Deployment{}
	d.Spec.Template.Spec.Volumes = []gateway.Volume{
		{Secret: &corev1.SecretVolumeSource{SecretName: "whole"}},
		{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{}}, {Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: "part"}, Items: []corev1.KeyToPath{{Key: "key", Path: registration.DefaultKey}},
		}}}}},
		{Name: "another"},
	}
	NewWithT(t).Expect(gateway.Mounts(d)).To(ConsistOf("whole", "part"))
}
