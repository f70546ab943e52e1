//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/world"
)

// When the operator's leader is killed while a Job renews, another replica takes the Job's result.
func TestTakeover(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 1, Remaining: 10 * day})
	// Long enough for what happens until the leader is dead; then the renewal goes on.
	s.Expect(platform.Inject(s.ctx, simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Slow, Latency: 20 * time.Second})).To(Succeed())
	s.create(s.fr)
	s.Eventually(s.flexctlRuns).Should(BeTrue(), s.status)

	dead := s.leader()
	s.kill(dead)
	s.Expect(platform.Renewals(s.ctx, s.gateway.AgentID)).To(BeEmpty(), "renewals while the leader lived")
	s.freeLease(dead)
	s.Eventually(s.leader).ShouldNot(Or(Equal(dead), BeEmpty()))

	s.servesWith(1, s.renewed().NotAfter)
	s.Expect(s.renewalPods()).To(HaveLen(1))
}

func (s *story) flexctlRuns() bool {
	return slices.ContainsFunc(s.renewalPods(), func(pod corev1.Pod) bool {
		return slices.ContainsFunc(pod.Status.InitContainerStatuses, func(c corev1.ContainerStatus) bool {
			return c.Name == "flexctl" && c.State.Running != nil
		})
	})
}

// leader is the identity that holds the operator's lease, "" if nobody does.
func (s *story) leader() string {
	s.t.Helper()
	lease := &coordinationv1.Lease{}
	err := cluster.Admin.Get(s.ctx, leaseKey, lease)
	s.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

var leaseKey = client.ObjectKey{Namespace: world.OperatorNamespace, Name: world.OperatorName}

// kill kills the operator that has an identity, without a word to it where the node is the tests' own, and removes its pod
// by force.
func (s *story) kill(identity string) {
	s.t.Helper()
	name, _, _ := strings.Cut(identity, "_")
	pod := &corev1.Pod{}
	s.Expect(cluster.Admin.Get(s.ctx, client.ObjectKey{Namespace: world.OperatorNamespace, Name: name}, pod)).To(Succeed())
	if cluster.Node != nil {
		s.Expect(cluster.Node.Kill(s.ctx, pod.Status.ContainerStatuses[0].ContainerID)).To(Succeed())
	}
	s.Expect(cluster.Admin.Delete(s.ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
}

// freeLease deletes the lease of an operator that is dead, as an administrator would who doesn't want to wait for the five
// minutes after which others take it. One that was only asked to stop may have released it.
func (s *story) freeLease(dead string) {
	s.t.Helper()
	lease := &coordinationv1.Lease{}
	s.Expect(cluster.Admin.Get(s.ctx, leaseKey, lease)).To(Succeed())
	if ptr.Deref(lease.Spec.HolderIdentity, "") != dead {
		return
	}
	precondition := client.Preconditions(metav1.Preconditions{ResourceVersion: &lease.ResourceVersion})
	err := cluster.Admin.Delete(s.ctx, lease, precondition)
	s.Expect(err == nil || apierrors.IsConflict(err)).To(BeTrue(), "delete the lease: %v", err)
}
