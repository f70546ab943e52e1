package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// Pods lists the pods that a Deployment selects.
func Pods(ctx context.Context, r client.Reader, d *Deployment) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing the pods of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return pods.Items, nil
}

// gone says that a pod has ended, or is on its way out.
func gone(pod *corev1.Pod) bool {
	return !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// madeBy says that the present template of a Deployment has made a pod.
func madeBy(pod *corev1.Pod, d *Deployment) bool {
	return pod.Annotations[v1alpha1.AnnotationRegistration] == Annotation(d)
}

// statuses are those of all containers of a pod.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// condition of a pod; zero where there is none.
func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	return first(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
}

// first of some items that is wanted; zero where none is.
func first[T any](all []T, wanted func(T) bool) (found T) {
	if i := slices.IndexFunc(all, wanted); i >= 0 {
		found = all[i]
	}
	return found
}

// PodProblem says what keeps a pod from starting, as far as the pod says so itself.
func PodProblem(pod *corev1.Pod) string {
	if c := condition(pod, corev1.PodScheduled); c.Status == corev1.ConditionFalse {
		return fmt.Sprintf("its pod is not scheduled (%s): %s", c.Reason, Bounded(c.Message))
	}
	for _, status := range statuses(pod) {
		w := status.State.Waiting
		if w == nil || slices.Contains([]string{"", "PodInitializing", "ContainerCreating"}, w.Reason) {
			continue
		}
		reason, message := w.Reason, w.Message
		if reason == "ErrImagePull" || reason == "ImagePullBackOff" {
			// The kubelet alternates between the two.
			_, said, _ := strings.Cut(message, "ErrImagePull: ")
			reason, message = "ImagePullBackOff", cmp.Or(said, message)
		}
		return fmt.Sprintf("container %s with image %s waits (%s): %s", status.Name, status.Image, reason, Bounded(message))
	}
	return ""
}

// Complaint is what the new pods of a rollout that failed complain of. It is zero where they don't.
type Complaint struct {
	// Reason says it in Kubernetes' words.
	Reason string
	// Output is what a container printed before it ended, as far as Kubernetes tells it. It is the container's own, and
	// may hold anything.
	Output string
}

// Complaints looks at those of a Deployment's pods that its present template has made, for the first that has something to
// complain of.
func Complaints(pods []corev1.Pod, d *Deployment) Complaint {
	var told Complaint
	for i := range pods {
		pod := &pods[i]
		if !pod.DeletionTimestamp.IsZero() || !madeBy(pod, d) {
			continue
		}
		c := complaint(pod)
		if c.Output != "" {
			return c
		}
		told = cmp.Or(told, c)
	}
	return told
}

func complaint(pod *corev1.Pod) Complaint {
	for _, status := range statuses(pod) {
		ended := cmp.Or(status.State.Terminated, status.LastTerminationState.Terminated)
		if ended != nil && (ended.ExitCode != 0 || status.RestartCount > 0) {
			return Complaint{Reason: fmt.Sprintf("container %s of pod %s ended with exit code %d (%s) and was restarted %d times", status.Name, pod.Name, ended.ExitCode, ended.Reason, status.RestartCount), Output: ended.Message}
		}
	}
	if problem := PodProblem(pod); problem != "" {
		return Complaint{Reason: "pod " + pod.Name + ": " + problem}
	}
	if c := condition(pod, corev1.PodReady); c.Status == corev1.ConditionFalse {
		return Complaint{Reason: fmt.Sprintf("pod %s is not ready (%s): %s", pod.Name, c.Reason, Bounded(c.Message))}
	}
	return Complaint{}
}

// Bounded keeps what Kubernetes says to a line of what fits into a condition.
func Bounded(s string) string {
	const most = 400
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
