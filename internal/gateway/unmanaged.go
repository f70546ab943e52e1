package gateway

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// DefaultCredentials is the Secret with credentials that a proposed FlexRegistration names.
const DefaultCredentials = "anypoint"

// Uncovered is a Deployment with a registration that no FlexRegistration covers.
type Uncovered struct {
	types.NamespacedName
	// secret is that of its registration, beside a FlexRegistration that covers another Deployment with the same Secret; "" where
	// none does.
	secret types.NamespacedName
	beside string
}

// Unmanaged finds the Deployments of a namespace ("" for all) with a volume called "registration", made from a Secret, as the
// vendor's chart has it, that none of the FlexRegistrations covers: by its target, or by its Secret. They are in the order of names.
func Unmanaged(ctx context.Context, r client.Reader, namespace string, all []*v1alpha1.FlexRegistration) (found []Uncovered, _ error) {
	targets, secrets, sharing := map[types.NamespacedName]string{}, map[types.NamespacedName]bool{}, map[types.NamespacedName]string{}
	for _, fr := range all {
		secret := types.NamespacedName{Namespace: fr.Namespace, Name: ptr.Deref(fr.Spec.SecretRef, v1alpha1.SecretKeyReference{}).Name}
		if target := fr.Spec.TargetRef; target == nil {
			secrets[secret] = true
		} else {
			targets[types.NamespacedName{Namespace: fr.Namespace, Name: target.Name}], sharing[secret] = fr.Name, fr.Name
		}
	}
	var deployments DeploymentList
	if err := r.List(ctx, &deployments, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Deployments: %w", err)
	}
	for _, deployment := range deployments.Items {
		d := client.ObjectKeyFromObject(deployment)
		name, _ := registrationSecret(deployment)
		secret := types.NamespacedName{Namespace: d.Namespace, Name: name}
		fr, covered := targets[d]
		switch {
		case name == "":
		case covered:
			sharing[secret] = fr
		case !secrets[secret]:
			found = append(found, Uncovered{NamespacedName: d, secret: secret})
		}
	}
	for i := range found {
		found[i].beside = sharing[found[i].secret]
	}
	slices.SortFunc(found, func(a, b Uncovered) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}

// WriteManifests writes a FlexRegistration, as YAML to look over and apply, for each gateway of a namespace ("" for all) that none
// covers: one for all Deployments that share a Secret. Where a FlexRegistration has one of those as its target, a comment says how it can cover the
// others. It returns how many Deployments are not covered.
func WriteManifests(ctx context.Context, r client.Reader, namespace, credentials string, w io.Writer) (int, error) {
	var all v1alpha1.FlexRegistrationList
	if err := r.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("listing FlexRegistrations: %w", err)
	}
	found, err := Unmanaged(ctx, r, namespace, all.Items)
	if err != nil {
		return 0, err
	}
	bySecret, taken := map[types.NamespacedName][]string{}, map[types.NamespacedName]bool{}
	for _, d := range found {
		bySecret[d.secret] = append(bySecret[d.secret], d.Name)
	}
	for _, fr := range all.Items {
		taken[client.ObjectKeyFromObject(fr)] = true
	}
	for _, d := range found {
		names := bySecret[d.secret]
		if names[0] != d.Name {
			continue
		}
		together := strings.Join(names, ", ")
		if d.beside != "" {
			fmt.Fprintf(w, "# Namespace %s: Deployments that share Secret %s with the target of FlexRegistration %s: %s.\n# To cover them, replace its spec.targetRef by spec.secretRef: {name: %s}.\n",
				d.Namespace, d.secret.Name, d.beside, together, d.secret.Name)
			continue
		}
		fr := &v1alpha1.FlexRegistration{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FlexRegistration"}}
		fr.Namespace, fr.Name = d.Namespace, strings.Trim(d.Name[:min(len(d.Name), 48)], "-.") // The resource allows for 52.
		for taken[client.ObjectKeyFromObject(fr)] {
			fr.Name += "-x"
		}
		taken[client.ObjectKeyFromObject(fr)] = true
		fr.Spec.CredentialsRef.Name = credentials
		comment := ""
		if len(names) == 1 {
			fr.Spec.TargetRef = &v1alpha1.TargetReference{Name: d.Name}
		} else {
			fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: d.secret.Name}
			comment = "# Deployments that share this Secret: " + together + ".\n"
		}
		manifest, err := yaml.Marshal(fr)
		if err == nil {
			_, err = fmt.Fprintf(w, "---\n%s%s", comment, manifest)
		}
		if err != nil {
			return 0, fmt.Errorf("writing FlexRegistration %s: %w", client.ObjectKeyFromObject(fr), err)
		}
	}
	return len(found), nil
}
