package gateway

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

func TestStability(t *testing.T) {
	complete := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) metav1.Time {
		return metav1.NewTime(complete.Add(time.Duration(seconds) * time.Second))
	}
	mount := []corev1.VolumeMount{{Name: "registration"}}
	spec := corev1.PodSpec{
		Containers: []corev1.Container{{Name: "sidecar"}, {Name: "app", VolumeMounts: mount}},
		Volumes:    []corev1.Volume{{Name: "registration", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}},
	}
	annotations := map[string]string{v1alpha1.AnnotationRegistration: "f-1"}
	pod := func(changes ...func(*corev1.Pod)) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: annotations, CreationTimestamp: at(-5)}, Spec: *spec.DeepCopy(), Status: corev1.PodStatus{
			StartTime:         ptr.To(at(-4)),
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(-1)}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "sidecar"}, {Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(-3)}}}},
		}}
		for _, change := range changes {
			change(&p)
		}
		return p
	}
	restarted := func(finished int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			app := &p.Status.ContainerStatuses[1]
			app.RestartCount, app.LastTerminationState.Terminated = 1, &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: at(finished)}
			app.State.Running.StartedAt = at(finished + 1)
		}
	}
	waiting := func(p *corev1.Pod) {
		restarted(2)(p)
		p.Status.ContainerStatuses[1].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		p.Status.Conditions[0].Status, p.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, at(2)
	}
	notReady := func(p *corev1.Pod) {
		p.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", LastTransitionTime: at(20)}
	}
	created := func(seconds int) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.CreationTimestamp = at(seconds) }
	}
	deployment := func(complete bool) *Deployment {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}, Spec: spec}}}
		if complete {
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: "NewReplicaSetAvailable", LastUpdateTime: at(0)}}
		}
		return NewDeployment(d)
	}
	for name, c := range map[string]struct {
		pods     []corev1.Pod
		rolling  bool // not complete yet
		up       int  // seconds after the rollout was complete, 99: none is up
		down     bool
		unstable string
	}{
		"up":                                {pods: []corev1.Pod{pod()}, up: -1},
		"no pods":                           {up: 99},
		"ready long after its start":        {pods: []corev1.Pod{pod(func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = at(30) })}, up: 30},
		"restarted before it was complete":  {pods: []corev1.Pod{pod(restarted(-4))}, up: -1},
		"restarted at about that time":      {pods: []corev1.Pod{pod(restarted(9))}, up: 10},
		"restarted after it":                {pods: []corev1.Pod{pod(restarted(20))}, up: 21, unstable: "ended with exit code 1 (Error)"},
		"restarted long after it":           {pods: []corev1.Pod{pod(restarted(600))}, up: 601},
		"crashed":                           {pods: []corev1.Pod{pod(waiting)}, up: 99, down: true, unstable: "ended with exit code 1 (Error)"},
		"not ready any more":                {pods: []corev1.Pod{pod(notReady)}, up: 99, down: true, unstable: "is not ready (ContainersNotReady)"},
		"not ready yet":                     {pods: []corev1.Pod{pod(notReady)}, rolling: true, up: 99, down: true},
		"crashed while it was rolled":       {pods: []corev1.Pod{pod(waiting)}, rolling: true, up: 99, down: true},
		"the second crashed":                {pods: []corev1.Pod{pod(), pod(waiting)}, up: -1, down: true, unstable: "exit code 1"},
		"added by an autoscaler, not ready": {pods: []corev1.Pod{pod(), pod(created(30), notReady)}, up: -1},
		"added in the same second": {pods: []corev1.Pod{pod(), pod(created(0), notReady, func(p *corev1.Pod) {
			p.Status.Conditions[0].LastTransitionTime, p.Status.StartTime = at(1), ptr.To(at(1))
		})}, up: -1, down: true},
		"being deleted":       {pods: []corev1.Pod{pod(), pod(notReady, func(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(at(5)) })}, up: -1},
		"evicted":             {pods: []corev1.Pod{pod(), pod(notReady, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}, up: -1},
		"of another revision": {pods: []corev1.Pod{pod(), pod(notReady, func(p *corev1.Pod) { p.Annotations = nil })}, up: -1},
		"a sidecar crashed": {pods: []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: at(20)}
		})}, up: -1},
		"a native sidecar mounts it": {pods: []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Spec.Containers[1].VolumeMounts = nil
			p.Spec.InitContainers = []corev1.Container{{Name: "gateway", VolumeMounts: mount, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "gateway", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(40)}}}}
		})}, up: 40},
		"only an init container mounts it": {pods: []corev1.Pod{pod(func(p *corev1.Pod) {
			p.Spec.Containers[1].VolumeMounts = nil
			p.Spec.InitContainers = []corev1.Container{{Name: "copy", VolumeMounts: mount}}
		})}, up: -1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := deployment(!c.rolling)
			seen := Progress(d)
			unstable := Stability(c.pods, d, "s", time.Minute, &seen)
			if c.up == 99 {
				g.Expect(seen.UpSince).To(BeZero())
			} else {
				g.Expect(seen.UpSince).To(BeTemporally("==", at(c.up).Time))
			}
			g.Expect(seen.Down).To(Equal(c.down))
			g.Expect(seen.WasComplete).To(Equal(!c.rolling))
			if c.unstable == "" {
				g.Expect(unstable.Reason).To(BeEmpty())
			} else {
				g.Expect(unstable.Reason).To(ContainSubstring(c.unstable))
			}
		})
	}
}
