// Package gateway knows what belongs to a gateway in the cluster: its Deployments, the Secret that holds its
// registration, and the operator's record of it.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// FieldOwner is the field manager of everything that the operator writes.
const FieldOwner = client.FieldOwner("flex-registration-operator")

// registrationVolume is what the vendor's chart calls the volume that mounts the registration.
const registrationVolume = "registration"

// Gateway is what a FlexRegistration speaks of.
type Gateway struct {
	Namespace string
	// SecretName and Key say where the registration file is.
	SecretName, Key string
	// Deployments are the gateway's, by name.
	Deployments []*Deployment
	// Others names Deployments that mount the Secret without being the gateway's: they are not rolled.
	Others []string
}

// Discover finds the gateway that a FlexRegistration speaks of. A finding says what is missing in the cluster, an
// error that it could not be looked up.
func Discover(ctx context.Context, c client.Reader, fr *v1alpha1.FlexRegistration) (*Gateway, *renewal.Finding, error) {
	g, target := &Gateway{Namespace: fr.Namespace}, fr.Spec.TargetRef
	if ref := fr.Spec.SecretRef; ref != nil {
		g.SecretName, g.Key = ref.Name, ref.Key
	}
	var all DeploymentList
	// Those that are the gateway's are copied below.
	if err := c.List(ctx, &all, client.InNamespace(fr.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("listing Deployments of namespace %s: %w", fr.Namespace, err)
	}
	if target != nil {
		i := slices.IndexFunc(all.Items, func(d *Deployment) bool { return d.Name == target.Name })
		if i < 0 {
			return nil, renewal.NewFinding(v1alpha1.ReasonTargetNotFound, "Deployment %s does not exist in namespace %s: create it, or correct spec.targetRef.name", target.Name, fr.Namespace), nil
		}
		if found := g.secretFrom(all.Items[i]); found != nil {
			return nil, found, nil
		}
	}
	// Most Deployments of a large namespace are others': these are passed by at once.
	all.Items = slices.DeleteFunc(all.Items, func(d *Deployment) bool {
		_, mounts := mountedKey(d.Spec.Template.Spec.Volumes, g.SecretName)
		return !mounts
	})
	slices.SortFunc(all.Items, func(a, b *Deployment) int { return strings.Compare(a.Name, b.Name) })
	anyKey := g.Key == ""
	for _, d := range all.Items {
		key, _ := mountedKey(d.Spec.Template.Spec.Volumes, g.SecretName)
		key = cmp.Or(key, registration.DefaultKey)
		switch {
		case target != nil && d.Name != target.Name:
			g.Others = append(g.Others, d.Name)
		case anyKey && g.Key != "" && g.Key != key:
			return nil, renewal.NewFinding(v1alpha1.ReasonVolumeNotFound, "the Deployments that mount Secret %s take registration.yaml from different keys, %s and %s: set spec.secretRef.key", g.SecretName, g.Key, key), nil
		default:
			g.Deployments = append(g.Deployments, d.DeepCopy())
			g.Key = cmp.Or(g.Key, key)
		}
	}
	g.Key = cmp.Or(g.Key, registration.DefaultKey)
	return g, nil, nil
}

// Container is the gateway's own: the one of the first Deployment that mounts the registration. It is nil where there is
// none.
func (g *Gateway) Container() *Container {
	if len(g.Deployments) == 0 {
		return nil
	}
	return g.Deployments[0].Spec.Template.Spec.mounting(g.SecretName)
}

// mounting is the container that mounts a Secret and goes on running; nil where there is none.
func (pod *PodSpec) mounting(secret string) *Container {
	mounts := func(c Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(mount VolumeMount) bool {
			return slices.ContainsFunc(pod.Volumes, func(v Volume) bool {
				return v.Name == mount.Name && slices.Contains(secretNames(v), secret)
			})
		})
	}
	isSidecar := func(c Container) bool {
		return mounts(c) && ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways
	}
	if i := slices.IndexFunc(pod.Containers, mounts); i >= 0 {
		return &pod.Containers[i]
	}
	if i := slices.IndexFunc(pod.InitContainers, isSidecar); i >= 0 {
		return &pod.InitContainers[i]
	}
	return nil
}

// secretFrom takes the Secret from the volumes of the target, unless it is known.
func (g *Gateway) secretFrom(target *Deployment) *renewal.Finding {
	name, found := registrationSecret(target)
	g.SecretName = cmp.Or(g.SecretName, name)
	switch {
	case g.SecretName == "" && !found:
		return renewal.NewFinding(v1alpha1.ReasonVolumeNotFound, "Deployment %s has no volume named %q: set spec.secretRef.name to the Secret that holds its registration", target.Name, registrationVolume)
	case g.SecretName == "":
		return renewal.NewFinding(v1alpha1.ReasonVolumeNotFound, "the volume %q of Deployment %s is not from one Secret: set spec.secretRef.name to the Secret that holds its registration and that the Deployment mounts", registrationVolume, target.Name)
	case !slices.Contains(Mounts(target), g.SecretName):
		return renewal.NewFinding(v1alpha1.ReasonVolumeNotFound, "Deployment %s does not mount Secret %s: correct spec.secretRef.name, or the Deployment's volumes", target.Name, g.SecretName)
	default:
		return nil
	}
}

// registrationSecret is the Secret that the volume "registration" of a Deployment is made from, "" where that is not one Secret;
// found says whether there is such a volume.
func registrationSecret(d *Deployment) (name string, found bool) {
	volume := first(d.Spec.Template.Spec.Volumes, func(v Volume) bool { return v.Name == registrationVolume })
	if names := secretNames(volume); len(names) == 1 {
		name = names[0]
	}
	return name, volume.Name != ""
}

// secretSources are the Secrets that volumes are made from, and what each maps of its keys.
func secretSources(volumes ...Volume) iter.Seq2[string, []corev1.KeyToPath] {
	return func(yield func(string, []corev1.KeyToPath) bool) {
		for i := range volumes {
			v := &volumes[i]
			if v.Secret != nil && !yield(v.Secret.SecretName, v.Secret.Items) {
				return
			}
			for _, source := range ptr.Deref(v.Projected, corev1.ProjectedVolumeSource{}).Sources {
				if source.Secret != nil && !yield(source.Secret.Name, source.Secret.Items) {
					return
				}
			}
		}
	}
}

// secretNames are the Secrets that volumes are made from, each once.
func secretNames(volumes ...Volume) (names []string) {
	for name := range secretSources(volumes...) {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Mounts names the Secrets that the volumes of a Deployment are made from, each once.
func Mounts(d *Deployment) []string { return secretNames(d.Spec.Template.Spec.Volumes...) }

// mountedKey says whether one of the volumes is made from the Secret, and which of its keys becomes the file
// registration.yaml: "" where the volume doesn't map keys.
func mountedKey(volumes []Volume, secret string) (key string, mounts bool) {
	for name, items := range secretSources(volumes...) {
		if name != secret {
			continue
		}
		mounts = true
		for _, item := range items {
			if key == "" && path.Base(item.Path) == registration.DefaultKey {
				key = item.Key
			}
		}
	}
	return key, mounts
}
