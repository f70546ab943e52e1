package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// A rollout may come to its end between the look at the cluster, which does not list pods while they decide nothing, and the plan.
func TestNoRolloutIsCompleteBeforeItsPodsWereLookedAt(t *testing.T) {
	g := NewWithT(t)
	complete := time.Now().Truncate(time.Second)
	record := renewal.Record{Rollout: renewal.Rollout{Sequence: 1, Fingerprint: "f", Rolled: []renewal.Rolled{{UID: "u", At: complete.Add(-time.Minute)}}}}
	d := &gateway.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "ingress", UID: "u"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "ingress"}}
	d.Spec.Template.Annotations = map[string]string{v1alpha1.AnnotationRegistration: record.Rollout.Annotation()}
	d.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentProgressing, Reason: "NewReplicaSetAvailable", LastUpdateTime: metav1.NewTime(complete)},
	}}
	crashed := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "ingress-1", Labels: d.Spec.Selector.MatchLabels, Annotations: d.Spec.Template.Annotations, CreationTimestamp: metav1.NewTime(complete.Add(-time.Minute))},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", VolumeMounts: []corev1.VolumeMount{{Name: "registration"}}}},
			Volumes:    []corev1.Volume{{Name: "registration", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}},
		},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", RestartCount: 1, LastTerminationState: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: metav1.NewTime(complete.Add(30 * time.Second))},
		}}}},
	}
	d.Spec.Replicas = ptr.To[int32](1)
	clk := clocktesting.NewFakeClock(complete.Add(59 * time.Second))
	r := &Reconciler{APIReader: fake.NewClientBuilder().WithObjects(crashed).Build(), Clock: clk}
	o := &observation{gateway: &gateway.Gateway{Namespace: "n", SecretName: "s", Deployments: []*gateway.Deployment{d}}, Observation: renewal.Observation{Settle: time.Minute, Record: record}}
	g.Expect(r.observeDeployments(t.Context(), o)).To(Succeed())
	g.Expect(o.Deployments[0].Complete).To(BeTrue())
	g.Expect(o.Deployments[0].Unstable).To(BeEmpty())

	clk.Step(2 * time.Second)
	g.Expect(r.act(t.Context(), o, renewal.Decision{Step: renewal.StepComplete, Deployment: "ingress"})).To(Succeed())
	g.Expect(o.Deployments[0].Unstable).To(ContainSubstring("exit code 1"))
}

func TestNoEventIsTooLongToBeTold(t *testing.T) {
	g, told := NewWithT(t), events.NewFakeRecorder(1)
	r := &Reconciler{Recorder: told}
	r.event(&v1alpha1.FlexRegistration{}, corev1.EventTypeWarning, "AnswerDiffers", "Renew", "the renewed registration also differs in %s", strings.Repeat("spec.ä, ", 150))
	note := strings.TrimPrefix(<-told.Events, "Warning AnswerDiffers ")
	g.Expect(note).To(HavePrefix("the renewed registration also differs in spec.ä, "))
	g.Expect(len(note)).To(BeNumerically("<=", 1024), "as the API server counts")
}

// The watch may have fallen behind what was written. For long it is waited for what was written; then the API server is asked, by the
// only right that the operator has.
func TestAWatchThatIsFarBehindIsNotBelieved(t *testing.T) {
	g, now := NewWithT(t), time.Now()
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	shown := &v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "ingress", UID: "u", ResourceVersion: "1"}}
	last, live := shown.DeepCopy(), shown.DeepCopy()
	last.ResourceVersion, live.ResourceVersion = "2", "3"
	key := client.ObjectKeyFromObject(shown)
	server := fake.NewClientBuilder().WithScheme(scheme).WithObjects(live).
		WithIndex(live, metav1.ObjectNameField, func(object client.Object) []string { return []string{object.GetName()} }).
		WithInterceptorFuncs(interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "flexregistrations"}, key.Name, nil)
		}}).Build()
	r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(shown).Build(), APIReader: server, Clock: clocktesting.NewFakeClock(now)}
	version := func() string {
		fr, err := r.get(t.Context(), key)
		g.Expect(err).NotTo(HaveOccurred())
		if fr == nil {
			return ""
		}
		return fr.ResourceVersion
	}
	r.written.Store(key, written{last, now.Add(-maxBehind / 2)})
	g.Expect(version()).To(Equal("2"))
	r.written.Store(key, written{last, now.Add(-2 * maxBehind)})
	g.Expect(version()).To(Equal("3"))
	g.Expect(server.Delete(t.Context(), live)).To(Succeed())
	r.written.Store(key, written{last, now.Add(-2 * maxBehind)})
	g.Expect(version()).To(BeEmpty())
}
