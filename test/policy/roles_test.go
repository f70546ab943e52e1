package policy

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// TestNoRoleOfOursIsAggregated reads all of config/: a ClusterRole that is aggregated to edit or admin hands what it
// allows to everybody who has these roles already.
func TestNoRoleOfOursIsAggregated(t *testing.T) {
	g := NewWithT(t)
	roles := 0
	err := filepath.WalkDir(filepath.Join("..", "..", "config"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, document := range bytes.Split(content, []byte("\n---\n")) {
			role := &rbacv1.ClusterRole{}
			if yaml.Unmarshal(document, &metav1.TypeMeta{}) != nil || yaml.Unmarshal(document, role) != nil || role.Kind != "ClusterRole" {
				continue
			}
			roles++
			for label, value := range role.Labels {
				if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") && value == "true" {
					g.Expect(slices.ContainsFunc(role.Rules, writes)).To(BeFalse(), "%s: ClusterRole %s has the label %s and writes our resources", path, role.Name, label)
				}
			}
		}
		return nil
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(roles).NotTo(BeZero(), "no ClusterRole was found, although the operator has one")
}

func writes(rule rbacv1.PolicyRule) bool {
	concerns := func(names []string, wanted ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n == "*" || slices.Contains(wanted, n) })
	}
	return concerns(rule.APIGroups, v1alpha1.GroupVersion.Group) && concerns(rule.Resources, "flexregistrations", "experiencehubconnections", "flexregistrations/status", "experiencehubconnections/status", "*/status") &&
		concerns(rule.Verbs, "create", "update", "patch", "delete", "deletecollection")
}

// TestEditorsWriteNoFlexRegistrations asks a cluster in which the operator is installed.
func TestEditorsWriteNoFlexRegistrations(t *testing.T) {
	s := start(t)
	s.Expect(s.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "flex-registration-operator"}})).To(Succeed())
	s.apply("rbac")
	// When this role has been aggregated, those that were made before it have been as well.
	s.Expect(s.admin.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "last", Labels: map[string]string{
			"rbac.authorization.k8s.io/aggregate-to-edit": "true", "rbac.authorization.k8s.io/aggregate-to-admin": "true", "rbac.authorization.k8s.io/aggregate-to-view": "true",
		}},
		Rules: []rbacv1.PolicyRule{rule("example.com", "last", "create")},
	})).To(Succeed())
	for _, role := range []string{"admin", "edit", "view"} {
		s.Expect(s.admin.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role}},
		})).To(Succeed())
		s.Eventually(func() (bool, error) {
			return s.may(role, nil, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: "example.com", Resource: "last"})
		}).Should(BeTrue())
		for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection"} {
			for _, subresource := range []string{"", "status"} {
				s.Expect(s.may(role, nil, authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: "flexregistrations", Subresource: subresource,
				})).To(BeFalse(), "%s may %s flexregistrations %s", role, verb, subresource)
			}
		}
	}
	s.Expect(s.client("edit").Create(t.Context(), flexRegistration("refused"))).To(MatchError(ContainSubstring(`User "edit" cannot create resource "flexregistrations"`)))
	s.Expect(client.IgnoreNotFound(s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "refused"}, &v1alpha1.FlexRegistration{}))).To(Succeed())
}
