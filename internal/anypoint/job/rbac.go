package job

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"k8s.io/client-go/util/retry"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// Neither escalate nor bind is needed: the operator may itself update Secrets, so that it can give that right on.
//
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=create;patch

// grant is an object that lets the pods of a FlexRegistration update its handoff Secret.
type grant struct {
	kind   string
	object runtime.ApplyConfiguration
}

// rbac lets the pods of a FlexRegistration update its handoff Secret, and nothing else.
func (a *attempt) rbac() []grant {
	name, namespace := HandoffName(a.fr.Name), a.fr.Namespace
	labels := a.meta(name).Labels
	owner := metav1ac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("FlexRegistration").WithName(a.fr.Name).WithUID(a.fr.UID)
	return []grant{
		{"ServiceAccount", corev1ac.ServiceAccount(name, namespace).WithLabels(labels).WithOwnerReferences(owner).WithAutomountServiceAccountToken(false)},
		{"Role", rbacv1ac.Role(name, namespace).WithLabels(labels).WithOwnerReferences(owner).
			WithRules(rbacv1ac.PolicyRule().WithAPIGroups("").WithResources("secrets").WithResourceNames(name).WithVerbs("update"))},
		{"RoleBinding", rbacv1ac.RoleBinding(name, namespace).WithLabels(labels).WithOwnerReferences(owner).
			WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(name)).
			WithSubjects(rbacv1ac.Subject().WithKind(rbacv1.ServiceAccountKind).WithName(name).WithNamespace(namespace))},
	}
}

// applyRBAC makes, or mends, what rbac says.
func (a *attempt) applyRBAC(ctx context.Context) error {
	for _, each := range a.rbac() {
		// The API server may not know a Role yet that it has just stored, and then refuses what binds it.
		if err := retry.OnError(retry.DefaultBackoff, apierrors.IsNotFound, func() error { return a.Client.Apply(ctx, each.object, gateway.FieldOwner) }); err != nil {
			return fmt.Errorf("applying %s %s/%s, by which the pod may hand its result over (an administrator can create it, for an operator with --manage-handoff-rbac=false): %w", each.kind, a.fr.Namespace, HandoffName(a.fr.Name), err)
		}
	}
	return nil
}
