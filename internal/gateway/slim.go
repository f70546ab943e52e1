package gateway

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Slim takes off a Deployment what the operator does not read of it, which is most of it. Of one that mounts no Secret, and so is
// no gateway's, there is left what says that it doesn't.
func Slim(d *appsv1.Deployment) {
	d.ObjectMeta = metav1.ObjectMeta{
		Namespace: d.Namespace, Name: d.Name, UID: d.UID, ResourceVersion: d.ResourceVersion, Generation: d.Generation, DeletionTimestamp: d.DeletionTimestamp,
	}
	pod := &d.Spec.Template.Spec
	mayHoldSecret := func(v corev1.Volume) bool { return v.Secret != nil || v.Projected != nil }
	pod.Volumes = keep(pod.Volumes, func(v corev1.Volume) bool { return mayHoldSecret(v) || v.Name == registrationVolume })
	if !slices.ContainsFunc(pod.Volumes, mayHoldSecret) {
		d.Spec = appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Volumes: pod.Volumes}}}
		d.Status = appsv1.DeploymentStatus{}
		return
	}
	d.Spec.Template.Labels = nil
	d.Status.Conditions = keep(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			slimContainer(&containers[i], pod.Volumes)
		}
	}
}

// slimContainer leaves of a container which of some volumes it mounts, its image, its user, and whether it has a readiness probe.
func slimContainer(c *corev1.Container, volumes []corev1.Volume) {
	slim := corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, RestartPolicy: c.RestartPolicy, SecurityContext: c.SecurityContext}
	for _, mount := range c.VolumeMounts {
		if slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			slim.VolumeMounts = append(slim.VolumeMounts, corev1.VolumeMount{Name: mount.Name})
		}
	}
	if c.ReadinessProbe != nil {
		slim.ReadinessProbe = &corev1.Probe{}
	}
	*c = slim
}

// keep is those of some items, in no more memory than they need.
func keep[T any](all []T, wanted func(T) bool) (kept []T) {
	for _, item := range all {
		if wanted(item) {
			kept = append(kept, item)
		}
	}
	return slices.Clip(kept)
}
