package gateway

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Roll sets the registration annotation on the Deployment's pod template, which makes Kubernetes replace its
// pods. The operator owns that one field. The UID keeps the apply from creating a Deployment that was deleted.
func Roll(ctx context.Context, w client.Writer, d *Deployment, annotation string) error {
	apply := appsv1ac.Deployment(d.Name, d.Namespace).WithUID(d.UID).WithSpec(appsv1ac.DeploymentSpec().WithTemplate(
		corev1ac.PodTemplateSpec().WithAnnotations(map[string]string{v1alpha1.AnnotationRegistration: annotation})))
	if err := w.Apply(ctx, apply, FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("rolling Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return nil
}

// Annotation is the registration annotation on a Deployment's pod template.
func Annotation(d *Deployment) string {
	return d.Spec.Template.Annotations[v1alpha1.AnnotationRegistration]
}

// Progress says how far a Deployment's rollout is, as `kubectl rollout status` reckons it.
func Progress(d *Deployment) renewal.Deployment {
	want, s, upSince := ptr.Deref(d.Spec.Replicas, 1), d.Status, completeSince(d)
	seen := s.ObservedGeneration >= d.Generation
	p := renewal.Deployment{
		Name: d.Name, UID: string(d.UID), Annotation: Annotation(d),
		Message:     fmt.Sprintf("%d of %d replicas updated, %d available, %d in all", s.UpdatedReplicas, want, s.AvailableReplicas, s.Replicas),
		Complete:    seen && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want,
		UpSince:     upSince,
		WasComplete: !upSince.IsZero(),
		Failed:      seen && progressing(d).Reason == "ProgressDeadlineExceeded",
		Paused:      d.Spec.Paused,
	}
	switch {
	case p.Paused:
		p.Message = "its rollout is paused, run kubectl rollout resume deployment/" + d.Name + "; " + p.Message
	case !seen:
		p.Message = "not yet seen by the Deployment controller"
	}
	return p
}

// progressing is what the Deployment controller says of a rollout's progress; zero where it says nothing.
func progressing(d *Deployment) appsv1.DeploymentCondition {
	return first(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
}

// Interrupts says why a rollout of the Deployment leaves the gateway without a pod that serves; "" if it doesn't.
func Interrupts(d *Deployment) string {
	replicas, strategy := int(ptr.Deref(d.Spec.Replicas, 1)), d.Spec.Strategy
	rolling := ptr.Deref(strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
	unavailable, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxUnavailable, replicas, false)
	switch {
	case replicas == 0:
		return ""
	case strategy.Type == appsv1.RecreateDeploymentStrategyType:
		return "its strategy is Recreate"
	case err == nil && unavailable >= replicas:
		return "its strategy allows all replicas to be unavailable"
	default:
		return ""
	}
}

// Unguarded says why Kubernetes does not hold a rollout of the Deployment up whose new pods fail; "" if it does.
func Unguarded(d *Deployment, secret string) string {
	if ptr.Deref(d.Spec.ProgressDeadlineSeconds, 0) == math.MaxInt32 {
		return "it has no progress deadline, by which Kubernetes tells that a rollout is complete, or has failed"
	}
	own := d.Spec.Template.Spec.mounting(secret)
	if own == nil || own.ReadinessProbe != nil || d.Spec.MinReadySeconds > 0 {
		return ""
	}
	return "container " + own.Name + " has no readiness probe, and minReadySeconds is 0"
}

// A kubelet may still hand out what a Secret held before it was written. A new pod gets it by the kubelet's watch, which
// takes moments; in a pod that is there the files are renewed once a minute, give or take a half, and a container that
// is restarted in it reads what is there.
const (
	newPodMargin    = 10 * time.Second
	restartedMargin = 2 * time.Minute
)

// OldPods counts the pods that may run, now or later, with what the Secret held before it was written; if since is not
// zero, only with what it held from then on. Those that have ended, or are on their way out, don't count.
func OldPods(pods []corev1.Pod, since, written time.Time) int {
	old := 0
	for i := range pods {
		if mayHoldOld(&pods[i], since, written) {
			old++
		}
	}
	return old
}

// clockSkew is how much the clocks of nodes and of the API server may differ.
const clockSkew = 10 * time.Second

func mayHoldOld(pod *corev1.Pod, since, written time.Time) bool {
	if gone(pod) || !pod.CreationTimestamp.Time.Before(written.Add(newPodMargin)) {
		return false
	}
	// A container that does not run has read nothing, but may start on what is mounted already. Init containers have
	// ended, or are sidecars.
	running := slices.DeleteFunc(statuses(pod), func(c corev1.ContainerStatus) bool {
		return c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
	})
	return len(running) == 0 || slices.ContainsFunc(running, func(c corev1.ContainerStatus) bool {
		if c.State.Running == nil {
			return true
		}
		started := c.State.Running.StartedAt.Time
		return started.Before(written.Add(restartedMargin)) && !started.Before(since.Add(-clockSkew))
	})
}
