package chart

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	gateways "github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// noCluster is what an operator without rights on all namespaces asks for in vain.
const noCluster = "get namespaces/kube-system"

// TestSizes renews with the rights of each size, and uses all of them.
func TestSizes(t *testing.T) {
	s := start(t)
	for _, name := range []string{"everywhere", "listed", "listed-too", "not-listed", "named", "published", "prepared", "observed", "shared", "lived"} {
		s.Expect(s.admin.Create(t.Context(), operator.Namespace(name))).To(Succeed())
	}
	t.Run("flags", s.testFlags)
	t.Run("cluster", s.testCluster)
	t.Run("namespaces", s.testNamespaces)
	t.Run("secrets", s.testSecrets)
	t.Run("handoff made beforehand", s.testHandoff)
	t.Run("observe-only", s.testObserveOnly)
	t.Run("shards", s.testShards)
	t.Run("lifecycle", s.testLifecycle)
}

func (s *suite) testFlags(t *testing.T) {
	s = s.in(t)
	for arguments, complaint := range map[string]string{
		"--renewer=exec --secrets=ingress":                   `--secrets: "ingress": write NAMESPACE/NAME`,
		"--renewer=exec --secrets=gateway/a/b":               "write NAMESPACE/NAME",
		"--renewer=exec --secrets=a/b --namespaces=a":        "leave out --namespaces",
		"--renewer=job --job-image=operator --secrets=a/b":   "is for --renewer=exec or --observe-only",
		"--observe-only --leader-elect=true --secrets=a/b":   "run one replica",
		"--renewer=exec --metrics-secure --metrics-cert-dir": "flag needs an argument",
	} {
		output, err := exec.CommandContext(t.Context(), s.manager, strings.Fields(arguments)...).CombinedOutput()
		s.Expect(err).To(HaveOccurred(), arguments)
		s.Expect(string(output)).To(ContainSubstring(complaint), arguments)
	}
}

func (s *suite) testCluster(t *testing.T) {
	s = s.in(t)
	r := s.install("helm3", "cluster", map[string]any{"scope": "cluster"})
	r.run()
	g := s.newGateway("everywhere", nil)
	r.renewInJobs(g)
	r.seeMetrics()
	r.expectUse()
}

func (s *suite) testNamespaces(t *testing.T) {
	s = s.in(t)
	r := s.install("helm4", "namespaces", map[string]any{"namespaces": []string{"listed", "listed-too"}})
	stop := r.run()
	elsewhere := s.newGateway("not-listed", nil)
	elsewhere.register()
	listed, too := s.newGateway("listed", nil), s.newGateway("listed-too", nil)
	r.renewInJobs(listed, too)
	r.seeMetrics()
	s.Expect(elsewhere.state(v1alpha1.ConditionReady)).To(BeEmpty(), "a namespace that is not listed")
	r.expectUse(noCluster)

	// Take a single right away: the operator says which, and goes on once it is there again.
	role := &rbacv1.Role{}
	s.Expect(s.admin.Get(t.Context(), client.ObjectKey{Namespace: "listed", Name: r.name}, role)).To(Succeed())
	all := role.DeepCopy().Rules
	for i := range role.Rules {
		if role.Rules[i].Resources[0] == "deployments" {
			role.Rules[i].Verbs = []string{"get", "list", "watch"}
		}
	}
	s.Expect(s.admin.Update(t.Context(), role)).To(Succeed())
	listed.ask("thrice")
	listed.eventually(v1alpha1.ConditionReady, "False/Forbidden after 3 renewals: ")
	s.Expect(listed.state(v1alpha1.ConditionReady)).To(ContainSubstring(`cannot patch resource "deployments" in API group "apps" in the namespace "listed"`))
	role.Rules = all
	s.Expect(s.admin.Update(t.Context(), role)).To(Succeed())
	listed.eventually(v1alpha1.ConditionReady, "True/Scheduled after 3 renewals")
	stop()
}

func (s *suite) testSecrets(t *testing.T) {
	s = s.in(t)
	g, published := s.newGateway("named", nil), s.newGateway("published", nil)
	// Others' Secrets.
	s.Expect(s.admin.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "named", Name: "database"}})).To(Succeed())
	publication := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "published", Name: "renewed", Labels: map[string]string{"gateway.flexops.dev/component": "publication"}}}
	s.Expect(s.admin.Create(t.Context(), publication)).To(Succeed())
	r := s.install("helm4", "secrets", map[string]any{
		"scope": "secrets", "renewer": "exec",
		"gateways": []any{
			map[string]any{"namespace": "named", "secret": operator.SecretName, "credentials": operator.CredentialsName},
			map[string]any{"namespace": "published", "secret": operator.SecretName, "credentials": operator.CredentialsName, "publication": publication.Name},
		},
	})
	r.run()
	g.register()
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
	g.ask("again")
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 2 renewals")

	// Where somebody else carries the renewed registration to the gateway, the operator may not write it there.
	published.register(func(spec *v1alpha1.FlexRegistrationSpec) {
		spec.Publish = v1alpha1.PublishSpec{Policy: v1alpha1.PublishExternal, SecretRef: &v1alpha1.SecretKeyReference{Name: publication.Name}}
	})
	s.Eventually(func() (map[string][]byte, error) {
		err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(publication), publication)
		return publication.Data, err
	}).Should(HaveKey("registration.yaml"))
	secret := &corev1.Secret{}
	s.Expect(s.admin.Get(t.Context(), client.ObjectKey{Namespace: "published", Name: operator.SecretName}, secret)).To(Succeed())
	secret.Data["registration.yaml"] = publication.Data["registration.yaml"]
	s.Expect(s.admin.Update(t.Context(), secret)).To(Succeed())
	published.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
	r.seeMetrics()
	r.expectUse(noCluster)

	// Nothing else of the namespace is to be had.
	for verb, what := range map[string]string{"get": "secrets/database", "list": "secrets", "watch": "secrets", "create": "secrets", "delete": "secrets/" + operator.SecretName} {
		s.Expect(s.may(r.user(), "named", verb, what)()).To(Equal("no"), verb+" "+what)
	}

	// What is put back is noticed at once: each Secret is watched.
	s.kubectl("delete", "secret", operator.CredentialsName, "-n", "named")
	g.eventually(v1alpha1.ConditionReady, "False/CredentialsNotFound")
	s.Expect(s.admin.Create(t.Context(), operator.CredentialsSecret("named", s.appID, s.appSecret))).To(Succeed())
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled")

	// The records that the chart has made are the operator's, whatever becomes of the release.
	record := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "named", Name: gateways.RecordName(operator.SecretName, "registration.yaml")}}
	s.Expect(s.admin.Get(t.Context(), client.ObjectKeyFromObject(record), record)).To(Succeed())
	s.Expect(record.Data).NotTo(BeEmpty())
	r.apply(chart, "upgrade")
	r.apply(chart, "upgrade", "--force-replace", "--server-side=false")
	s.helm(r.helm, "uninstall", r.name, "--namespace="+r.name, "--wait")
	after := record.DeepCopy()
	s.Expect(s.admin.Get(t.Context(), client.ObjectKeyFromObject(record), after)).To(Succeed())
	s.Expect(after.Data).To(Equal(record.Data))
}

