package conformance_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/kubelet"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const operatorImage = "flex-registration-operator:test"

// jobRunner runs flexctl in Jobs on a real control plane, with the operator's own rights.
type jobRunner struct {
	admin, operator client.Client
	kubelet         *kubelet.Kubelet

	mu       sync.Mutex
	attempts map[*scene]*attempts
}

func newJobRunner(t *testing.T, p programs) *jobRunner {
	t.Helper()
	g := NewWithT(t)
	r, root := &jobRunner{attempts: map[*scene]*attempts{}}, filepath.Join("..", "..")
	cluster, admin := operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root), LeaveJobPods: true})
	r.admin = admin
	g.Expect(operator.Grant(t.Context(), admin, operator.Roles(root)...)).To(Succeed())
	user, err := cluster.User("flex-registration-operator", operator.Group)
	g.Expect(err).NotTo(HaveOccurred())
	r.operator, err = client.New(user, client.Options{Scheme: gateway.NewScheme()})
	g.Expect(err).NotTo(HaveOccurred())
	r.kubelet, err = kubelet.Start(t.Context(), kubelet.Options{
		Config: cluster.Config, Directory: t.TempDir(),
		Images: map[string]kubelet.Image{operatorImage: {Programs: map[string]string{"/manager": p.manager, "/flexctl-runner": p.runner}}},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(r.kubelet.Stop)
	return r
}

// attempts is one renewal: the first question begins it, the next ones follow it.
type attempts struct {
	runner  *job.Runner
	clock   *clocktesting.FakeClock
	fr      *v1alpha1.FlexRegistration
	gateway *gateway.Gateway
	intent  renewal.Intent
	begun   bool
}

// Renew implements anypoint.Renewer.
func (a *attempts) Renew(ctx context.Context, old *registration.Registration, credentials anypoint.Credentials) (*registration.Registration, error) {
	begins := !a.begun
	a.begun = true
	return a.runner.Attempt(a.fr, a.gateway, a.intent, begins).Renew(ctx, old, credentials)
}

func (r *jobRunner) renewer(s *scene) anypoint.Renewer {
	a := r.prepare(s)
	image := kubelet.Image{Programs: map[string]string{}}
	if s.flexctl != "" {
		image.Programs["flexctl"] = s.flexctl
	}
	r.kubelet.AddImage(a.gateway.Deployments[0].Spec.Template.Spec.Containers[0].Image, image)
	return a
}

// prepare makes a namespace with a FlexRegistration, and a claim of it. The image is not there yet.
func (r *jobRunner) prepare(s *scene) *attempts {
	s.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "case-"}}
	s.Expect(r.admin.Create(s.t.Context(), namespace)).To(Succeed())
	fr := operator.FlexRegistration(namespace.Name, operator.GatewayName)
	s.Expect(r.admin.Create(s.t.Context(), fr)).To(Succeed())
	d := operator.Deployment(namespace.Name, operator.GatewayName, operator.SecretName, 1)
	d.Spec.Template.Spec.Containers[0].Image = "registry.example.com/" + namespace.Name + "/flex-gateway:1"
	clk := clocktesting.NewFakeClock(time.Now())
	fingerprint, since := s.old.Certificate().Fingerprint, clk.Now()
	a := &attempts{
		clock: clk, fr: fr,
		gateway: &gateway.Gateway{Namespace: namespace.Name, SecretName: operator.SecretName, Key: registration.DefaultKey},
		runner: &job.Runner{
			Config: job.Config{OperatorImage: operatorImage, Hosts: s.hosts, ManageRBAC: true, Network: s.network},
			Cache:  r.operator, Client: r.operator, APIReader: r.operator, Clock: clk,
		},
		intent: renewal.Intent{Fingerprint: fingerprint, Attempt: 1, Since: since, Until: since.Add(job.Hold), Job: job.Name(fr, fingerprint, 0, since)},
	}
	a.gateway.Deployments = append(a.gateway.Deployments, gateway.NewDeployment(d))
	r.mu.Lock()
	r.attempts[s] = a
	r.mu.Unlock()
	return a
}

func (r *jobRunner) attempt(s *scene) *attempts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[s]
}

// settled waits for the end of the Job, where there is one.
func (r *jobRunner) settled(s *scene) map[string]string {
	s.t.Helper()
	namespace := client.InNamespace(r.attempt(s).fr.Namespace)
	var jobs batchv1.JobList
	s.Eventually(func(g Gomega) {
		g.Expect(r.admin.List(s.t.Context(), &jobs, namespace)).To(Succeed())
		for _, j := range jobs.Items {
			g.Expect(j.Status.Conditions).To(ContainElement(HaveField("Type", BeElementOf(batchv1.JobComplete, batchv1.JobFailed))))
		}
	}).WithTimeout(patience).WithPolling(pause).Should(Succeed())
	var pods corev1.PodList
	var events corev1.EventList
	s.Expect(r.admin.List(s.t.Context(), &pods, namespace)).To(Succeed())
	s.Expect(r.admin.List(s.t.Context(), &events, namespace)).To(Succeed())
	seen := map[string]string{"the Events": encoded(s, events)}
	for i := range jobs.Items {
		seen["Job "+jobs.Items[i].Name] = encoded(s, jobs.Items[i])
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		seen["pod "+pod.Name] = encoded(s, pod)
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			output := r.kubelet.Output(client.ObjectKeyFromObject(pod), c.Name)
			s.Expect(len(output)).To(BeNumerically("<", 4096), "what container %s prints is bounded", c.Name)
			seen["the output of container "+c.Name] = output
		}
	}
	return seen
}

func encoded(s *scene, object any) string {
	s.t.Helper()
	text, err := json.Marshal(object)
	s.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// leavesNothing ends the attempt as the reconciler does.
func (r *jobRunner) leavesNothing(s *scene) {
	s.t.Helper()
	a := r.attempt(s)
	s.Expect(a.runner.End(s.t.Context(), a.fr, a.intent.Job, true)).To(Succeed())
	var secrets corev1.SecretList
	s.Expect(r.admin.List(s.t.Context(), &secrets, client.InNamespace(a.fr.Namespace))).To(Succeed())
	s.Expect(secrets.Items).To(BeEmpty())
}
