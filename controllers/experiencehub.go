package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/experiencehub"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
	"github.com/flexops/flex-registration-operator/internal/salesforce"
)

// ConnectionReconciler watches the certificates that ExperienceHubConnections speak of.
type ConnectionReconciler struct {
	// Client reads ExperienceHubConnections from a cache, and writes their status.
	Client client.Client
	// Cache has of Secrets the metadata; APIReader reads them, and an ExperienceHubConnection before Salesforce is changed for it.
	Cache, APIReader client.Reader
	Recorder         events.EventRecorder
	Clock            clock.WithTicker
	Anypoint         *platform.Client
	Salesforce       *salesforce.Client
	// CheckInterval is how often both services are asked where nothing happens.
	CheckInterval time.Duration
	// ObserveOnly: nothing is changed in Salesforce, whatever the policy, and no Event is told.
	ObserveOnly bool

	// found are, by key, the connections with the status that this process has come to last, be it written or not. What another
	// process has written counts for nothing: its flags may have been others.
	found sync.Map
}

// maxChanges bounds the changes of one reconcile. A rotation has two, and a login between them.
const maxChanges = 10

// +kubebuilder:rbac:groups=gateway.flexops.dev,resources=experiencehubconnections,verbs=get;list;watch
// +kubebuilder:rbac:groups=gateway.flexops.dev,resources=experiencehubconnections/status,verbs=patch

