//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/world"
)

// A gateway whose certificate has expired can't connect. Once it is to be renewed, it can.
func TestExpiredRegistration(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 2, Remaining: -time.Hour})
	s.refused(2)

	s.create(s.fr)
	certificate := s.renewed()
	s.Expect(certificate.NotAfter).To(BeTemporally(">", time.Now().Add(400*day)))

	s.servesWith(2, certificate.NotAfter)
	s.Expect(s.condition(v1alpha1.ConditionCertificateValid)(s)).To(HavePrefix("True/"))
	s.renewedByRestrictedPod()
	s.tellsNothing(s.gateway.File)
}

// refused waits until the platform has refused each replica: none is ready, none is connected, all run.
func (s *story) refused(replicas int) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		pods, err := s.gatewayPods()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods).To(HaveLen(replicas))
		for _, pod := range pods {
			logs, err := cluster.RunKubectl(s.ctx, "logs", "-n", s.namespace, pod.Name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(strings.Count(logs, "tries again")).To(BeNumerically(">", 1), logs)
			g.Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
			g.Expect(world.Ready(&pod)).To(BeFalse())
			g.Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
		}
	}).Should(Succeed(), s.status)
	s.Expect(platform.Replicas(s.ctx, s.gateway.AgentID)).To(BeEmpty())
}

// servesWith waits until the old pods have gone, and checks that the platform lists each of the others, and nobody else,
// as connected with a certificate of that date.
func (s *story) servesWith(replicas int, notAfter time.Time) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		pods, err := s.gatewayPods()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods).To(HaveLen(replicas))
		want := map[string]time.Time{}
		for _, pod := range pods {
			g.Expect(world.Ready(&pod)).To(BeTrue(), pod.Name)
			want[pod.Name+"."+pod.Namespace] = notAfter
		}
		connected, err := s.connected()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(connected).To(HaveLen(len(want)))
		for name, date := range want {
			g.Expect(connected).To(HaveKeyWithValue(name, BeTemporally("==", date)))
		}
	}).Should(Succeed(), s.status)
}
