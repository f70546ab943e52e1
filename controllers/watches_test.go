package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	kept, err := Scope{}.CacheOptions().DefaultTransform(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Name:          "d",
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "stays"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kept).To(Equal(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Annotations: map[string]string{"mine": "stays"}}}))
	_, err = Scope{}.CacheOptions().DefaultTransform(&appsv1.Deployment{})
	g.Expect(err).NotTo(HaveOccurred())
}

func TestCacheKeepsOfForeignDeploymentsThatTheyMountNoSecret(t *testing.T) {
	g := NewWithT(t)
	deployment := func(volume corev1.VolumeSource) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Status: appsv1.DeploymentStatus{Replicas: 1}}
		d.Spec.Template.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}, Volumes: []corev1.Volume{{Name: "registration", VolumeSource: volume}}}
		return d
	}
	for _, gateways := range []corev1.VolumeSource{
		{Secret: &corev1.SecretVolumeSource{SecretName: "s"}},
		{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{}}}}},
	} {
		g.Expect(slimDeployment(deployment(gateways))).To(Equal(deployment(gateways)))
	}
	kept := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}}
	kept.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "registration"}}
	g.Expect(slimDeployment(deployment(corev1.VolumeSource{}))).To(Equal(kept))
}
