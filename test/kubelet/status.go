package kubelet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hostIP is the simulated node's.
const hostIP = "127.0.0.1"

// reportTimeout bounds one attempt to report.
const reportTimeout = 5 * time.Second

// report changes the status and derives from it what follows, as the kubelet does, and writes it, unless the node is
// dead.
func (w *worker) report(change func(*corev1.PodStatus)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.pod.DeepCopy()
	change(&w.pod.Status)
	w.derive()
	for !w.dead.Load() && w.life.Err() == nil {
		ctx, cancel := context.WithTimeout(w.life, reportTimeout)
		// Strategic, as others have conditions of their own.
		err := w.kubelet.api.Status().Patch(ctx, w.pod.DeepCopy(), client.StrategicMergeFrom(before))
		cancel()
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		w.failed("reporting the pod's status", err)
		pause(w.life)
	}
}

// accept is what is reported first.
func (w *worker) accept(s *corev1.PodStatus) {
	s.Phase = corev1.PodPending
	s.StartTime = ptr.To(metav1.Now())
	s.HostIP, s.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
	reason := "ContainerCreating"
	if len(w.pod.Spec.InitContainers) > 0 {
		reason = "PodInitializing"
	}
	s.InitContainerStatuses = waiting(w.pod.Spec.InitContainers, reason)
	s.ContainerStatuses = waiting(w.pod.Spec.Containers, reason)
	slices.SortFunc(s.ContainerStatuses, func(a, b corev1.ContainerStatus) int { return strings.Compare(a.Name, b.Name) })
}

func waiting(containers []corev1.Container, reason string) []corev1.ContainerStatus {
	statuses := make([]corev1.ContainerStatus, 0, len(containers))
	for _, c := range containers {
		status := corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Started: ptr.To(false),
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		}
		for _, m := range c.VolumeMounts {
			mount := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
			if m.ReadOnly {
				mount.RecursiveReadOnly = ptr.To(corev1.RecursiveReadOnlyDisabled)
			}
			status.VolumeMounts = append(status.VolumeMounts, mount)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func (w *worker) sandboxReady(s *corev1.PodStatus) {
	w.sandbox = true
	s.PodIP, s.PodIPs = w.address, []corev1.PodIP{{IP: w.address}}
}

// reportContainer changes the status of one container.
func (w *worker) reportContainer(name string, change func(*corev1.ContainerStatus)) {
	w.report(func(s *corev1.PodStatus) {
		for _, statuses := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
			for i := range statuses {
				if statuses[i].Name == name {
					change(&statuses[i])
				}
			}
		}
	})
}

func (w *worker) reportWaiting(container, reason, message string) {
	w.reportContainer(container, func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// derive sets the phase and the conditions.
func (w *worker) derive() {
	s := &w.pod.Status
	s.ObservedGeneration = w.pod.Generation
	if !finished(w.pod) {
		s.Phase = phase(s)
		if w.over && !finished(w.pod) {
			s.Phase = corev1.PodFailed
		}
	}
	w.setCondition(corev1.PodReadyToStartContainers, w.sandbox && !finished(w.pod), "", "")

	incomplete := notReady(s.InitContainerStatuses)
	initialized := len(incomplete) == 0
	switch {
	case s.Phase == corev1.PodSucceeded:
		w.setCondition(corev1.PodInitialized, true, "PodCompleted", "")
	case initialized:
		w.setCondition(corev1.PodInitialized, true, "", "")
	default:
		w.setCondition(corev1.PodInitialized, false, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %s", incomplete))
	}

	unready := notReady(s.ContainerStatuses)
	for _, condition := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		switch {
		case s.Phase == corev1.PodSucceeded:
			w.setCondition(condition, false, "PodCompleted", "")
		case s.Phase == corev1.PodFailed:
			w.setCondition(condition, false, "PodFailed", "")
		case len(unready) > 0:
			w.setCondition(condition, false, "ContainersNotReady", fmt.Sprintf("containers with unready status: %s", unready))
		default:
			w.setCondition(condition, true, "", "")
		}
	}
	w.setCondition(corev1.PodScheduled, true, "", "")
}

// notReady are the names of the containers that aren't ready: init containers are once they have succeeded.
func notReady(statuses []corev1.ContainerStatus) []string {
	var names []string
	for _, s := range statuses {
		if !s.Ready {
			names = append(names, s.Name)
		}
	}
	return names
}

// phase is what the containers' states amount to.
func phase(s *corev1.PodStatus) corev1.PodPhase {
	for _, c := range s.InitContainerStatuses {
		if t := c.State.Terminated; t == nil {
			return corev1.PodPending
		} else if t.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	running, failed := false, false
	for _, c := range s.ContainerStatuses {
		switch {
		case c.State.Running != nil:
			running = true
		case c.State.Terminated != nil:
			failed = failed || c.State.Terminated.ExitCode != 0
		default:
			return corev1.PodPending
		}
	}
	switch {
	case running || len(s.ContainerStatuses) == 0:
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

func (w *worker) setCondition(condition corev1.PodConditionType, status bool, reason, message string) {
	now := corev1.PodCondition{
		Type: condition, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: w.pod.Generation, LastTransitionTime: metav1.Now(),
	}
	if status {
		now.Status = corev1.ConditionTrue
	}
	conditions := &w.pod.Status.Conditions
	for i, old := range *conditions {
		if old.Type != condition {
			continue
		}
		if old.Status == now.Status {
			now.LastTransitionTime = old.LastTransitionTime
		}
		(*conditions)[i] = now
		return
	}
	*conditions = append(*conditions, now)
}

// containerID is made up.
func containerID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // It never fails.
	return "containerd://" + hex.EncodeToString(id)
}
