package controllers

import (
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
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

// updated makes an UpdateFunc of what is to be passed of one kind.
func updated[T client.Object](passes func(before, after T) bool) func(event.UpdateEvent) bool {
	return func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(T)
		after, ok2 := e.ObjectNew.(T)
		return ok && ok2 && passes(before, after)
	}
}

// concernsPeers passes what may decide for FlexRegistrations that share a certificate or credentials.
var concernsPeers = predicate.Funcs{
	UpdateFunc: updated(func(before, after *v1alpha1.FlexRegistration) bool {
		return works(before) != works(after) || active(before) != active(after) ||
			!equality.Semantic.DeepEqual(before.Status.Certificate, after.Status.Certificate) ||
			!equality.Semantic.DeepEqual(before.Status.SecretRef, after.Status.SecretRef) ||
			before.Status.RefusedCredentials != after.Status.RefusedCredentials ||
			isRenewing(before) != isRenewing(after) || outcomeChanged(before, after)
	}),
}

// secretFound passes that a FlexRegistration has come to tell of another Secret. Changes of the Secret concern it only from then on,
// and it may have changed since it was read.
var secretFound = predicate.Funcs{
	UpdateFunc: updated(func(before, after *v1alpha1.FlexRegistration) bool {
		return !equality.Semantic.DeepEqual(before.Status.SecretRef, after.Status.SecretRef)
	}),
}

// deploymentChanged passes what the plan asks about: a changed spec, and a rollout that is complete, or not any
// more, or has failed. The steps in between are many and change nothing.
var deploymentChanged = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
	UpdateFunc: updated(func(before, after *gateway.Deployment) bool {
		was, is := gateway.Progress(before), gateway.Progress(after)
		return before.Generation != after.Generation || was.Complete != is.Complete || was.Failed != is.Failed
	}),
}

// jobEnded passes Jobs that have ended, and those that somebody has removed.
var jobEnded = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: updated(func(before, after *batchv1.Job) bool {
		return len(before.Status.Conditions) != len(after.Status.Conditions)
	}),
}

// renewalPodChanged passes what keeps the pod of a renewal from starting, and its failure. What goes well is told by the
// handoff Secret.
var renewalPodChanged = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: updated(func(before, after *corev1.Pod) bool {
		return gateway.PodProblem(before) != gateway.PodProblem(after) || before.Status.Phase != after.Status.Phase && after.Status.Phase == corev1.PodFailed
	}),
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
	agents, err := r.ofAgent(ctx, agentID(fr))
	if err != nil {
		log.FromContext(ctx).Error(err, "finding whom a change concerns")
	}
	if len(agents) > 1 || !slices.ContainsFunc(agents, func(other *v1alpha1.FlexRegistration) bool { return requestFor(other) == requestFor(fr) }) {
		for _, other := range agents {
			found = append(found, requestFor(other))
		}
	}
	return append(found, r.list(ctx, func(other *v1alpha1.FlexRegistration) bool {
		// Those that wait because the credentials were refused for the one that has changed.
		return other.UID != fr.UID && other.Spec.CredentialsRef == fr.Spec.CredentialsRef && refusesCredentials(renewal.State(reasonOf(other, v1alpha1.ConditionReady)))
	}, client.InNamespace(fr.Namespace))...)
}

// namesSecret says that a FlexRegistration speaks of a Secret, or has found that its registration is, or should be, there.
func namesSecret(fr *v1alpha1.FlexRegistration, secret string) bool {
	in := func(ref *v1alpha1.SecretKeyReference) bool { return ref != nil && ref.Name == secret }
	publication := fr.Spec.Publish.SecretRef
	return fr.Spec.CredentialsRef.Name == secret || publication != nil && publication.Name == secret || in(fr.Spec.SecretRef) || in(fr.Status.SecretRef)
}

// namesDeployment says that a FlexRegistration speaks of a Deployment, or has rolled it: it may have stopped mounting the Secret
// since, or be gone.
func namesDeployment(fr *v1alpha1.FlexRegistration, deployment string) bool {
	target, rollout := fr.Spec.TargetRef, fr.Status.Rollout
	return target != nil && target.Name == deployment || rollout != nil && slices.Contains(rollout.Deployments, deployment)
}

// usingDeployment finds the FlexRegistrations whose gateway a Deployment belongs to, or whose Secret it mounts.
func (r *Reconciler) usingDeployment(ctx context.Context, object client.Object) []reconcile.Request {
	d, ok := object.(*gateway.Deployment)
	if !ok {
		return nil
	}
	mounted := gateway.Mounts(d)
	return r.list(ctx, func(fr *v1alpha1.FlexRegistration) bool {
		return namesDeployment(fr, d.Name) || slices.ContainsFunc(mounted, func(secret string) bool { return namesSecret(fr, secret) })
	}, client.InNamespace(d.Namespace))
}

// usingSecret finds the FlexRegistrations whose registration, credentials or record a Secret holds.
func (r *Reconciler) usingSecret(ctx context.Context, object client.Object) []reconcile.Request {
	name := object.GetName()
	if renewing(object) != "" {
		return r.renewingPod(ctx, object)
	}
	return r.list(ctx, func(fr *v1alpha1.FlexRegistration) bool {
		at := fr.Status.SecretRef
		return namesSecret(fr, name) || gateway.IsRecordName(name) && at != nil && gateway.RecordName(at.Name, at.Key) == name
	}, client.InNamespace(object.GetNamespace()))
}

func anyone(*v1alpha1.FlexRegistration) bool { return true }

// list lists those FlexRegistrations, of some in the cache, that a change concerns. To look at all of a namespace takes less than the
// memory of an index would.
func (r *Reconciler) list(ctx context.Context, concerned func(*v1alpha1.FlexRegistration) bool, of ...client.ListOption) (found []reconcile.Request) {
	var all v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &all, append(of, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "listing the FlexRegistrations that a change concerns")
	}
	for _, fr := range all.Items {
		if concerned(fr) {
			found = append(found, requestFor(fr))
		}
	}
	return found
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
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