// testHandoff renews in a Job with what an administrator has made, as docs/flexctl.md says, and without the right to make it.
func (s *suite) testHandoff(t *testing.T) {
	s = s.in(t)
	g := s.newGateway("prepared", nil)
	handoff := "flexreg-handoff-" + operator.GatewayName
	s.kubectl("create", "serviceaccount", handoff, "-n", g.namespace)
	s.kubectl("create", "role", handoff, "-n", g.namespace, "--verb=update", "--resource=secrets", "--resource-name="+handoff)
	s.kubectl("create", "rolebinding", handoff, "-n", g.namespace, "--role="+handoff, "--serviceaccount="+g.namespace+":"+handoff)
	r := s.install("helm4", "handoff", map[string]any{"namespaces": []string{g.namespace}, "manageHandoffRBAC": false})
	r.run()
	g.register()
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
	for _, resource := range []string{"serviceaccounts", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"} {
		s.Expect(s.may(r.user(), g.namespace, "create", resource)()).To(Equal("no"), resource)
	}
}

// testObserveOnly watches what an operator with more rights has begun.
func (s *suite) testObserveOnly(t *testing.T) {
	s = s.in(t)
	g := s.newGateway("observed", nil)
	r := s.install("helm4", "observe-only", map[string]any{"namespaces": []string{"observed"}, "renewer": "exec"})
	stop := r.run()
	g.register()
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
	// A rollout that doesn't end, and whose mark somebody takes away.
	g.kubectl("patch", "deployment", operator.GatewayName, "-n", g.namespace, "--type=merge", "-p", `{"spec":{"template":{"metadata":{"annotations":{"`+controlplane.PodAnnotation+`":"`+controlplane.PodNotReady+`"}}}}}`)
	g.ask("again")
	g.eventually(v1alpha1.ConditionReady, "True/RollingOut after 2 renewals")
	stop()

	r.values["observeOnly"], r.since = true, time.Now()
	r.apply(chart, "upgrade")
	g.kubectl("patch", "deployment", operator.GatewayName, "-n", g.namespace, "--type=merge", "-p", `{"spec":{"template":{"metadata":{"annotations":{"`+v1alpha1.AnnotationRegistration+`":null}}}}}`)
	r.run()
	g.eventually(v1alpha1.ConditionReady, "True/Observing after 2 renewals")
	r.seeMetrics()
	r.expectUse(noCluster)
	s.Expect(s.platform.Renewals(g.AgentID)).To(HaveLen(2))
}

// renewInJobs has gateways renewed twice, the first time by pods that come up late.
func (r *release) renewInJobs(gateways ...*gateway) {
	r.Helper()
	release := r.pods.hold()
	defer release()
	for _, g := range gateways {
		g.register()
	}
	for _, g := range gateways {
		r.Eventually(r.asked("list", "events", g.namespace)).Should(BeTrue())
	}
	release()
	for _, g := range gateways {
		g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
		g.ask("again")
	}
	for _, g := range gateways {
		g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 2 renewals")
		r.Eventually(r.asked("list", "resourcequotas", g.namespace)).Should(BeTrue(), "a rehearsal")
	}
}

// seeMetrics scrapes metrics as somebody who may and as others, and returns them.
func (r *release) seeMetrics() (metrics string) {
	r.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: "prometheus-" + r.name}}
	r.Expect(r.admin.Create(r.Context(), account)).To(Succeed())
	token := r.token(account.Namespace, account.Name)
	r.Expect(r.scrape("")).To(HavePrefix("401"))
	r.Expect(r.scrape("forged")).NotTo(Or(HavePrefix("200"), BeEmpty()))
	r.Expect(r.scrape(r.token(r.namespace, "default"))).To(HavePrefix("403"))
	r.kubectl("create", "clusterrolebinding", account.Name, "--clusterrole="+r.name+"-metrics-reader", "--serviceaccount="+r.namespace+":"+account.Name)
	r.Eventually(func() (_ string, err error) {
		metrics, err = r.scrape(token)
		return metrics, err
	}).Should(And(HavePrefix("200"), ContainSubstring("flexregistration_condition")))
	return metrics
}
