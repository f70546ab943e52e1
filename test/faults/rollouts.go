package faults

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// sawDeployment keeps every rollout that the operator has begun. r.mu is held.
func (r *run) sawDeployment(d *appsv1.Deployment) {
	r.deployment = d
	annotation := d.Spec.Template.Annotations[v1alpha1.AnnotationRegistration]
	if n := len(r.rollouts); annotation != "" && (n == 0 || r.rollouts[n-1] != annotation) {
		r.rollouts = append(r.rollouts, annotation)
	}
}

// rolls says that Kubernetes is replacing pods, and has not given up. r.mu is held.
func (r *run) rolls() bool {
	d := r.deployment
	if d == nil || d.Spec.Paused {
		return false
	}
	s, replicas := d.Status, ptr.Deref(d.Spec.Replicas, 1)
	if s.ObservedGeneration < d.Generation {
		return true
	}
	for _, c := range s.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
			return false
		}
	}
	return s.UpdatedReplicas < replicas || s.Replicas > s.UpdatedReplicas || s.AvailableReplicas < s.UpdatedReplicas
}

// rolledApart, P4: the operator lets some time pass from one rollout to the next. r.mu is held.
func (r *run) rolledApart(pause time.Duration) error {
	for n := int64(2); n <= int64(len(r.rollouts)); n++ {
		if passed := r.rolledAt[n].Sub(r.rolledAt[n-1]); passed < pause {
			return fmt.Errorf("P4: rollout %d was begun %s after the one before, want %s at least", n, passed, pause)
		}
	}
	return nil
}

// rolledAsTold, P4: the operator has had the pods replaced as often as the story says, under one number each time, and
// nobody else but people did.
func (r *run) rolledAsTold(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operator.GatewayName}, d); err != nil {
		return err
	}
	for i, annotation := range r.rollouts {
		if number := fmt.Sprintf("-%d", i+1); len(annotation) < 64 || annotation[64:] != number {
			return fmt.Errorf("P4: rollout %d is %s: %v", i+1, annotation, r.rollouts)
		}
	}
	n := len(r.rollouts)
	if bounds := r.story.rollouts; n < bounds[0] || n > bounds[1] {
		return fmt.Errorf("P4: there were %d rollouts, want %v: %v", n, bounds, r.rollouts)
	}
	// A sync may undo what Kubernetes has not seen yet.
	if got, want := d.Annotations["deployment.kubernetes.io/revision"], fmt.Sprint(1+n+r.edits); got != want && !r.story.synced {
		return fmt.Errorf("P4: the Deployment is at revision %s, want %s", got, want)
	}
	return nil
}
