package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// Unmanaged finds the Deployments with a volume called "registration", made from a Secret, as the vendor's chart has it, that
// none of the FlexRegistrations covers: by its target, or by its Secret.
func Unmanaged(ctx context.Context, r client.Reader, all []v1alpha1.FlexRegistration) ([]types.NamespacedName, error) {
	targets, secrets := map[types.NamespacedName]bool{}, map[types.NamespacedName]bool{}
	for i := range all {
		fr := &all[i]
		if fr.Spec.TargetRef != nil {
			targets[types.NamespacedName{Namespace: fr.Namespace, Name: fr.Spec.TargetRef.Name}] = true
		} else if fr.Spec.SecretRef != nil {
			secrets[types.NamespacedName{Namespace: fr.Namespace, Name: fr.Spec.SecretRef.Name}] = true
		}
	}
	var deployments appsv1.DeploymentList
	if err := r.List(ctx, &deployments, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Deployments: %w", err)
	}
	var found []types.NamespacedName
	for i := range deployments.Items {
		d := &deployments.Items[i]
		volumes, name := d.Spec.Template.Spec.Volumes, client.ObjectKeyFromObject(d)
		at := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == registrationVolume })
		if at < 0 || secretName(volumes[at]) == "" || targets[name] || secrets[types.NamespacedName{Namespace: d.Namespace, Name: secretName(volumes[at])}] {
			continue
		}
		found = append(found, name)
	}
	slices.SortFunc(found, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}
