//go:build e2e

package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/world"
)

// The platform lists the real replicas: those that nobody has restarted are named, and once they were it is proven that all
// present the new certificate. Before that, the renewal was rehearsed in a namespace that enforces restricted Pod Security.
func TestWhatAnypointSays(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 2, Remaining: 300 * day})
	s.Eventually(s.connected).Should(HaveLen(2))
	s.fr.Spec.Rollout.Policy = v1alpha1.RolloutNever
	s.create(s.fr)
	s.Eventually(s.condition(v1alpha1.ConditionCredentialsValid)).Should(Equal("True/Accepted"), s.status)
	s.Eventually(s.condition(v1alpha1.ConditionRehearsed)).Should(Equal("True/Passed"), s.status)
	s.Eventually(s.condition(v1alpha1.ConditionPlatformVerified)).Should(Equal("True/Verified"), s.status)
	s.Expect(s.jobs()).To(BeEmpty(), "a rehearsal makes nothing")

	s.change(func(fr *v1alpha1.FlexRegistration) {
		metav1.SetMetaDataAnnotation(&fr.ObjectMeta, v1alpha1.AnnotationRenew, "now")
	})
	s.Eventually(s.condition(v1alpha1.ConditionPlatformVerified)).Should(Equal("False/ReplicasOutdated"), s.status)
	old, err := s.gatewayPods()
	s.Expect(err).NotTo(HaveOccurred())
	for _, pod := range old {
		s.Expect(s.message(v1alpha1.ConditionPlatformVerified)).To(And(ContainSubstring("pods of this gateway"), ContainSubstring(pod.Name)))
	}

	_, err = cluster.RunKubectl(s.ctx, "rollout", "restart", "deployment/ingress", "-n", s.namespace)
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(s.condition(v1alpha1.ConditionPlatformVerified)).WithTimeout(3*time.Minute).Should(Equal("True/Verified"), s.status)
	s.tellsNothing(s.gateway.File)
}
