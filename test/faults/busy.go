package faults

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobsAreBusy says that a pod may be about to do something. A Job that has not come to its end has a pod, or will have
// one; but for those whose node is dead. r.mu is held.
func (r *run) jobsAreBusy() bool {
	for name, j := range r.jobs {
		if !jobHas(&j, batchv1.JobComplete) && !jobHas(&j, batchv1.JobFailed) && !r.isDead(name) {
			return true
		}
	}
	for name, pod := range r.jobPods {
		if !podIsOver(&pod) && !r.deadPods[name] {
			return true
		}
	}
	return false
}

// isDead says that a Job has a pod on a dead node. It makes no other one.
func (r *run) isDead(job string) bool {
	for name, pod := range r.jobPods {
		if pod.Labels[batchv1.JobNameLabel] == job && r.deadPods[name] {
			return true
		}
	}
	return false
}

func podIsOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// busy says that something goes on by the machine's clock.
func (r *run) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobsAreBusy() || r.rolls()
}

func jobHas(j *batchv1.Job, condition batchv1.JobConditionType) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}
