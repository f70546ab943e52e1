package gateway

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// Stability looks at those pods that the present template of a Deployment had made when its rollout was complete. It says
// when the last of them came up, now where one is not up, zero where there are none; and what has happened to one since
// other than its removal. Of a pod's containers only the one counts that mounts the registration.
func Stability(pods []corev1.Pod, d *appsv1.Deployment, secret string, now time.Time) (upSince time.Time, unstable Complaint) {
	complete := completeSince(d)
	for i := range pods {
		pod := &pods[i]
		removed := !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
		if removed || pod.Annotations[v1alpha1.AnnotationRegistration] != Annotation(d) || !complete.IsZero() && pod.CreationTimestamp.After(complete) {
			continue
		}
		up, changed := podUp(pod, secret)
		if up.IsZero() {
			up = now
		}
		if up.After(upSince) {
			upSince = up
		}
		if !complete.IsZero() && !changed.Before(complete) && unstable.Reason == "" {
			unstable = complaint(pod)
			if unstable.Reason == "" {
				unstable.Reason = "pod " + pod.Name + " was not ready for a while"
			}
		}
	}
	return upSince, unstable
}

// completeSince is when Kubernetes saw the present rollout complete, by the clock of its Deployment controller; zero where
// it has not yet. Pods that go down later don't change it.
func completeSince(d *appsv1.Deployment) time.Time {
	if d.Status.ObservedGeneration < d.Generation {
		return time.Time{}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "NewReplicaSetAvailable" {
			return c.LastUpdateTime.Time
		}
	}
	return time.Time{}
}

// podUp says since when the gateway's container in a pod runs and the pod is ready, zero where that is not so; and when
// the container has ended, or the pod has ceased to be ready, for the last time.
func podUp(pod *corev1.Pod, secret string) (since, downAt time.Time) {
	own := mounting(&pod.Spec, secret)
	running := false
	for _, status := range pod.Status.ContainerStatuses {
		if own == nil || status.Name != own.Name {
			continue
		}
		if r := status.State.Running; r != nil {
			running, since = true, r.StartedAt.Time
		}
		for _, ended := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
			if ended != nil && ended.FinishedAt.After(downAt) {
				downAt = ended.FinishedAt.Time
			}
		}
	}
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if i < 0 {
		return time.Time{}, downAt
	}
	ready := pod.Status.Conditions[i]
	changed := ready.LastTransitionTime.Time
	if ready.Status != corev1.ConditionTrue {
		if changed.After(downAt) {
			downAt = changed
		}
		return time.Time{}, downAt
	}
	if !running {
		return time.Time{}, downAt
	}
	if changed.After(since) {
		since = changed
	}
	return since, downAt
}
