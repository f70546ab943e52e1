package gateway

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Stability looks at those pods that the present template of a Deployment had made when its rollout was complete, or at all
// that it has made until then. It fills in since when they are up, and what has happened to one of them within a time after
// the rollout was complete, other than its removal. Of a pod's containers only the one counts that mounts the registration.
func Stability(pods []corev1.Pod, d *Deployment, secret string, settle time.Duration, p *renewal.Deployment) (unstable Complaint) {
	complete := completeSince(d)
	p.UpSince = time.Time{}
	for i := range pods {
		pod := &pods[i]
		if gone(pod) || !madeBy(pod, d) || p.WasComplete && pod.CreationTimestamp.After(complete) {
			continue
		}
		up, downAt := podUp(pod, secret)
		p.UpSince = later(p.UpSince, up)
		p.Down = p.Down || up.IsZero()
		// The node's clock may be ahead of the Deployment controller's.
		went := downAt.After(complete.Add(clockSkew)) && !downAt.After(complete.Add(settle+clockSkew))
		if p.WasComplete && (up.IsZero() && !downAt.IsZero() || went) && unstable.Reason == "" {
			unstable = complaint(pod)
			unstable.Reason = cmp.Or(unstable.Reason, "pod "+pod.Name+" was not ready for a while")
		}
	}
	return unstable
}

// completeSince is when Kubernetes saw the present rollout complete, by the clock of its Deployment controller; zero where
// it has not yet. Pods that go down later don't change it.
func completeSince(d *Deployment) time.Time {
	if c := progressing(d); c.Reason == "NewReplicaSetAvailable" && d.Status.ObservedGeneration >= d.Generation {
		return c.LastUpdateTime.Time
	}
	return time.Time{}
}

// podUp says since when the gateway's container in a pod runs and the pod is ready, zero where that is not so; and when
// the container has ended, or the pod has ceased to be ready, for the last time, zero where neither has happened.
func podUp(pod *corev1.Pod, secret string) (since, downAt time.Time) {
	own := newPodSpec(&pod.Spec).mounting(secret)
	running := own == nil // then only its readiness counts
	for _, status := range statuses(pod) {
		if own == nil || status.Name != own.Name {
			continue
		}
		if r := status.State.Running; r != nil {
			running, since = true, r.StartedAt.Time
		}
		for _, ended := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
			if ended != nil {
				downAt = later(downAt, ended.FinishedAt.Time)
			}
		}
	}
	ready := condition(pod, corev1.PodReady)
	changed := ready.LastTransitionTime.Time
	switch {
	case ready.Status == corev1.ConditionTrue && running:
		return later(since, changed), downAt
	case ready.Status == corev1.ConditionTrue, pod.Status.StartTime == nil, !changed.After(pod.Status.StartTime.Add(2 * time.Second)):
		return time.Time{}, downAt // One that was never ready is so since the kubelet has seen it.
	default:
		return time.Time{}, later(downAt, changed)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
