package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// Scope is the part of the cluster that the operator looks at.
type Scope struct {
	// Namespaces are the only ones that are watched; none stands for all.
	Namespaces []string
	// Secrets, where there are any, are the only ones that are watched, each by its name, for an operator that may list none.
	// They are in Namespaces.
	Secrets []types.NamespacedName
	// Selector, where several operators share a fleet, is what FlexRegistrations and ExperienceHubConnections have in common that this
	// one looks after, its shard; nil for all.
	Selector labels.Selector
}

// matches says that the operator looks after what has such labels.
func (s Scope) matches(has map[string]string) bool {
	return s.Selector == nil || s.Selector.Matches(labels.Set(has))
}

// CacheOptions keep what the cache holds of other people's objects small. Of Secrets it only has metadata, and of
// that only what identifies them: annotations may hold a copy of the content. The selector is for the project's own kinds, which are
// all that is not listed; what belongs to gateways has no labels of shards.
func (s Scope) CacheOptions() cache.Options {
	namespaces := map[string]cache.Config{}
	for _, namespace := range s.Namespaces {
		namespaces[namespace] = cache.Config{}
	}
	return cache.Options{
		DefaultNamespaces:    namespaces,
		DefaultLabelSelector: s.Selector,
		ByObject: map[client.Object]cache.ByObject{
			secretMetadata:        {Label: labels.Everything(), Field: fields.ParseSelectorOrDie(mayMatter), Transform: onlyIdentity},
			&gateway.Deployment{}: {Label: labels.Everything()},
			&corev1.Pod{}:         {Label: labels.SelectorFromSet(labels.Set{job.LabelComponent: job.ComponentRenewal})},
			&batchv1.Job{}:        {Label: labels.SelectorFromSet(labels.Set{job.LabelComponent: job.ComponentRenewal})},
		},
		DefaultTransform: slim,
	}
}

// mayMatter leaves out Secrets that are nobody's registration or credentials, by their types, which most in a cluster have.
const mayMatter = "type!=helm.sh/release.v1,type!=" + string(corev1.SecretTypeServiceAccountToken)

// slim takes off an object what nobody here reads and what may be most of it: who manages its fields, and the manifest that
// kubectl has applied.
func slim(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
		annotations := o.GetAnnotations()
		if delete(annotations, corev1.LastAppliedConfigAnnotation); len(annotations) == 0 {
			o.SetAnnotations(nil) // An empty map takes 300 bytes, too.
		}
	}
	return object, nil
}

// secretMetadata stands for the metadata of Secrets, the only part of them that is watched.
var secretMetadata = gateway.SecretMetadata()

// watchedVersion is the version of a Secret as the watch shows it, "" where there is none.
func watchedVersion(ctx context.Context, cache client.Reader, namespace, name string) (string, error) {
	secret := gateway.SecretMetadata()
	err := cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	return gateway.Version(secret), client.IgnoreNotFound(err)
}

func onlyIdentity(object any) (any, error) {
	if m, ok := object.(*metav1.PartialObjectMetadata); ok {
		labels, owners := m.Labels, m.OwnerReferences
		m.ObjectMeta = metav1.ObjectMeta{
			Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
			CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
		}
		if labels[job.LabelFlexRegistration] != "" {
			m.Labels, m.OwnerReferences = labels, owners
		}
	}
	return object, nil
}

// secretsByName has the metadata of Secrets from caches of one Secret each: a watch of Secrets by name, the only one that RBAC can
// allow for some of a namespace, is of one name. Whatever is no Secret's metadata comes from elsewhere.
type secretsByName struct {
	client.Reader
	caches map[types.NamespacedName]cache.Cache
}

// newSecretsByName makes the caches, which the manager runs.
func newSecretsByName(mgr ctrl.Manager, names []types.NamespacedName, others client.Reader) (secretsByName, error) {
	s := secretsByName{others, map[types.NamespacedName]cache.Cache{}}
	for _, name := range names {
		one, err := cache.New(mgr.GetConfig(), cache.Options{
			HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: onlyIdentity,
			DefaultNamespaces: map[string]cache.Config{name.Namespace: {FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name)}},
		})
		if err == nil {
			err = mgr.Add(one)
		}
		if err != nil {
			return s, fmt.Errorf("watching Secret %s: %w", name, err)
		}
		s.caches[name] = one
	}
	return s, nil
}

// Get is the client.Reader's.
func (s secretsByName) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if object.GetObjectKind().GroupVersionKind() != secretMetadata.GroupVersionKind() {
		return s.Reader.Get(ctx, key, object, options...)
	}
	one, is := s.caches[key]
	if !is {
		return fmt.Errorf("looking for Secret %s among those that are watched: it is none of them; name it in --secrets", key)
	}
	return one.Get(ctx, key, object, options...)
}

// ClientOptions make the manager's client read Secrets live, should one be read through it.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}}
}
