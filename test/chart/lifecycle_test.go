package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	gateways "github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const crd = "customresourcedefinition/flexregistrations.gateway.flexops.dev"

// testLifecycle upgrades the resource definition, takes the operator away and brings it back, and at last removes everything, as
// docs/installation.md says.
func (s *suite) testLifecycle(t *testing.T) {
	s = s.in(t)
	for _, program := range []string{"helm3", "helm4"} {
		output, err := helm(t, program, s.cluster.Kubeconfig, "install", "flex-registration-operator", chart, "--dry-run=server")
		s.Expect(err).To(HaveOccurred(), "somebody else has made the resource definition")
		s.Expect(output).To(ContainSubstring("invalid ownership metadata"))
	}

	// An older version, whose definition did not have a column yet.
	old := t.TempDir()
	s.Expect(os.CopyFS(old, os.DirFS(chart))).To(Succeed())
	definition := filepath.Join(old, "files", "crd.yaml")
	content, err := os.ReadFile(definition)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(content)).To(ContainSubstring("    - flexreg\n"))
	s.Expect(os.WriteFile(definition, []byte(strings.ReplaceAll(string(content), "    - flexreg\n", "    - oldflexreg\n")), 0o600)).To(Succeed())
	r := s.installFrom(old, "helm3", "lifecycle", map[string]any{"namespaces": []string{"lived"}}, "--take-ownership")
	s.Expect(s.kubectl("get", crd, "-o", "jsonpath={.spec.names.shortNames}")).To(Equal(`["oldflexreg"]`))
	r.apply(chart, "upgrade")
	s.Expect(s.kubectl("get", crd, "-o", "jsonpath={.spec.names.shortNames}")).To(Equal(`["flexreg"]`))

	stop := r.run()
	g := s.newGateway("lived", nil)
	g.register()
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 1 renewals")
	stop()

	// Without the operator, nothing is lost; with it again, it goes on.
	s.helm(r.helm, "uninstall", r.name, "--namespace="+r.name, "--wait")
	s.Expect(g.state(v1alpha1.ConditionReady)).To(HavePrefix("True/Scheduled after 1 renewals"))
	record := client.ObjectKey{Namespace: g.namespace, Name: gateways.RecordName(operator.SecretName, "registration.yaml")}
	s.Expect(s.admin.Get(t.Context(), record, &corev1.Secret{})).To(Succeed())
	r.helm = "helm4"
	r.apply(chart, "install")
	stop = r.run()
	g.ask("again")
	g.eventually(v1alpha1.ConditionReady, "True/Scheduled after 2 renewals")

	// What people may do, who may view or edit.
	for _, role := range []string{"view", "edit", "admin"} {
		s.kubectl("create", "rolebinding", role, "-n", g.namespace, "--clusterrole="+role, "--user="+role)
		s.Eventually(s.may(role, g.namespace, "list", "flexregistrations.gateway.flexops.dev")).Should(Equal("yes"))
		s.Expect(s.may(role, g.namespace, "create", "flexregistrations.gateway.flexops.dev")()).To(Equal("no"))
	}
	s.Expect(s.may("view", g.namespace, "get", "secrets/"+record.Name)()).To(Equal("no"))
	s.kubectl("create", "rolebinding", "editor", "-n", g.namespace, "--clusterrole="+r.name+"-editor", "--user=editor")
	s.Eventually(s.may("editor", g.namespace, "create", "flexregistrations.gateway.flexops.dev")).Should(Equal("yes"))
	s.Expect(s.may("editor", g.namespace, "patch", "flexregistrations.gateway.flexops.dev", "--subresource=status")()).To(Equal("no"))
	s.Expect(s.may("editor", g.namespace, "get", "secrets/"+record.Name)()).To(Equal("no"))

	// In this order nothing is left.
	s.kubectl("delete", "flexregistrations", "--all", "--all-namespaces", "--wait")
	s.Eventually(func() bool {
		err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: g.namespace, Name: "flexreg-handoff-" + operator.GatewayName}, &rbacv1.Role{})
		return apierrors.IsNotFound(err)
	}).Should(BeTrue(), "what the operator has made for the FlexRegistration goes with it")
	stop()
	s.helm(r.helm, "uninstall", r.name, "--namespace="+r.name, "--wait")
	s.kubectl("delete", crd)
	s.kubectl("delete", "secrets", "--all-namespaces", "--field-selector=type=gateway.flexops.dev/record")
	s.Expect(s.kubectl("get", "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,deployments,services,poddisruptionbudgets,"+crd[:24]+"s",
		"--all-namespaces", "-l", "app.kubernetes.io/instance="+r.name)).To(ContainSubstring("No resources found"))
	s.Expect(s.kubectl("get", "secrets,serviceaccounts,roles,rolebindings", "-n", g.namespace, "-o", "name")).NotTo(ContainSubstring("flexreg-"))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: operator.SecretName}}
	s.Expect(s.admin.Get(t.Context(), client.ObjectKeyFromObject(secret), secret)).To(Succeed(), "the gateway's own Secret")
}

// may asks whether a user may do something in a namespace: yes or no.
func (s *suite) may(user, namespace, verb, what string, more ...string) func() string {
	return func() string {
		s.Helper()
		// It ends with 1 where the answer is no.
		return strings.TrimSpace(s.commandOutput(s.cluster.Kubectl, append(more, "--kubeconfig="+s.cluster.Kubeconfig, "auth", "can-i", verb, what, "-n", namespace, "--as="+user)...))
	}
}
