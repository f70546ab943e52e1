package chart

import (
	"net/http"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// testShards has two releases in one namespace share the gateways of another. The audit log tells that no object is written by both.
func (s *suite) testShards(t *testing.T) {
	s = s.in(t)
	const namespace = "shared"
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gateways"}}, operator.CredentialsSecret(namespace, s.appID, s.appSecret),
	} {
		s.Expect(s.admin.Create(t.Context(), object)).To(Succeed())
	}
	agents := map[string]string{}
	for _, name := range []string{"a-1", "a-2", "b-1", "b-2", "nobodys"} {
		registered, err := s.platform.Register(name, 10*24*time.Hour)
		s.Expect(err).NotTo(HaveOccurred())
		agents[name] = registered.AgentID
		secret, deployment, fr := operator.RegistrationSecret(namespace, registered.File), operator.Deployment(namespace, name, name, 1), operator.FlexRegistration(namespace, name)
		secret.Name, deployment.Spec.Template.Spec.ServiceAccountName = name, "gateways"
		fr.Labels, fr.Spec.Rollout.Settle = map[string]string{"shard": name[:1]}, &metav1.Duration{Duration: time.Second}
		for _, object := range []client.Object{secret, deployment, fr} {
			s.Expect(s.admin.Create(t.Context(), object)).To(Succeed())
		}
	}
	const operators = "flex-registration-operators"
	s.prepare(operators)
	releases := map[string]*release{}
	for shard, program := range map[string]string{"a": "helm3", "b": "helm4"} {
		releases[shard] = s.installIn(operators, chart, program, "shard-"+shard, map[string]any{
			"namespaces": []string{namespace}, "selector": "shard in (" + shard + ", none)", "crd": map[string]any{"install": false},
		})
	}
	// One after the other: each has its own lease.
	for _, r := range releases {
		r.run()
	}
	status := func(name string) v1alpha1.FlexRegistrationStatus {
		fr := &v1alpha1.FlexRegistration{}
		s.Expect(s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, fr)).To(Succeed())
		return fr.Status
	}
	for name, agent := range agents {
		if name != "nobodys" {
			s.Eventually(func() []metav1.Condition { return status(name).Conditions }).Should(ContainElement(And(HaveField("Type", "Ready"), HaveField("Reason", "Scheduled"))), name)
			s.Expect(s.platform.Renewals(agent)).To(HaveLen(1), name)
		}
	}
	s.Expect(s.platform.Renewals(agents["nobodys"])).To(BeEmpty())
	s.Expect(status("nobodys")).To(Equal(v1alpha1.FlexRegistrationStatus{}))

	writers, other := map[string]string{}, map[string]string{"a": "b", "b": "a"}
	for shard, r := range releases {
		lease := &coordinationv1.Lease{}
		s.Expect(s.admin.Get(t.Context(), client.ObjectKey{Namespace: operators, Name: r.name}, lease)).To(Succeed())
		s.Expect(ptr.Deref(lease.Spec.HolderIdentity, "")).NotTo(BeEmpty())
		s.Expect(s.may(r.user(), operators, "update", "leases/"+releases[other[shard]].name)()).To(Equal("no"))

		requests, err := s.cluster.Requests(r.user(), r.since)
		s.Expect(err).NotTo(HaveOccurred())
		written := map[string]bool{}
		for _, q := range requests {
			review := q.Group == "authorization.k8s.io" || q.Group == "authentication.k8s.io"
			if q.Code == http.StatusForbidden {
				s.Expect(q.Verb+" "+q.Resource+"/"+q.Name).To(Equal(noCluster), "what it may not")
			}
			if review || q.Resource == "" || slices.Contains([]string{"get", "list", "watch"}, q.Verb) {
				continue
			}
			s.Expect(q.Name).NotTo(BeEmpty(), "%s %s", q.Verb, q.URI)
			object := q.Group + "/" + q.Resource + "/" + q.Namespace + "/" + q.Name
			written[object] = true
			s.Expect(writers[object]).To(Or(BeEmpty(), Equal(shard)), object+" is written by both")
			writers[object] = shard
		}
		for _, object := range []string{
			"coordination.k8s.io/leases/" + operators + "/" + r.name, "gateway.flexops.dev/flexregistrations/shared/" + shard + "-1", "apps/deployments/shared/" + shard + "-2", "/secrets/shared/" + shard + "-2",
		} {
			s.Expect(written).To(HaveKey(object))
		}
	}
	for shard, r := range releases {
		metrics := r.seeMetrics()
		s.Expect(metrics).To(ContainSubstring(`flexregistration_failed_attempts{name="` + shard + `-1",namespace="shared"} 0`))
		s.Expect(metrics).NotTo(Or(ContainSubstring(`name="`+other[shard]+`-1"`), ContainSubstring("flex_gateway_unmanaged{")), "others' FlexRegistrations")
	}
}
