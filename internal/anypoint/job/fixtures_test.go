package job

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

const (
	namespace = "gateways"
	jobName   = "ingress-renew-1"
	jobUID    = types.UID("the-job")
	appID     = "0d1f6a52-77b3-4a55-9f0e-3a8d1c2b4e5f"
	appSecret = "s3cr3t-of-the-app"
)

// since is when the attempt was claimed.
var since = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

func flexRegistration(name string) *v1alpha1.FlexRegistration {
	return &v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("of-" + name)}}
}

// gatewayOf is one of a single Deployment with a pod template.
func gatewayOf(pod corev1.PodSpec) *gateway.Gateway {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ingress"}}
	d.Spec.Template.Spec = pod
	d.Spec.Template.Labels = map[string]string{"app.kubernetes.io/name": "flex-gateway", "team": "edge"}
	d.Spec.Template.Spec.Volumes = append(d.Spec.Template.Spec.Volumes,
		corev1.Volume{Name: "registration", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "registration"}}})
	return &gateway.Gateway{Namespace: namespace, SecretName: "registration", Key: registration.DefaultKey, Deployments: []*gateway.Deployment{gateway.NewDeployment(d)}}
}

// running is the gateway's container.
func running(image string, security *corev1.SecurityContext) corev1.Container {
	return corev1.Container{
		Name: "app", Image: image, SecurityContext: security,
		VolumeMounts: []corev1.VolumeMount{{Name: "registration", MountPath: "/registration"}},
	}
}

func attemptOf(r *Runner, g *gateway.Gateway) *attempt {
	if r.Clock == nil {
		r.Clock = clocktesting.NewFakePassiveClock(since)
	}
	return &attempt{Runner: r, fr: flexRegistration("ingress"), gateway: g, intent: renewal.Intent{Since: since, Until: since.Add(Hold), Job: jobName}}
}

func credentials(t testing.TB) anypoint.Credentials {
	t.Helper()
	c, err := anypoint.ParseCredentials(map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// made is the attempt's Job.
func made(change ...func(*batchv1.Job)) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: jobName, UID: jobUID}}
	for _, c := range change {
		c(j)
	}
	return j
}

func ended(kind batchv1.JobConditionType, reason, message string) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message})
	}
}

// pod is one of the attempt's Job that has just been accepted by a kubelet.
func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: jobName + "-x", UID: "the-pod", Labels: map[string]string{batchv1.JobNameLabel: jobName}, CreationTimestamp: metav1.NewTime(since),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: jobName, UID: jobUID, Controller: ptr.To(true)}},
		},
		Status: corev1.PodStatus{
			Phase:                 corev1.PodPending,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: containerPrepare, State: waiting}, {Name: containerFlexctl, Image: "flex-gateway:1", State: waiting}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: containerHandoff, State: waiting}},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// is gives a container of a pod a state.
func is(container string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range statuses {
				if statuses[i].Name == container {
					statuses[i].State = state
				}
			}
		}
	}
}

func waits(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func runs() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(since)}}
}

func terminated(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message, StartedAt: metav1.NewTime(since)}}
}

// handoff is the Secret that the pod writes.
func handoff(content string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: HandoffName("ingress")}, Type: HandoffType}
	if content != "" {
		s.Labels, s.Data = map[string]string{labelHandedOver: "true"}, map[string][]byte{registration.DefaultKey: []byte(content)}
	}
	return s
}

func warning(about types.UID, reason, message string, at time.Time) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: string(about) + "." + reason},
		InvolvedObject: corev1.ObjectReference{UID: about},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message, LastTimestamp: metav1.NewTime(at),
	}
}
