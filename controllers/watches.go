package controllers

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// concernsPeers passes what may decide for FlexRegistrations that share a certificate or credentials.
var concernsPeers = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.FlexRegistration)
		after, ok2 := e.ObjectNew.(*v1alpha1.FlexRegistration)
		return ok && ok2 && (works(before) != works(after) || active(before) != active(after) ||
			!equality.Semantic.DeepEqual(before.Status.Certificate, after.Status.Certificate) ||
			!equality.Semantic.DeepEqual(before.Status.SecretRef, after.Status.SecretRef) ||
			before.Status.RefusedCredentials != after.Status.RefusedCredentials ||
			isRenewing(before) != isRenewing(after) || outcomeChanged(before, after))
	},
}

// deploymentChanged passes what the plan asks about: a changed spec, and a rollout that is complete, or not any
// more, or has failed. The steps in between are many and change nothing.
var deploymentChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*appsv1.Deployment)
		after, ok2 := e.ObjectNew.(*appsv1.Deployment)
		if !ok || !ok2 || before.Generation != after.Generation {
			return true
		}
		was, is := gateway.Progress(before), gateway.Progress(after)
		return was.Complete != is.Complete || was.Failed != is.Failed
	},
}

// jobEnded passes Jobs that have ended, and those that somebody has removed.
var jobEnded = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*batchv1.Job)
		after, ok2 := e.ObjectNew.(*batchv1.Job)
		return ok && ok2 && len(before.Status.Conditions) != len(after.Status.Conditions)
	},
}

// renewalPodChanged passes what keeps the pod of a renewal from starting, and its failure. What goes well is told by the
// handoff Secret.
var renewalPodChanged = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		return ok && ok2 && (gateway.PodProblem(before) != gateway.PodProblem(after) || before.Status.Phase != after.Status.Phase && after.Status.Phase == corev1.PodFailed)
	},
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// secretChanged passes a Secret that is somebody else's whenever it changes, and one of a renewal when a pod has handed
// its result over: what the operator itself makes and removes is no news, nor what is there when it starts, when it looks at all.
var secretChanged = predicate.And(predicate.ResourceVersionChangedPredicate{}, predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList && renewing(e.Object) == "" },
	DeleteFunc: func(e event.DeleteEvent) bool { return renewing(e.Object) == "" },
})

// renewing names the FlexRegistration that a Secret or a pod of a renewal is for.
func renewing(object client.Object) string { return object.GetLabels()[job.LabelFlexRegistration] }

func (r *Reconciler) renewingPod(_ context.Context, object client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: renewing(object)}}}
}

// peersOf finds the FlexRegistrations with the agent id, or the credentials, of one that has changed; that one itself
// too, since it may have looked before the others' status was in the cache.
func (r *Reconciler) peersOf(ctx context.Context, object client.Object) []reconcile.Request {
	fr, ok := object.(*v1alpha1.FlexRegistration)
	if !ok {
		return nil
	}
	found := r.list(ctx, anyone, client.MatchingFields{pausedIndex: "true"})
	if fr.Status.Gateway != nil {
		if agents := r.list(ctx, anyone, client.MatchingFields{agentIndex: fr.Status.Gateway.AgentID}); len(agents) > 1 || !slices.Contains(agents, requestFor(fr)) {
			found = append(found, agents...)
		}
	}
	return append(found, r.list(ctx, func(other *v1alpha1.FlexRegistration) bool {
		// Those that wait because the credentials were refused for the one that has changed.
		return other.UID != fr.UID && other.Spec.CredentialsRef == fr.Spec.CredentialsRef && refusesCredentials(renewal.State(reasonOf(other, v1alpha1.ConditionReady)))
	}, client.InNamespace(fr.Namespace))...)
}

// What a change concerns is found by indexes: a namespace may have a thousand gateways, and each two Secrets that change.
const (
	// secretIndex finds FlexRegistrations by the Secrets that they name or have found.
	secretIndex = "secret"
	// deploymentIndex finds FlexRegistrations by the Deployments that they name or have rolled.
	deploymentIndex = "deployment"
	// mountIndex finds Deployments by the Secrets that they mount.
	mountIndex = "mount"
)

