package gateway

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

func TestComplaints(t *testing.T) {
	labels := map[string]string{"app": "ingress"}
	d := &Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "ingress"}, Spec: DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	d.Spec.Template.Annotations = map[string]string{v1alpha1.AnnotationRegistration: "new-2"}
	pod := func(name, annotation string, status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: name, Labels: labels, Annotations: map[string]string{v1alpha1.AnnotationRegistration: annotation}}, Status: status}
	}
	container := func(restarts int32, state, last corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Image: "flex:1", RestartCount: restarts, State: state, LastTerminationState: last}}}
	}
	ended := func(code int32, message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: message}}
	}
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	notReady := corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: "containers with unready status: [app]"}}}
	for name, c := range map[string]struct {
		pods           []*corev1.Pod
		reason, output string
	}{
		"none":                      {nil, "", ""},
		"the old pods have no say":  {[]*corev1.Pod{pod("a", "old-1", container(0, ended(1, "x"), corev1.ContainerState{}))}, "", ""},
		"a crash":                   {[]*corev1.Pod{pod("a", "new-2", container(3, waiting("CrashLoopBackOff", "back-off"), ended(1, "no route")))}, "container app of pod a ended with exit code 1 (Error) and was restarted 3 times", "no route"},
		"a clean exit, restarted":   {[]*corev1.Pod{pod("a", "new-2", container(1, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, ended(0, "")))}, "exit code 0", ""},
		"an image":                  {[]*corev1.Pod{pod("a", "new-2", container(0, waiting("ErrImagePull", "not found"), corev1.ContainerState{}))}, "pod a: container app with image flex:1 waits (ImagePullBackOff): not found", ""},
		"not ready":                 {[]*corev1.Pod{pod("a", "new-2", notReady)}, "pod a is not ready (ContainersNotReady): containers with unready status: [app]", ""},
		"the one with output first": {[]*corev1.Pod{pod("a", "new-2", notReady), pod("b", "new-2", container(1, waiting("CrashLoopBackOff", "x"), ended(2, "says why")))}, "pod b ended with exit code 2", "says why"},
	} {
		t.Run(name, func(t *testing.T) {
			b := fake.NewClientBuilder()
			for _, p := range c.pods {
				b = b.WithObjects(p)
			}
			pods, err := Pods(t.Context(), b.Build(), d)
			got := Complaints(pods, d)
			if err != nil || !strings.Contains(got.Reason, c.reason) || (c.reason == "") != (got.Reason == "") || got.Output != c.output {
				t.Errorf("%+v, %v; want %q, %q", got, err, c.reason, c.output)
			}
		})
	}
}
