// Package policy tests what config/ lets users do: the admission policy of config/policy, and the roles.
package policy

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	namespace  = "gateway"
	policyName = "flexregistration-references.gateway.flexops.dev"
)

// suite is a control plane with the policy.
type suite struct {
	Gomega
	*testing.T
	cluster *controlplane.ControlPlane
	admin   client.Client
	authors *atomic.Int32 // made so far
}

func start(t *testing.T) *suite {
	s := &suite{T: t, Gomega: newGomega(t), authors: &atomic.Int32{}}
	s.cluster, _ = operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(filepath.Join("..", ".."))})
	s.admin = s.client("admin", "system:masters")
	for _, name := range []string{namespace, "elsewhere"} {
		s.Expect(s.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	return s
}

// in returns the suite for a subtest.
func (s *suite) in(t *testing.T) *suite {
	sub := *s
	sub.T, sub.Gomega = t, newGomega(t)
	return &sub
}

func newGomega(t *testing.T) Gomega {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(20 * time.Second)
	g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	return g
}

func (s *suite) client(user string, groups ...string) client.Client {
	s.Helper()
	scheme := runtime.NewScheme()
	s.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	s.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	config, err := s.cluster.User(user, groups...)
	s.Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())
	return c
}

func (s *suite) apply(directory string) {
	s.Helper()
	command := exec.CommandContext(s.Context(), s.cluster.Kubectl, "--kubeconfig="+s.cluster.Kubeconfig, "apply", "-k", filepath.Join("..", "..", "config", directory))
	output, err := command.CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), string(output))
}

// grant gives rights in a namespace, and returns when the API server knows of them.
func (s *suite) grant(in, user string, rules ...rbacv1.PolicyRule) {
	s.Helper()
	name := "of-" + user
	s.Expect(s.admin.Create(s.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, Rules: rules})).To(Succeed())
	s.Expect(s.admin.Create(s.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})).To(Succeed())
	for _, rule := range rules {
		attributes := authorizationv1.ResourceAttributes{Namespace: in, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0]}
		if len(rule.ResourceNames) > 0 {
			attributes.Name = rule.ResourceNames[0]
		}
		s.Eventually(func() (bool, error) { return s.may(user, nil, attributes) }).Should(BeTrue())
	}
}

func (s *suite) may(user string, groups []string, attributes authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, Groups: groups, ResourceAttributes: &attributes}}
	err := s.admin.Create(s.Context(), review)
	return review.Status.Allowed, err
}

// newAuthor returns a user who may write FlexRegistrations, and has the rules besides.
func (s *suite) newAuthor(rules ...rbacv1.PolicyRule) (string, client.Client) {
	s.Helper()
	user := fmt.Sprintf("author-%d", s.authors.Add(1))
	s.grant(namespace, user, append(rules, writeFlexRegistrations)...)
	return user, s.client(user)
}

var writeFlexRegistrations = rule(v1alpha1.GroupVersion.Group, "flexregistrations", "create", "get", "update", "patch", "delete")

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

func getSecrets(names ...string) rbacv1.PolicyRule {
	r := rule("", "secrets", "get")
	r.ResourceNames = names
	return r
}

func patchDeployments(names ...string) rbacv1.PolicyRule {
	r := rule("apps", "deployments", "patch")
	r.ResourceNames = names
	return r
}

// flexRegistration names everything.
func flexRegistration(name string) *v1alpha1.FlexRegistration {
	return &v1alpha1.FlexRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.FlexRegistrationSpec{
			TargetRef:      &v1alpha1.TargetReference{Name: "ingress"},
			SecretRef:      &v1alpha1.SecretKeyReference{Name: "ingress-registration"},
			CredentialsRef: v1alpha1.LocalReference{Name: "anypoint"},
		},
	}
}

// What the policy's message says is missing, and what to do about it.
const (
	remedy         = "have it granted with a Role, or have somebody who has it write this"
	noCredentials  = "get Secret anypoint, which spec.credentialsRef names; " + remedy
	noRegistration = "get Secret ingress-registration, which spec.secretRef names; " + remedy
	noSecrets      = "get all Secrets; set spec.secretRef, and the right to get that one is enough, or " + remedy
	noTarget       = "patch Deployment ingress, which spec.targetRef names; " + remedy
	noPublication  = "create Secrets, and to update renewed, which spec.publish.secretRef names; " + remedy
	noDeployments  = "patch all Deployments; set spec.targetRef, and the right to patch that one is enough, or " + remedy
)

// expect checks that a request of a user was refused because of the missing right, or let through if there is none.
func (s *suite) expect(err error, user, missing string) {
	s.Helper()
	if missing == "" {
		s.Expect(err).NotTo(HaveOccurred())
		return
	}
	s.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	s.Expect(err.Error()).To(HaveSuffix("the operator would act for you, and in namespace gateway " + user + " lacks the right to " + missing))
}

