//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/world"
)

const day = 24 * time.Hour

// story is a gateway in a namespace of its own, which the operator is to renew.
type story struct {
	*WithT
	t            *testing.T
	ctx          context.Context
	namespace    string
	began        time.Time
	gateway      simulator.Gateway
	clientSecret string
	history      *world.History
	fr           *v1alpha1.FlexRegistration
}

// newStory makes the gateway, its credentials, and a FlexRegistration that is yet to be created.
func newStory(t *testing.T, o world.GatewayOptions) *story {
	t.Helper()
	needOperator(t)
	s := &story{WithT: NewWithT(t), t: t, ctx: t.Context(), namespace: newNamespace(t), began: time.Now()}
	s.SetDefaultEventuallyTimeout(patience)
	s.SetDefaultEventuallyPollingInterval(interval)
	t.Cleanup(s.explain)
	o.Namespace = s.namespace
	var err error
	s.gateway, err = cluster.CreateGateway(s.ctx, platform, o)
	s.Expect(err).NotTo(HaveOccurred())
	s.clientSecret, err = cluster.CreateCredentials(s.ctx, platform, s.namespace)
	s.Expect(err).NotTo(HaveOccurred())
	s.history, err = cluster.RecordPods(s.ctx, s.namespace)
	s.Expect(err).NotTo(HaveOccurred())
	s.fr = operator.FlexRegistration(s.namespace, operator.GatewayName)
	s.fr.Spec.Rollout.Settle = &metav1.Duration{Duration: 3 * time.Second} // Most stories are not about it.
	return s
}

func (s *story) create(object client.Object) {
	s.t.Helper()
	s.Expect(cluster.Admin.Create(s.ctx, object)).To(Succeed())
}

// change changes the FlexRegistration.
func (s *story) change(change func(*v1alpha1.FlexRegistration)) {
	s.t.Helper()
	old := s.fr.DeepCopy()
	change(s.fr)
	s.Expect(cluster.Admin.Patch(s.ctx, s.fr, client.MergeFrom(old))).To(Succeed())
}

// condition reads a condition as "Status/Reason".
func (s *story) condition(kind string) func(Gomega) string {
	return func(g Gomega) string {
		g.Expect(cluster.Admin.Get(s.ctx, client.ObjectKeyFromObject(s.fr), s.fr)).To(Succeed())
		if c := meta.FindStatusCondition(s.fr.Status.Conditions, kind); c != nil {
			return fmt.Sprintf("%s/%s", c.Status, c.Reason)
		}
		return "absent"
	}
}

// message is what a condition said when it was read last.
func (s *story) message(kind string) string {
	if c := meta.FindStatusCondition(s.fr.Status.Conditions, kind); c != nil {
		return c.Message
	}
	return ""
}

// renewed waits until all is well, and checks that the platform was asked once, that the Secret holds what it has
// issued, and that nothing of the attempts is left. It returns the new certificate.
func (s *story) renewed() registration.Certificate {
	s.t.Helper()
	s.Eventually(s.condition(v1alpha1.ConditionReady)).Should(Equal("True/Scheduled"), s.status)
	renewals, err := platform.Renewals(s.ctx, s.gateway.AgentID)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(renewals).To(HaveLen(1), "renewals at the platform")
	certificate := s.registration().Certificate()
	s.Expect(renewals[0].OldFingerprint).To(Equal(s.gateway.Fingerprint))
	s.Expect(renewals[0].NewFingerprint).To(Equal(certificate.Fingerprint), "the certificate in the Secret")
	s.Eventually(s.leftovers).Should(BeEmpty())
	return certificate
}

// registration is what the gateway's Secret holds.
func (s *story) registration() *registration.Registration {
	s.t.Helper()
	secret := &corev1.Secret{}
	s.Expect(cluster.Admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.SecretName}, secret)).To(Succeed())
	r, err := registration.Parse(secret.Data, registration.DefaultKey)
	s.Expect(err).NotTo(HaveOccurred())
	return r
}

// connected are the replicas that the platform lists as connected, with the expiry of the certificate of each.
func (s *story) connected() (map[string]time.Time, error) {
	return platform.Connected(s.ctx, s.gateway.AgentID)
}

// gatewayPods are those that the Deployment has now.
func (s *story) gatewayPods() ([]corev1.Pod, error) {
	var list corev1.PodList
	labels := operator.Deployment(s.namespace, operator.GatewayName, operator.SecretName, 0).Spec.Selector.MatchLabels
	err := cluster.Admin.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels(labels))
	return list.Items, err
}

func (s *story) jobs() ([]batchv1.Job, error) {
	var list batchv1.JobList
	err := cluster.Admin.List(s.ctx, &list, client.InNamespace(s.namespace))
	return list.Items, err
}

// leftovers names Jobs, their pods, and the Secrets of attempts and handoffs.
func (s *story) leftovers() ([]string, error) {
	jobs, err := s.jobs()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, j := range jobs {
		left = append(left, "Job "+j.Name)
	}
	var pods corev1.PodList
	if err := cluster.Admin.List(s.ctx, &pods, client.InNamespace(s.namespace), client.MatchingLabels{job.LabelComponent: job.ComponentRenewal}); err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		left = append(left, "Pod "+pod.Name)
	}
	var secrets corev1.SecretList
	if err := cluster.Admin.List(s.ctx, &secrets, client.InNamespace(s.namespace)); err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		if slices.Contains([]corev1.SecretType{job.AttemptType, job.HandoffType}, secret.Type) {
			left = append(left, "Secret "+secret.Name)
		}
	}
	return left, nil
}

// renewalPods are the pods that renewals had, as they were seen last.
func (s *story) renewalPods() []corev1.Pod {
	s.t.Helper()
	moments, err := s.history.Moments()
	s.Expect(err).NotTo(HaveOccurred())
	seen := world.Moment{}
	for _, m := range moments {
		for uid, pod := range m {
			if pod.Labels[job.LabelComponent] == job.ComponentRenewal {
				seen[uid] = pod
			}
		}
	}
	var pods []corev1.Pod
	for _, pod := range seen {
		pods = append(pods, pod)
	}
	return pods
}

// status explains what a wait was in vain for.
func (s *story) status() string {
	return kubectl(s.t, "get", "flexregistration,deployment,pods,jobs", "-n", s.namespace, "-o", "wide")
}

// explain keeps, of a story that has failed, what the cluster says about it.
func (s *story) explain() {
	directory := os.Getenv("E2E_LOG_DIR")
	if !s.t.Failed() || directory == "" {
		return
	}
	var said string
	for _, args := range [][]string{
		{"describe", "flexregistration,deployment,pods,jobs", "-n", s.namespace},
		{"events", "-n", s.namespace},
		{"logs", "-n", s.namespace, "-l", job.LabelComponent + "=" + job.ComponentRenewal, "--all-containers", "--prefix", "--tail=-1", "--ignore-errors"},
		{"logs", "-n", world.OperatorNamespace, "-l", "app.kubernetes.io/name=" + world.OperatorName, "--prefix", "--tail=-1"},
	} {
		out, err := cluster.RunKubectl(context.Background(), args...)
		said += fmt.Sprintf("$ kubectl %v\n%s", args, out)
		if err != nil {
			said += err.Error() + "\n"
		}
	}
	path := filepath.Join(directory, strings.ReplaceAll(s.t.Name(), "/", "_")+".txt")
	if err := os.WriteFile(path, []byte(said), 0o600); err != nil {
		s.t.Error("keep what the cluster says:", err)
		return
	}
	s.t.Log("what the cluster says about it is in", path)
}