func indexSecrets(object client.Object) []string {
	fr, ok := object.(*v1alpha1.FlexRegistration)
	if !ok {
		return nil
	}
	names := []string{fr.Spec.CredentialsRef.Name}
	if publication := fr.Spec.Publish.SecretRef; publication != nil {
		names = append(names, publication.Name)
	}
	for _, ref := range []*v1alpha1.SecretKeyReference{fr.Spec.SecretRef, fr.Status.SecretRef} {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}

func indexDeployments(object client.Object) (names []string) {
	fr, ok := object.(*v1alpha1.FlexRegistration)
	if !ok {
		return nil
	}
	if fr.Spec.TargetRef != nil {
		names = append(names, fr.Spec.TargetRef.Name)
	}
	if fr.Status.Rollout != nil { // It may have stopped mounting the Secret, or be gone.
		names = append(names, fr.Status.Rollout.Deployments...)
	}
	return names
}

func indexMounts(object client.Object) []string {
	d, ok := object.(*appsv1.Deployment)
	if !ok {
		return nil
	}
	return gateway.Mounts(d)
}

// usingDeployment finds the FlexRegistrations whose gateway a Deployment belongs to, or whose Secret it mounts.
func (r *Reconciler) usingDeployment(ctx context.Context, object client.Object) []reconcile.Request {
	found := r.indexed(ctx, object.GetNamespace(), deploymentIndex, object.GetName())
	if d, ok := object.(*appsv1.Deployment); ok {
		for _, secret := range gateway.Mounts(d) {
			found = append(found, r.naming(ctx, object.GetNamespace(), secret)...)
		}
	}
	return found
}

// usingSecret finds the FlexRegistrations whose registration, credentials or record a Secret holds.
func (r *Reconciler) usingSecret(ctx context.Context, object client.Object) []reconcile.Request {
	switch {
	case renewing(object) != "":
		return r.renewingPod(ctx, object)
	case gateway.IsRecordName(object.GetName()):
		return r.recordedIn(ctx, object.GetNamespace(), object.GetName())
	default:
		return r.naming(ctx, object.GetNamespace(), object.GetName())
	}
}

// recordedIn finds the FlexRegistrations with a record. There is no index of these, which would take more memory than all others:
// records change when gateways are renewed.
func (r *Reconciler) recordedIn(ctx context.Context, namespace, record string) []reconcile.Request {
	return r.list(ctx, func(fr *v1alpha1.FlexRegistration) bool {
		at := fr.Status.SecretRef
		return at != nil && gateway.RecordName(at.Name, at.Key) == record
	}, client.InNamespace(namespace))
}

// naming finds the FlexRegistrations that a Secret concerns, by its name or because their Deployment mounts it.
func (r *Reconciler) naming(ctx context.Context, namespace, secret string) []reconcile.Request {
	found := r.indexed(ctx, namespace, secretIndex, secret)
	var mounting appsv1.DeploymentList
	if err := r.Client.List(ctx, &mounting, client.InNamespace(namespace), client.MatchingFields{mountIndex: secret}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing the Deployments that mount a Secret", "secret", secret, "namespace", namespace)
	}
	for i := range mounting.Items {
		found = append(found, r.indexed(ctx, namespace, deploymentIndex, mounting.Items[i].Name)...)
	}
	return found
}

// indexed lists the FlexRegistrations of a namespace that an index finds.
func (r *Reconciler) indexed(ctx context.Context, namespace, index, name string) []reconcile.Request {
	return r.list(ctx, anyone, client.InNamespace(namespace), client.MatchingFields{index: name})
}

func anyone(*v1alpha1.FlexRegistration) bool { return true }

// list lists those FlexRegistrations, of some in the cache, that a change concerns.
func (r *Reconciler) list(ctx context.Context, concerned func(*v1alpha1.FlexRegistration) bool, of ...client.ListOption) (found []reconcile.Request) {
	var all v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &all, append(of, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "listing the FlexRegistrations that a change concerns")
	}
	for i := range all.Items {
		if concerned(&all.Items[i]) {
			found = append(found, requestFor(&all.Items[i]))
		}
	}
	return found
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

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
			secretMetadata:       {Label: labels.Everything(), Transform: onlyIdentity},
			&appsv1.Deployment{}: {Label: labels.Everything(), Transform: slimDeployment},
			&corev1.Pod{}:        {Label: labels.SelectorFromSet(labels.Set{job.LabelComponent: job.ComponentRenewal})},
			&batchv1.Job{}:       {Label: labels.SelectorFromSet(labels.Set{job.LabelComponent: job.ComponentRenewal})},
		},
		DefaultTransform: slim,
	}
}

// slim takes off an object what nobody here reads and what may be most of it: who manages its fields, and the manifest that
// kubectl has applied.
func slim(object any) (any, error) {
	if o, err := meta.Accessor(object); err == nil {
		o.SetManagedFields(nil)
		delete(o.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	}
	return object, nil
}

// slimDeployment leaves of a Deployment what somebody here reads.
func slimDeployment(object any) (any, error) {
	if d, ok := object.(*appsv1.Deployment); ok {
		gateway.Slim(d)
	}
	return object, nil
}

// secretMetadata stands for the metadata of Secrets, the only part of them that is watched.
var secretMetadata = &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Secret"}}

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

// watchSecrets has the controller watch the metadata of Secrets.
func (r *Reconciler) watchSecrets(controller *builder.Builder) *builder.Builder {
	using := handler.EnqueueRequestsFromMapFunc(r.usingSecret)
	named, is := r.Cache.(secretsByName)
	if !is {
		return controller.WatchesMetadata(&corev1.Secret{}, using, builder.WithPredicates(secretChanged))
	}
	for _, one := range named.caches {
		controller = controller.WatchesRawSource(source.Kind[client.Object](one, secretMetadata, using, secretChanged))
	}
	return controller
}

// ClientOptions make the manager's client read Secrets live, should one be read through it.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}}
}
