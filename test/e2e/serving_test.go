//go:build e2e

package e2e

import (
	"maps"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/world"
)

// A gateway whose certificate is about to expire goes on serving while it is renewed and rolled.
func TestRenewalWhileServing(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 2, Remaining: 10 * day})
	s.servesWith(2, s.gateway.NotAfter)
	old, err := s.gatewayPods()
	s.Expect(err).NotTo(HaveOccurred())
	s.history, err = cluster.RecordPods(s.ctx, s.namespace)
	s.Expect(err).NotTo(HaveOccurred())

	s.create(s.fr)
	s.Eventually(func(g Gomega) string {
		connected, err := s.connected()
		g.Expect(err).NotTo(HaveOccurred())
		s.Expect(connected).NotTo(BeEmpty(), "replicas that the platform lists as connected, at any moment")
		return s.condition(v1alpha1.ConditionReady)(g)
	}).Should(Equal("True/Scheduled"), s.status)
	s.servesWith(2, s.renewed().NotAfter)
	s.neverStopped(old)
}

// neverStopped checks in all that has happened since that the gateway has always been served, and that of the old pods
// none was to go before as many new ones were ready.
func (s *story) neverStopped(old []corev1.Pod) {
	s.t.Helper()
	moments, err := s.history.Moments()
	s.Expect(err).NotTo(HaveOccurred())
	for _, m := range moments {
		s.Expect(m.Serving()).To(BeNumerically(">=", len(old)), "pods that serve: %s", m)
		staying, fresh := 0, maps.Clone(m)
		for _, pod := range old {
			if now, ok := m[pod.UID]; ok && now.DeletionTimestamp.IsZero() {
				staying++
			}
			delete(fresh, pod.UID)
		}
		s.Expect(fresh.Serving()).To(BeNumerically(">=", len(old)-staying), "new pods that serve, as old ones go: %s", m)
	}
	for _, pod := range old {
		s.Expect(moments[len(moments)-1]).NotTo(HaveKey(pod.UID), "an old pod")
	}
}