func TestPolicy(t *testing.T) {
	s := start(t)
	s.apply("policy")
	// The API server takes a moment until it asks the policy.
	_, nobody := s.newAuthor()
	s.Eventually(func() error {
		return nobody.Create(t.Context(), flexRegistration("probe"), client.DryRunAll)
	}).Should(MatchError(ContainSubstring(policyName)))

	t.Run("it compiles against the resource's schema", func(t *testing.T) {
		s := s.in(t)
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		s.Eventually(func() (int64, error) {
			err := s.admin.Get(t.Context(), client.ObjectKey{Name: policyName}, policy)
			return policy.Status.ObservedGeneration, err
		}).Should(Equal(int64(1)))
		s.Expect(policy.Status.TypeChecking.ExpressionWarnings).To(BeEmpty())
	})
	t.Run("create", s.testCreate)
	t.Run("update", s.testUpdate)
	t.Run("others", s.testOthers)
	t.Run("API Experience Hub", s.testExperienceHub)
}

func (s *suite) testCreate(t *testing.T) {
	noSecretRef := func(fr *v1alpha1.FlexRegistration) { fr.Spec.SecretRef = nil }
	noTargetRef := func(fr *v1alpha1.FlexRegistration) { fr.Spec.TargetRef = nil }
	never := func(fr *v1alpha1.FlexRegistration) { fr.Spec.Rollout.Policy = v1alpha1.RolloutNever }
	suspended := func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true }
	published := func(fr *v1alpha1.FlexRegistration) {
		fr.Spec.Publish = v1alpha1.PublishSpec{Policy: v1alpha1.PublishExternal, SecretRef: &v1alpha1.SecretKeyReference{Name: "renewed"}}
	}
	follows := func(fr *v1alpha1.FlexRegistration) {
		fr.Spec.Renewal.Policy, fr.Spec.CredentialsRef = v1alpha1.RenewalFollow, v1alpha1.LocalReference{}
	}
	list := rule("", "secrets", "list", "watch", "update")
	update := rule("apps", "deployments", "update", "get")

	for name, c := range map[string]struct {
		rules   []rbacv1.PolicyRule
		with    func(*v1alpha1.FlexRegistration)
		missing string
	}{
		"rights on what is named":  {rules: []rbacv1.PolicyRule{getSecrets("anypoint", "ingress-registration"), patchDeployments("ingress")}},
		"rights on everything":     {rules: []rbacv1.PolicyRule{getSecrets(), patchDeployments()}},
		"no rights":                {missing: noCredentials},
		"no rights, but suspended": {with: suspended, missing: noCredentials},
		"not on the credentials":   {rules: []rbacv1.PolicyRule{getSecrets("ingress-registration"), patchDeployments("ingress")}, missing: noCredentials},
		"not on the registration":  {rules: []rbacv1.PolicyRule{getSecrets("anypoint"), patchDeployments("ingress")}, missing: noRegistration},
		"not on the Deployment":    {rules: []rbacv1.PolicyRule{getSecrets(), patchDeployments("egress")}, missing: noTarget},
		"other verbs on Secrets":   {rules: []rbacv1.PolicyRule{list, patchDeployments()}, missing: noCredentials},
		"other verbs on Deployments": {
			rules: []rbacv1.PolicyRule{getSecrets(), update}, missing: noTarget,
		},
		"no secretRef, rights on everything": {with: noSecretRef, rules: []rbacv1.PolicyRule{getSecrets(), patchDeployments()}},
		"no secretRef, rights by name": {
			with: noSecretRef, rules: []rbacv1.PolicyRule{getSecrets("anypoint", "ingress-registration"), patchDeployments("ingress")}, missing: noSecrets,
		},
		"no targetRef, rights on everything": {with: noTargetRef, rules: []rbacv1.PolicyRule{getSecrets(), patchDeployments()}},
		"no targetRef, rights by name": {
			with: noTargetRef, rules: []rbacv1.PolicyRule{getSecrets("anypoint", "ingress-registration"), patchDeployments("ingress")}, missing: noDeployments,
		},
		"published, rights on everything": {with: published, rules: []rbacv1.PolicyRule{getSecrets(), rule("", "secrets", "create", "update"), patchDeployments()}},
		"published, not to create":        {with: published, rules: []rbacv1.PolicyRule{getSecrets(), rule("", "secrets", "update"), patchDeployments()}, missing: noPublication},
		"published, not to update":        {with: published, rules: []rbacv1.PolicyRule{getSecrets(), rule("", "secrets", "create"), patchDeployments()}, missing: noPublication},
		"follows, needs no credentials":   {with: follows, rules: []rbacv1.PolicyRule{getSecrets("ingress-registration"), patchDeployments("ingress")}},
		"no restart, no right to":         {with: never, rules: []rbacv1.PolicyRule{getSecrets("anypoint", "ingress-registration")}},
		"no restart, no rights":           {with: never, missing: noCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			user, author := s.newAuthor(c.rules...)
			fr := flexRegistration(user)
			if c.with != nil {
				c.with(fr)
			}
			s.expect(author.Create(t.Context(), fr), user, c.missing)
		})
	}

	t.Run("rights in another namespace", func(t *testing.T) {
		s := s.in(t)
		user, author := s.newAuthor()
		s.grant("elsewhere", user, getSecrets(), patchDeployments())
		s.expect(author.Create(t.Context(), flexRegistration(user)), user, noCredentials)
	})
}

