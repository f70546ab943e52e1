//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/world"
)

// A gateway of a version whose flexctl can't renew is renewed by a newer image of the same repository, without being upgraded.
func TestOldFlexctl(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.OldGatewayImage, Replicas: 1, Remaining: 10 * day})
	s.create(s.fr)
	s.Eventually(s.condition(v1alpha1.ConditionReady)).Should(Equal("False/FlexctlTooOld"), s.status)
	s.Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("spec.flexctl.image"), ContainSubstring("unknown command")))

	jobs, err := s.jobs()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(jobs).To(HaveLen(1), "the failed Job stays for its logs")
	logs := kubectl(t, "logs", "-n", s.namespace, "job/"+jobs[0].Name, "-c", "flexctl")
	s.Expect(logs).To(And(ContainSubstring("FlexctlTooOld"), ContainSubstring("unknown command")))
	s.Eventually(s.jobs).Should(ConsistOf(HaveField("Status.Conditions", ContainElement(HaveField("Type", batchv1.JobFailed)))))

	s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Flexctl.Image = cluster.Image(world.GatewayImage) })
	s.servesWith(1, s.renewed().NotAfter)
	pods, err := s.gatewayPods()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(pods).To(ConsistOf(HaveField("Spec.Containers", ConsistOf(HaveField("Image", cluster.Image(world.OldGatewayImage))))))
}

// An image that can't be pulled is told by its name.
func TestMissingFlexctlImage(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 1, Remaining: 10 * day})
	missing := cluster.Image(world.MissingGatewayImage)
	s.fr.Spec.Flexctl.Image = missing
	s.create(s.fr)
	s.Eventually(func(g Gomega) string {
		g.Expect(s.condition(v1alpha1.ConditionRenewed)(g)).To(Equal("False/JobPending"))
		return s.message(v1alpha1.ConditionReady)
	}).Should(And(ContainSubstring(missing), ContainSubstring("ImagePull")), s.status)
	s.Expect(platform.Renewals(s.ctx, s.gateway.AgentID)).To(BeEmpty())
	s.Expect(s.registration().Certificate().Fingerprint).To(Equal(s.gateway.Fingerprint))
}
