//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/world"
)

// New pods that don't work are told as a rollout that failed, whatever Kubernetes says of it, and old ones that are left go
// on serving. When the cause is gone, the rollout comes to its end.
func TestRolloutsThatFail(t *testing.T) {
	simulate := func(failure string) func(*corev1.Container) {
		return func(c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "FLEX_GATEWAY_SIMULATE", Value: failure})
			c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}
	}
	unprobed := func(c *corev1.Container) { c.ReadinessProbe = nil }
	for name, c := range map[string]struct {
		change  []func(*corev1.Container)
		says    []string
		serving bool
	}{
		"crashes at once, without a readiness probe": {[]func(*corev1.Container){simulate("crash"), unprobed}, []string{"do not stay up", "exit code 1", "the gateway crashes"}, false},
		"crashes after 20 seconds":                   {[]func(*corev1.Container){simulate("crash-after=20s")}, []string{"do not stay up", "exit code 1", "the gateway crashes"}, false},
		"never becomes ready":                        {[]func(*corev1.Container){simulate("never-ready")}, []string{"do not become available", "is not ready (ContainersNotReady)"}, true},
		"can't be pulled":                            {[]func(*corev1.Container){func(c *corev1.Container) { c.Image = "localhost/nowhere/flex-gateway:1" }}, []string{"do not become available", "localhost/nowhere/flex-gateway:1", "ImagePull"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 1, Remaining: 2 * day})
			t.Cleanup(func() {
				s.Expect(client.IgnoreNotFound(cluster.Admin.Delete(context.Background(), s.fr))).To(Succeed())
			})
			d := s.deployment()
			good := d.Spec.Template.Spec.Containers[0]
			s.servesWith(1, s.gateway.NotAfter)

			s.editGateway(func(d *appsv1.Deployment) {
				d.Spec.Paused, d.Spec.ProgressDeadlineSeconds = true, ptr.To[int32](15)
			})
			s.fr.Spec.Rollout.Settle = nil
			s.create(s.fr)
			s.Eventually(s.condition(v1alpha1.ConditionReady)).Should(Equal("False/RolloutFailed"), s.status) // since it is paused
			s.editGateway(func(d *appsv1.Deployment) {
				d.Spec.Paused = false
				for _, change := range c.change {
					change(&d.Spec.Template.Spec.Containers[0])
				}
			})

			s.Eventually(func(g Gomega) {
				s.condition(v1alpha1.ConditionReady)(g)
				for _, part := range c.says {
					g.Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring(part))
				}
			}).WithTimeout(2*time.Minute).Should(Succeed(), s.status)
			s.Expect(s.condition(v1alpha1.ConditionRolledOut)(s)).To(Equal("False/RolloutFailed"))
			s.Expect(s.registration().Certificate().Fingerprint).NotTo(Equal(s.gateway.Fingerprint), "the renewed registration stays")
			if c.serving {
				connected, err := s.connected()
				s.Expect(err).NotTo(HaveOccurred())
				s.Expect(connected).To(ContainElement(BeTemporally("==", s.gateway.NotAfter)), "the old pod goes on serving")
				s.Expect(s.deployment().Status.AvailableReplicas).To(BeEquivalentTo(1))
			}
			s.tellsNothing(s.gateway.File)

			s.editGateway(func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0] = good })
			s.change(func(fr *v1alpha1.FlexRegistration) {
				fr.Spec.Rollout.Settle = &metav1.Duration{Duration: 3 * time.Second}
			})
			certificate := s.renewed()
			s.servesWith(1, certificate.NotAfter)
		})
	}
}

// deployment reads the gateway's.
func (s *story) deployment() *appsv1.Deployment {
	s.t.Helper()
	d := &appsv1.Deployment{}
	s.Expect(cluster.Admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.GatewayName}, d)).To(Succeed())
	return d
}

// editGateway changes the gateway's Deployment.
func (s *story) editGateway(change func(*appsv1.Deployment)) {
	s.t.Helper()
	s.Eventually(func() error {
		d := s.deployment()
		change(d)
		return cluster.Admin.Update(s.ctx, d)
	}).Should(Succeed())
}
