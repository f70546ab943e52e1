package gateway

import (
	"maps"
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
	spec, status := d.Spec, d.Status
	d.Spec, d.Status = appsv1.DeploymentSpec{}, appsv1.DeploymentStatus{}
	mayHoldSecret := func(v corev1.Volume) bool { return v.Secret != nil || v.Projected != nil }
	volumes := keep(spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return mayHoldSecret(v) || v.Name == registrationVolume })
	if !slices.ContainsFunc(volumes, mayHoldSecret) {
		d.Spec.Template.Spec.Volumes = volumes
		return
	}
	d.Spec = appsv1.DeploymentSpec{
		Replicas: spec.Replicas, Paused: spec.Paused, MinReadySeconds: spec.MinReadySeconds, ProgressDeadlineSeconds: spec.ProgressDeadlineSeconds,
		Selector: slimSelector(spec.Selector), Strategy: appsv1.DeploymentStrategy{Type: spec.Strategy.Type},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: spec.Template.Annotations}, Spec: slimPod(&spec.Template.Spec, volumes)},
	}
	if rolling := spec.Strategy.RollingUpdate; rolling != nil {
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: rolling.MaxUnavailable}
	}
	d.Status = status
	if c := progressing(d); c.Type != "" {
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: c.Type, Reason: c.Reason, LastUpdateTime: c.LastUpdateTime}}
	} else {
		d.Status.Conditions = nil
	}
}

// slimSelector selects the same by expressions, which take a fifth of a map's memory.
func slimSelector(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil {
		return nil
	}
	slim := &metav1.LabelSelector{MatchExpressions: selector.MatchExpressions}
	for _, label := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		slim.MatchExpressions = append(slim.MatchExpressions, metav1.LabelSelectorRequirement{Key: label, Operator: metav1.LabelSelectorOpIn, Values: []string{selector.MatchLabels[label]}})
	}
	return slim
}

// slimPod leaves of a pod what is needed to run another that finds the same nodes, images and hosts, and the containers that mount some of its
// volumes.
func slimPod(pod *corev1.PodSpec, volumes []corev1.Volume) corev1.PodSpec {
	slim := corev1.PodSpec{
		Volumes: volumes, NodeSelector: pod.NodeSelector, Tolerations: pod.Tolerations, Affinity: pod.Affinity, RuntimeClassName: pod.RuntimeClassName,
		HostAliases: pod.HostAliases, DNSPolicy: pod.DNSPolicy, DNSConfig: pod.DNSConfig, ImagePullSecrets: pod.ImagePullSecrets, ServiceAccountName: pod.ServiceAccountName,
		InitContainers: slimContainers(pod.InitContainers, volumes), Containers: slimContainers(pod.Containers, volumes),
	}
	if security := pod.SecurityContext; security != nil && security.Size() > 0 {
		slim.SecurityContext = security
	}
	return slim
}

// slimContainers leaves of those containers that mount some volumes which of these they mount, their image, their user, and whether they have a
// readiness probe.
func slimContainers(containers []corev1.Container, volumes []corev1.Volume) (all []corev1.Container) {
	for i := range containers {
		c := &containers[i]
		slim := corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, RestartPolicy: c.RestartPolicy, SecurityContext: c.SecurityContext}
		for _, mount := range c.VolumeMounts {
			if slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
				slim.VolumeMounts = append(slim.VolumeMounts, corev1.VolumeMount{Name: mount.Name})
			}
		}
		if c.ReadinessProbe != nil {
			slim.ReadinessProbe = &corev1.Probe{}
		}
		if len(slim.VolumeMounts) > 0 {
			all = append(all, slim)
		}
	}
	return all
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