func (s *suite) testUpdate(t *testing.T) {
	all := []rbacv1.PolicyRule{getSecrets("anypoint", "ingress-registration"), patchDeployments("ingress")}
	noOther, noEgress := strings.Replace(noCredentials, "anypoint", "database", 1), strings.Replace(noTarget, "ingress", "egress", 1)
	annotate := func(name, value string) func(*v1alpha1.FlexRegistration) {
		return func(fr *v1alpha1.FlexRegistration) { metav1.SetMetaDataAnnotation(&fr.ObjectMeta, name, value) }
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.FlexRegistration)
		// missing is what an author without rights lacks, missingAll one who has those on what was named before.
		missing, missingAll string
	}{
		"nothing":            {change: func(*v1alpha1.FlexRegistration) {}},
		"a label":            {change: func(fr *v1alpha1.FlexRegistration) { fr.Labels = map[string]string{"team": "a"} }},
		"another annotation": {change: annotate("example.com/ticket", "1")},
		"a finalizer":        {change: func(fr *v1alpha1.FlexRegistration) { fr.Finalizers = append(fr.Finalizers, "example.com/second") }},
		"no annotations":     {change: func(fr *v1alpha1.FlexRegistration) { fr.Annotations = nil }},
		"a renewal asked for": {
			change: annotate(v1alpha1.AnnotationRenew, "again"), missing: noCredentials,
		},
		"the cluster confirmed": {
			change: annotate(v1alpha1.AnnotationConfirmCluster, "kube-system/1"), missing: noCredentials,
		},
		"suspend": {
			change: func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true }, missing: noCredentials,
		},
		"other credentials": {
			change:     func(fr *v1alpha1.FlexRegistration) { fr.Spec.CredentialsRef.Name = "database" },
			missing:    noOther,
			missingAll: noOther,
		},
		"another Deployment": {
			change:     func(fr *v1alpha1.FlexRegistration) { fr.Spec.TargetRef.Name = "egress" },
			missing:    noCredentials,
			missingAll: noEgress,
		},
		"a reference removed": {
			change:     func(fr *v1alpha1.FlexRegistration) { fr.Spec.SecretRef = nil },
			missing:    noCredentials,
			missingAll: noSecrets,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			try := func(missing string, rules ...rbacv1.PolicyRule) {
				t.Helper()
				user, author := s.newAuthor(rules...)
				fr := flexRegistration(user)
				fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "once"}
				fr.Finalizers = []string{"example.com/first"}
				s.Expect(s.admin.Create(t.Context(), fr)).To(Succeed())
				c.change(fr)
				s.expect(author.Update(t.Context(), fr), user, missing)

				// Whatever the author's rights, it can be deleted, and a controller can let go of it.
				s.Expect(author.Delete(t.Context(), fr)).To(Succeed())
				s.Expect(author.Get(t.Context(), client.ObjectKeyFromObject(fr), fr)).To(Succeed())
				fr.Finalizers = nil
				s.Expect(author.Update(t.Context(), fr)).To(Succeed())
			}
			try(c.missing)
			try(c.missingAll, all...)
		})
	}
}

func (s *suite) testOthers(t *testing.T) {
	t.Run("the operator writes the status", func(t *testing.T) {
		s := s.in(t)
		s.grant(namespace, "operator", rule(v1alpha1.GroupVersion.Group, "flexregistrations/status", "patch"))
		fr := flexRegistration("status")
		s.Expect(s.admin.Create(t.Context(), fr)).To(Succeed())
		before := fr.DeepCopy()
		fr.Status.FailedAttempts = 1
		s.Expect(s.client("operator").Status().Patch(t.Context(), fr, client.MergeFrom(before))).To(Succeed())
	})
	t.Run("administrators are let through", func(t *testing.T) {
		s := s.in(t)
		s.Expect(s.admin.Create(t.Context(), flexRegistration("administrators"))).To(Succeed())
	})
	t.Run("a GitOps controller needs the rights itself", func(t *testing.T) {
		s := s.in(t)
		const user = "system:serviceaccount:gitops:sync"
		s.grant(namespace, user, writeFlexRegistrations, getSecrets("anypoint"))
		author := s.client(user, "system:serviceaccounts", "system:authenticated")
		apply := func(with func(*v1alpha1.FlexRegistration)) error {
			fr := flexRegistration("gitops")
			fr.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FlexRegistration"))
			with(fr)
			return author.Patch(t.Context(), fr, client.Apply, client.FieldOwner("gitops")) //nolint:staticcheck // There are no generated apply configurations.
		}
		unchanged := func(*v1alpha1.FlexRegistration) {}
		s.expect(apply(unchanged), user, noRegistration)
		s.Expect(s.admin.Create(t.Context(), flexRegistration("gitops"))).To(Succeed())
		s.expect(apply(unchanged), user, "") // A sync that finds nothing to do.
		s.expect(apply(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true }), user, noRegistration)
	})
}
