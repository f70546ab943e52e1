package chart

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/controlplane"
)

// right is one verb on one resource; without a namespace in all of them, and without a name on all objects.
type right struct{ role, namespace, group, resource, name, verb string }

func (r right) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s.%s/%s in %q of %s", r.verb, r.resource, r.group, r.name, r.namespace, r.role))
}

// covers says that a right allows a request, which is so allowed or refused.
func (r right) covers(request controlplane.Request, verb string) bool {
	resource := request.Resource
	if request.Subresource != "" {
		resource += "/" + request.Subresource
	}
	return verb == r.verb && request.Group == r.group && resource == r.resource &&
		(r.namespace == "" || r.namespace == request.Namespace) && (r.name == "" || r.name == request.Name)
}

// granted are the rights of a ServiceAccount, from all that is bound to it.
func (s *suite) granted(namespace, account string) []right {
	s.Helper()
	var rights []right
	add := func(in, role string, rules []rbacv1.PolicyRule) {
		for _, rule := range rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						for _, verb := range rule.Verbs {
							rights = append(rights, right{role, in, group, resource, name, verb})
						}
					}
				}
			}
		}
	}
	self := func(subject rbacv1.Subject) bool {
		return subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == namespace && subject.Name == account
	}
	var roles rbacv1.RoleBindingList
	s.Expect(s.admin.List(s.Context(), &roles)).To(Succeed())
	for _, b := range roles.Items {
		if slices.ContainsFunc(b.Subjects, self) {
			role := &rbacv1.Role{}
			s.Expect(s.admin.Get(s.Context(), client.ObjectKey{Namespace: b.Namespace, Name: b.RoleRef.Name}, role)).To(Succeed())
			add(b.Namespace, role.Name, role.Rules)
		}
	}
	var clusterRoles rbacv1.ClusterRoleBindingList
	s.Expect(s.admin.List(s.Context(), &clusterRoles)).To(Succeed())
	for _, b := range clusterRoles.Items {
		if slices.ContainsFunc(b.Subjects, self) {
			role := &rbacv1.ClusterRole{}
			s.Expect(s.admin.Get(s.Context(), client.ObjectKey{Name: b.RoleRef.Name}, role)).To(Succeed())
			add("", role.Name, role.Rules)
		}
	}
	return rights
}

// expectUse checks that the operator was refused nothing but what is expected, and has used each of its rights: whichever is
// taken away, something that it has done would have been refused.
func (r *release) expectUse(refused ...string) {
	r.Helper()
	rights := r.granted(r.namespace, r.name)
	requests, err := r.cluster.Requests(r.user(), r.since)
	r.Expect(err).NotTo(HaveOccurred())
	used := make([]bool, len(rights))
	for i, held := range rights {
		// By which client-go tells an Event again while its object is the same: where a status can't be written, which is not so here.
		used[i] = held.group == "events.k8s.io" && held.verb == "patch"
	}
	var denied []string
	for _, request := range requests {
		if request.Resource == "" || request.Group == "authorization.k8s.io" && request.Resource == "selfsubjectaccessreviews" {
			continue
		}
		if what := fmt.Sprintf("%s %s/%s", request.Verb, request.Resource, request.Name); request.Code == http.StatusForbidden {
			if !slices.Contains(refused, what) {
				denied = append(denied, what+" in "+request.Namespace)
			}
			continue
		}
		verbs := []string{request.Verb}
		// What is applied and does not exist yet, is created, which takes the right to do so.
		if request.Verb == "patch" && request.Code == http.StatusCreated {
			verbs = append(verbs, "create")
		}
		for i, held := range rights {
			used[i] = used[i] || slices.ContainsFunc(verbs, func(verb string) bool { return held.covers(request, verb) })
		}
	}
	r.Expect(denied).To(BeEmpty(), "what the operator has asked for and may not")
	var unused []string
	for i, held := range rights {
		if !used[i] {
			unused = append(unused, held.String())
		}
	}
	r.Expect(unused).To(BeEmpty(), "rights that the operator has not used")
}

// asked says that the operator has made such a request in a namespace since it was installed.
func (r *release) asked(verb, resource, namespace string) func() (bool, error) {
	return func() (bool, error) {
		requests, err := r.cluster.Requests(r.user(), r.since)
		return slices.ContainsFunc(requests, func(q controlplane.Request) bool {
			return q.Verb == verb && q.Resource == resource && q.Namespace == namespace
		}), err
	}
}
