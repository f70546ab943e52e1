//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/world"
)

// renewedByRestrictedPod checks that one pod has renewed, in a namespace that enforces restricted Pod Security, and that it
// has made one call that changes anything: the update of the handoff Secret.
func (s *story) renewedByRestrictedPod() {
	s.t.Helper()
	namespace := &corev1.Namespace{}
	s.Expect(cluster.Admin.Get(s.ctx, client.ObjectKey{Name: s.namespace}, namespace)).To(Succeed())
	s.Expect(namespace.Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))

	pods := s.renewalPods()
	s.Expect(pods).To(HaveLen(1))
	spec := pods[0].Spec
	account := job.HandoffName(s.fr.Name)
	s.Expect(spec.ServiceAccountName).To(Equal(account))
	s.Expect(ptr.Deref(spec.AutomountServiceAccountToken, true)).To(BeFalse())
	s.Expect(spec.SecurityContext.RunAsUser).To(HaveValue(BeEquivalentTo(65534)), "the gateway's user")
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
			if spec.Volumes[i].Projected != nil {
				s.Expect(c.Image).To(Equal(cluster.Image(world.OperatorImage)), "what runs in container %s, which has a token", c.Name)
			}
		}
	}
	if cluster.ControlPlane == nil {
		return // there is no audit log to read
	}
	requests, err := cluster.ControlPlane.Requests("system:serviceaccount:"+s.namespace+":"+account, s.began)
	s.Expect(err).NotTo(HaveOccurred())
	for _, r := range requests {
		s.Expect([]string{r.Verb, r.Resource, r.Namespace, r.Name}).To(Equal([]string{"update", "secrets", s.namespace, account}))
	}
	writes := slices.DeleteFunc(requests, func(r controlplane.Request) bool {
		return r.Code != http.StatusOK || strings.Contains(r.URI, "dryRun=All")
	})
	s.Expect(writes).To(HaveLen(1))
}
