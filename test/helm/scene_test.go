package helm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	day      = 24 * time.Hour
	replicas = 2
	oldImage = "mulesoft/flex-gateway:1.8.0"
	newImage = "mulesoft/flex-gateway:1.9.0"
)

// scene is one release of the gateway, in a namespace of its own.
type scene struct {
	ctx       context.Context
	client    *helm
	namespace string
	gateway   simulator.Gateway
	history   *history
	// old are arguments with the values that the gateway was installed with, the old registration among them.
	old []string
	// renewed is the fingerprint of the certificate that the operator has renewed.
	renewed string
}

var scenes int

// namespace is that of the newest scene.
func namespace() string { return fmt.Sprintf("gateway-%d", scenes) }

// newScene installs a gateway whose certificate expires in ten days, with the registration in the values, and with further
// arguments. There is no FlexRegistration yet.
func newScene(ctx context.Context, h *helm, arguments ...string) *scene {
	GinkgoHelper()
	scenes++
	s := &scene{ctx: ctx, client: h, namespace: namespace()}
	var err error
	s.gateway, err = platform.Register(operator.GatewayName, 10*day)
	Expect(err).NotTo(HaveOccurred())
	Expect(admin.Create(ctx, operator.Namespace(s.namespace))).To(Succeed())
	Expect(admin.Create(ctx, operator.CredentialsSecret(s.namespace, appID, appSecret))).To(Succeed())
	s.history = watchHistory(context.Background(), s.namespace)
	s.old = []string{fmt.Sprintf("--set=replicaCount=%d", replicas), "--set-file=registration.content=" + s.file(s.gateway.File)}
	s.helm(onRelease("install", append(arguments, s.old...)...)...)
	return s
}

// renewedScene is a gateway that was installed, renewed and rolled, whose pods have been running for an hour.
func renewedScene(ctx context.Context, h *helm) *scene {
	GinkgoHelper()
	s := newScene(ctx, h)
	s.renew()
	s.settle(1, oldImage)
	s.age()
	return s
}

// renew lets the operator renew, by the smallest FlexRegistration.
func (s *scene) renew() {
	GinkgoHelper()
	Eventually(s.atRest).Should(Succeed())
	fr := operator.FlexRegistration(s.namespace, operator.GatewayName)
	Expect(admin.Create(s.ctx, fr)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, fr)) })
	Eventually(s.certificate).ShouldNot(Equal(s.gateway.Fingerprint))
	s.renewed = s.certificate()
}

// file writes a registration to a file, as a user who hands it to Helm does.
func (s *scene) file(content []byte) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "registration.yaml")
	Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

func (s *scene) deployment() *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.GatewayName}, d)).To(Succeed())
	return d
}

func (s *scene) secret(name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Expect(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, secret)).To(Succeed())
	return secret
}

// pods are those that are not on their way out.
func (s *scene) pods() []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(admin.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	var staying []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp.IsZero() {
			staying = append(staying, pod)
		}
	}
	return staying
}

// certificate is the fingerprint of the one in the gateway's Secret.
func (s *scene) certificate() string {
	GinkgoHelper()
	r, err := registration.Parse(s.secret(operator.SecretName).Data, registration.DefaultKey)
	Expect(err).NotTo(HaveOccurred())
	return r.Certificate().Fingerprint
}

// record is what the operator remembers of the gateway. There must be one.
func (s *scene) record() *gateway.Record {
	GinkgoHelper()
	record, refused, err := gateway.LoadRecord(s.ctx, admin, &gateway.Gateway{Namespace: s.namespace, SecretName: operator.SecretName, Key: registration.DefaultKey})
	Expect(err).NotTo(HaveOccurred())
	Expect(refused).To(BeNil())
	Expect(record.Newest).NotTo(BeNil(), "there is no record of Secret "+operator.SecretName)
	return record
}

func (s *scene) status() v1alpha1.FlexRegistrationStatus {
	GinkgoHelper()
	fr := &v1alpha1.FlexRegistration{}
	Expect(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.GatewayName}, fr)).To(Succeed())
	return fr.Status
}

// ready is the condition Ready as "Status/Reason", and its message.
func (s *scene) ready() (condition, message string) {
	GinkgoHelper()
	c := meta.FindStatusCondition(s.status().Conditions, v1alpha1.ConditionReady)
	if c == nil {
		return "", ""
	}
	return string(c.Status) + "/" + c.Reason, c.Message
}

// eventually waits for the condition Ready to be as "Status/Reason" says.
func (s *scene) eventually(want string) {
	GinkgoHelper()
	Eventually(func() string { is, _ := s.ready(); return is }).Should(Equal(want), func() string {
		return fmt.Sprintf("status: %+v", s.status())
	})
}

// events lists "Reason: note" of the Events about the FlexRegistration.
func (s *scene) events() []string {
	GinkgoHelper()
	var list eventsv1.EventList
	Expect(admin.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	var found []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "FlexRegistration" {
			found = append(found, e.Reason+": "+e.Note)
		}
	}
	return found
}