// Reconcile asks both services where that is due, does what can be done, and reports. Everything that decides comes from what
// they list: nothing is kept but what is still to be reported.
func (r *ConnectionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c := &v1alpha1.ExperienceHubConnection{}
	if err := r.Client.Get(ctx, request.NamespacedName, c); err != nil || !c.DeletionTimestamp.IsZero() {
		r.found.Delete(request.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	written, now := c.DeepCopy(), r.Clock.Now()
	if !r.recall(ctx, c) {
		versions := r.versions(ctx, c)
		o, err := r.observe(ctx, c)
		if err != nil {
			return ctrl.Result{}, err
		}
		d := experiencehub.Decide(o.Observation, now)
		for changes := 0; d.Step != (experiencehub.Step{}) && changes < maxChanges; changes++ {
			current := &v1alpha1.ExperienceHubConnection{}
			if err := r.APIReader.Get(ctx, request.NamespacedName, current); err != nil || current.Generation != c.Generation || current.UID != c.UID {
				return ctrl.Result{}, client.IgnoreNotFound(err) // What has changed is on its way.
			}
			if err := r.change(ctx, c, o, d.Step); err != nil {
				return ctrl.Result{}, err
			}
			d = experiencehub.Decide(o.Observation, now)
		}
		c.Status.Credentials = versions
		r.report(c, o, d)
	}
	next := timeOf(c.Status.NextCheckTime)
	var err error
	if !equality.Semantic.DeepEqual(written.Status, c.Status) {
		err = patchStatus(ctx, r.Client, c, written)
	}
	r.found.Store(request.NamespacedName, c)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("writing the status of ExperienceHubConnection %s: %w", request, err)
	}
	return ctrl.Result{RequeueAfter: max(time.Second, next.Sub(now))}, nil
}

// recall gives a connection the status that was found last, and says whether that still holds.
func (r *ConnectionReconciler) recall(ctx context.Context, c *v1alpha1.ExperienceHubConnection) bool {
	last, _ := r.found.Load(client.ObjectKeyFromObject(c))
	found, is := last.(*v1alpha1.ExperienceHubConnection)
	if !is || found.UID != c.UID {
		return false
	}
	found.Status.DeepCopyInto(&c.Status)
	return c.Status.ObservedGeneration == c.Generation && r.Clock.Now().Before(timeOf(c.Status.NextCheckTime)) &&
		c.Annotations[v1alpha1.AnnotationCheck] == c.Status.LastHandledCheck && r.versions(ctx, c) == c.Status.Credentials
}

// change makes one change in Salesforce, and looks at what is there then: whatever the answer was, that is what counts.
func (r *ConnectionReconciler) change(ctx context.Context, c *v1alpha1.ExperienceHubConnection, o *connection, step experiencehub.Step) error {
	s := o.Salesforce
	var reason, action, message string
	var err error
	if step.Rename != "" {
		reason, action, message = "Renamed", "Rename", fmt.Sprintf("certificate %s of %s was renamed to %s", step.Rename, s.Host, step.To)
		err = o.account.Rename(ctx, step.Rename, step.To)
	} else {
		reason, action, message = "Deleted", "Delete", fmt.Sprintf("certificate %s of %s was deleted, which %s has taken the place of", step.Delete, s.Host, s.Name)
		err = o.account.Delete(ctx, step.Delete)
	}
	if ctx.Err() != nil {
		return ctx.Err() // The operator is being stopped, and nothing is known that the next one would not find out.
	}
	log.FromContext(ctx).Info("changed Salesforce", "rename", step.Rename, "to", step.To, "delete", step.Delete, "failed", err != nil)
	failed := &httpclient.Error{}
	switch {
	case err == nil:
		r.event(c, corev1.EventTypeNormal, reason, action, message)
		err = &experiencehub.Problem{Reason: v1alpha1.ReasonInterrupted, Message: "Salesforce has taken the change of certificate " + step.Certificate() + " and does not show it yet"}
	case errors.As(err, &failed) && failed.Class == salesforce.ChangeRefused:
		s.Refused[step.Certificate()] = failed.Said
	}
	listed := o.list(ctx)
	if listed == nil && experiencehub.Decide(o.Observation, r.Clock.Now()).Step == step {
		listed = err // It did not take effect, or is not to be made twice.
	}
	s.Problem, err = o.problem(listed)
	return err
}

// report makes the status, and tells Events of what has changed.
func (r *ConnectionReconciler) report(c *v1alpha1.ExperienceHubConnection, o *connection, d experiencehub.Decision) {
	now, s := r.Clock.Now(), &c.Status
	before := slices.Clone(s.Conditions)
	setConditions(&s.Conditions, d.Conditions(), c.Generation, now, v1alpha1.ConditionAnypointCertificateValid, v1alpha1.ConditionSalesforceCertificateValid)
	r.tell(c, before)
	o.project(s)
	s.ObservedGeneration, s.LastHandledCheck = c.Generation, c.Annotations[v1alpha1.AnnotationCheck]
	s.LastCheckTime, s.NextCheckTime = timeOrNil(now), timeOrNil(r.next(c, o, d))
}

// next is when both services are asked again.
func (r *ConnectionReconciler) next(c *v1alpha1.ExperienceHubConnection, o *connection, d experiencehub.Decision) time.Time {
	now, after := r.Clock.Now(), spread(r.CheckInterval, jitter(c.UID))
	for _, is := range c.Status.Conditions {
		if is.Status == metav1.ConditionUnknown && is.Type != v1alpha1.ConditionReady {
			after = min(after, max(soonest, now.Sub(is.LastTransitionTime.Time)/4, o.retryAfter))
		}
	}
	if !d.Next.IsZero() {
		after = min(after, d.Next.Sub(now))
	}
	// Whole seconds, and not before the time.
	return now.Add(after).Truncate(time.Second).Add(time.Second)
}

// tell tells Events where Ready or ActionRequired say something else than before.
func (r *ConnectionReconciler) tell(c *v1alpha1.ExperienceHubConnection, before []metav1.Condition) {
	told := ""
	for _, kind := range []string{v1alpha1.ConditionActionRequired, v1alpha1.ConditionReady} {
		was, is := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(c.Status.Conditions, kind)
		if was != nil && was.Reason == is.Reason && was.Status == is.Status || is.Reason == told || was == nil && is.Reason == v1alpha1.ReasonNothingToDo {
			continue
		}
		told = is.Reason
		level := corev1.EventTypeNormal
		if (is.Status == metav1.ConditionTrue) == (kind == v1alpha1.ConditionActionRequired) {
			level = corev1.EventTypeWarning
		}
		r.event(c, level, is.Reason, "Check", is.Message)
	}
}

func (r *ConnectionReconciler) event(c *v1alpha1.ExperienceHubConnection, level, reason, action, message string) {
	if !r.ObserveOnly {
		r.Recorder.Eventf(c, nil, level, reason, action, "%s", bounded(message))
	}
}

// SetupWithManager registers the controller and what it watches: ExperienceHubConnections, and of Secrets the metadata.
func (r *ConnectionReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ExperienceHubConnection{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.usingSecret), builder.WithPredicates(secretChanged)).
		WithOptions(ctrlcontroller.Options{MaxConcurrentReconciles: 2, NewQueue: newQueue(r.Clock)}).
		Complete(r)
}

// usingSecret finds the ExperienceHubConnections whose credentials a Secret holds.
func (r *ConnectionReconciler) usingSecret(ctx context.Context, object client.Object) (found []reconcile.Request) {
	var all v1alpha1.ExperienceHubConnectionList
	if err := r.Client.List(ctx, &all, client.InNamespace(object.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "listing the ExperienceHubConnections that a Secret concerns", "namespace", object.GetNamespace())
	}
	for _, c := range all.Items {
		if slices.Contains(credentialsOf(c), object.GetName()) {
			found = append(found, requestFor(c))
		}
	}
	return found
}
