package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// DefaultCredentials is the Secret with credentials that a proposed FlexRegistration names.
const DefaultCredentials = "anypoint"

// Unmanaged finds the Deployments with a volume called "registration", made from a Secret, as the vendor's chart has it, that
// none of the FlexRegistrations covers: by its target, or by its Secret.
func Unmanaged(ctx context.Context, r client.Reader, all []v1alpha1.FlexRegistration) ([]types.NamespacedName, error) {
	found, _, err := unmanaged(ctx, r, metav1.NamespaceAll, all)
	var names []types.NamespacedName
	for _, m := range found {
		names = append(names, m.deployment)
	}
	return names, err
}

// mounted is a Deployment and the Secret that its volume "registration" is made from.
type mounted struct{ deployment, secret types.NamespacedName }

// unmanaged returns what Unmanaged finds, in the order of names, and by Secret the FlexRegistration that covers another
// Deployment with the same Secret.
func unmanaged(ctx context.Context, r client.Reader, namespace string, all []v1alpha1.FlexRegistration) (found []mounted, sharing map[types.NamespacedName]string, _ error) {
	targets, secrets := map[types.NamespacedName]string{}, map[types.NamespacedName]bool{}
	sharing = map[types.NamespacedName]string{}
	for i := range all {
		fr := &all[i]
		secret := types.NamespacedName{Namespace: fr.Namespace, Name: ptr.Deref(fr.Spec.SecretRef, v1alpha1.SecretKeyReference{}).Name}
		if target := fr.Spec.TargetRef; target == nil {
			secrets[secret] = true
		} else {
			targets[types.NamespacedName{Namespace: fr.Namespace, Name: target.Name}], sharing[secret] = fr.Name, fr.Name
		}
	}
	var deployments appsv1.DeploymentList
	if err := r.List(ctx, &deployments, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("listing Deployments: %w", err)
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		secret, _ := registrationSecret(d)
		if secret == "" {
			continue
		}
		m := mounted{client.ObjectKeyFromObject(d), types.NamespacedName{Namespace: d.Namespace, Name: secret}}
		if name, covered := targets[m.deployment]; covered {
			sharing[m.secret] = name
		} else if !secrets[m.secret] {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b mounted) int { return strings.Compare(a.deployment.String(), b.deployment.String()) })
	return found, sharing, nil
}

// WriteManifests writes a FlexRegistration, as YAML to look over and apply, for each gateway of a namespace ("" for all) that none
// covers: one for all Deployments that share a Secret. Where a FlexRegistration has one of those as its target, a comment says how it can cover the
// others. It returns how many Deployments are not covered.
func WriteManifests(ctx context.Context, r client.Reader, namespace, credentials string, w io.Writer) (int, error) {
	var all v1alpha1.FlexRegistrationList
	if err := r.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("listing FlexRegistrations: %w", err)
	}
	found, sharing, err := unmanaged(ctx, r, namespace, all.Items)
	if err != nil {
		return 0, err
	}
	bySecret, taken := map[types.NamespacedName][]string{}, map[client.ObjectKey]bool{}
	for _, m := range found {
		bySecret[m.secret] = append(bySecret[m.secret], m.deployment.Name)
	}
	for i := range all.Items {
		taken[client.ObjectKeyFromObject(&all.Items[i])] = true
	}
	for _, m := range found {
		names := bySecret[m.secret]
		if names[0] != m.deployment.Name {
			continue
		}
		if name := sharing[m.secret]; name != "" {
			fmt.Fprintf(w, "# Namespace %s: Deployments that share Secret %s with the target of FlexRegistration %s: %s.\n# To cover them, replace its spec.targetRef by spec.secretRef: {name: %s}.\n",
				m.secret.Namespace, m.secret.Name, name, strings.Join(names, ", "), m.secret.Name)
			continue
		}
		key := client.ObjectKey{Namespace: m.deployment.Namespace, Name: strings.Trim(names[0][:min(len(names[0]), 48)], "-.")} // The resource allows for 52.
		for taken[key] {
			key.Name += "-x"
		}
		taken[key] = true
		fr := &v1alpha1.FlexRegistration{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FlexRegistration"}, ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		fr.Spec.CredentialsRef.Name = credentials
		comment := ""
		if len(names) == 1 {
			fr.Spec.TargetRef = &v1alpha1.TargetReference{Name: names[0]}
		} else {
			fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: m.secret.Name}
			comment = fmt.Sprintf("# Deployments that share this Secret: %s.\n", strings.Join(names, ", "))
		}
		manifest, err := yaml.Marshal(fr)
		if err == nil {
			_, err = fmt.Fprintf(w, "---\n%s%s", comment, manifest)
		}
		if err != nil {
			return 0, fmt.Errorf("writing FlexRegistration %s: %w", key, err)
		}
	}
	return len(found), nil
}