// atRest says what the Deployment's rollout still waits for.
func (s *scene) atRest() error {
	GinkgoHelper()
	if p := gateway.Progress(gateway.NewDeployment(s.deployment())); !p.Complete {
		return errors.New("waiting for the Deployment's rollout: " + p.Message)
	}
	return nil
}

// settle waits until nothing more is to be done, and checks that all is well then: the gateway was renewed once, its Secret
// holds the newest registration, its pods run with that and the image, and the operator has caused so many rollouts.
func (s *scene) settle(rollouts int64, image string) {
	GinkgoHelper()
	Eventually(s.settled).Should(Succeed())
	Expect(s.record().Rollout.Sequence).To(Equal(rollouts), "rollouts that the operator has caused")
	Expect(s.deployment().Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, fmt.Sprintf("%s-%d", s.renewed, rollouts)))
	Expect(s.renewals()).To(Equal(1))
	s.serving(image, s.renewed)
}

// settled says what the operator has still to do. It does some of it after a while, so its clock is moved: only while no
// pods come up, as they do that by another clock.
func (s *scene) settled() error {
	GinkgoHelper()
	if s.certificate() != s.renewed {
		return errors.New("waiting for the newest registration to be restored")
	}
	if err := s.atRest(); err != nil {
		return err
	}
	clk.Step(5 * time.Second)
	record, status := s.record(), s.status()
	if since := record.Revert.Since; !since.IsZero() {
		return fmt.Errorf("waiting for the operator to know which pods came up since %s with what was put back", since)
	}
	if record.Rollout.Completed.IsZero() || status.Rollout == nil || !status.Rollout.Completed || status.Rollout.Sequence != record.Rollout.Sequence {
		return fmt.Errorf("waiting for rollout %d to be completed; status: %+v", record.Rollout.Sequence, status)
	}
	if is, message := s.ready(); is != "True/"+v1alpha1.ReasonScheduled {
		return fmt.Errorf("waiting for the FlexRegistration to be ready: %s: %s", is, message)
	}
	return nil
}

// serving waits until all pods run with the image, and came up with the certificate of this fingerprint and no other.
func (s *scene) serving(image, fingerprint string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		pods, secret := s.pods(), s.secret(operator.SecretName)
		g.Expect(pods).To(HaveLen(replicas))
		for i := range pods {
			mounted, err := s.history.mounted(&pods[i], secret)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(mounted).To(ConsistOf(fingerprint), "pod "+pods[i].Name)
			g.Expect(pods[i].Spec.Containers[0].Image).To(Equal(image))
		}
	}).Should(Succeed())
}

// renewals counts the gateway's successful renewals at the platform.
func (s *scene) renewals() int { return len(platform.Renewals(s.gateway.AgentID)) }

// age makes the pods' containers look as if they had started an hour ago. Otherwise, just made, they may have come up with
// whatever is put back next, as clocks differ.
func (s *scene) age() {
	GinkgoHelper()
	s.play(func(pod *corev1.Pod) {
		for i := range pod.Status.ContainerStatuses {
			if running := pod.Status.ContainerStatuses[i].State.Running; running != nil {
				running.StartedAt = metav1.NewTime(time.Now().Add(-time.Hour))
			}
		}
	})
}

// annotated has the chart annotate pods. From a release whose pods are annotated no more Helm takes all annotations, the operator's
// among them where it was faster than Helm.
const annotated = "--set-string=podAnnotations.example=kept"

// heldScene is a gateway that was renewed, and whose rollout is held where the first new pod does not become ready and the
// old ones serve.
func heldScene(ctx context.Context, h *helm) *scene {
	GinkgoHelper()
	s := newScene(ctx, h, annotated, "--set-string=podAnnotations."+strings.ReplaceAll(controlplane.PodAnnotation, ".", `\.`)+"="+controlplane.PodNotReady)
	Eventually(func() error { s.makeReady(); return s.atRest() }).Should(Succeed())
	s.renew()
	Eventually(func(g Gomega) {
		d := s.deployment()
		g.Expect(d.Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, s.renewed+"-1"))
		g.Expect(d.Status.UpdatedReplicas).To(BeEquivalentTo(1))
		g.Expect(d.Status.AvailableReplicas).To(BeEquivalentTo(replicas))
	}).Should(Succeed())
	s.eventually("True/" + v1alpha1.ReasonRollingOut)
	return s
}

// makeReady makes pods ready that the simulated node holds.
func (s *scene) makeReady() {
	GinkgoHelper()
	s.play(func(pod *corev1.Pod) {
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
				c.Status, c.Reason, c.Message = corev1.ConditionTrue, "", ""
			}
		}
		for i := range pod.Status.ContainerStatuses {
			pod.Status.ContainerStatuses[i].Ready = true
		}
	})
}

// play plays the pods' kubelet. The simulated one leaves a pod's status alone once it runs.
func (s *scene) play(change func(*corev1.Pod)) {
	GinkgoHelper()
	pods := s.pods()
	for i := range pods {
		pod := &pods[i]
		before := pod.DeepCopy()
		change(pod)
		Expect(admin.Status().Patch(s.ctx, pod, client.MergeFrom(before))).To(Succeed())
	}
}
