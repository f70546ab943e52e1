// Package controllers reconciles FlexRegistrations: it observes the cluster, asks package renewal for the next
// step, performs it, and reports.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/metrics"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Reconciler keeps the registrations valid that FlexRegistrations speak of.
type Reconciler struct {
	// Client reads FlexRegistrations and Deployments from a cache, and writes.
	Client client.Client
	// Cache has what is watched, of Secrets the metadata.
	Cache client.Reader
	// APIReader reads Secrets, pods and namespaces from the API server.
	APIReader client.Reader
	Recorder  events.EventRecorder
	// Renewer renews in this process; Jobs, where it is set, in the cluster instead.
	Renewer anypoint.Renewer
	Jobs    *job.Runner
	Clock   clock.WithTicker
	// AnypointHosts are the control planes that credentials may be sent to, as host or host:port.
	AnypointHosts []string
	// Identity names this process in records, Version the program.
	Identity, Version string
	// MaxConcurrent is how many gateways are worked on at once, MaxRenewalsPerMinute how many renewals begin in a minute,
	// MaxFailedRollouts how many rollouts in a row may fail before renewals pause that are not urgent; 0 for any number of
	// these two.
	MaxConcurrent        int
	MaxRenewalsPerMinute int
	MaxFailedRollouts    int
	// Scope is what is looked at, as the manager's cache has it.
	Scope Scope
	// ObserveOnly: nothing is written but status.
	ObserveOnly bool
	// Platform asks Anypoint what checks want to know, once in an interval and where something has changed; nil for no
	// checks.
	Platform      *platform.Client
	CheckInterval time.Duration
	// Activity counts what is done, where it is set.
	Activity *metrics.Activity

	claims *claims
	// askers are the workers that may wait for others' answers.
	askers    *semaphore.Weighted
	recalling sync.Mutex
	recalled  bool
	// clusters are identities by namespace; by FlexRegistration, failures count the errors in a row, written is the object
	// as its status was written last, looked when everything was looked at last, and secrets are those that are held while its
	// gateway is worked on.
	clusters sync.Map
	failures sync.Map
	written  sync.Map
	looked   sync.Map
	secrets  sync.Map
}

var zero = metav1.Duration{}

// timeout bounds what an observation or a step does in the cluster. A renewal has bounds of its own.
const timeout = time.Minute

// turnCheck is how often a FlexRegistration that waits for its turn looks whether it has come.
// That asks nobody but this process.
const turnCheck = 5 * time.Second

// maxSteps bounds the steps of one reconcile: a whole renewal takes seven.
const maxSteps = 20

// +kubebuilder:rbac:groups=gateway.flexops.dev,resources=flexregistrations,verbs=list;watch
// +kubebuilder:rbac:groups=gateway.flexops.dev,resources=flexregistrations/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one gateway forward as far as it goes, and says when to look again.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	fr, err := r.get(ctx, request.NamespacedName)
	if err != nil || fr == nil {
		return ctrl.Result{}, err
	}
	if r.claims.mustWait(request.NamespacedName, fr.Generation, r.Clock.Now()) {
		return ctrl.Result{RequeueAfter: turnCheck}, nil
	}
	if again, rests := r.atRest(ctx, fr); rests {
		return ctrl.Result{RequeueAfter: max(atOnce, again.Sub(r.Clock.Now()))}, nil
	}
	o, err := r.observe(ctx, fr)
	if err != nil {
		return ctrl.Result{}, r.fail(ctx, o, err)
	}
	var refused error
	rollRefused := false
	for range maxSteps {
		now := r.Clock.Now()
		o.RollRefused = rollRefused
		d := renewal.Plan(o.Observation, now)
		var acted error
		if d.Step != renewal.StepWait {
			acted = r.act(ctx, o, d)
		}
		var pending *anypoint.Pending
		switch {
		case errors.As(acted, &pending):
			d.Step, d.Message, d.At = renewal.StepWait, pending.Message, pending.At
			if pending.Stuck {
				d.State = v1alpha1.ReasonJobPending
			}
		case errors.Is(acted, errBusy):
			d.Step, d.State, d.Message, d.At = renewal.StepWait, v1alpha1.ReasonQueued, "a renewal is due and waits for its turn: "+acted.Error(), now.Add(turnCheck)
		case acted != nil && (d.Step == renewal.StepRoll && d.Due || d.Step == renewal.StepTidy):
			// Neither holds up a renewal.
			refused, rollRefused = acted, rollRefused || d.Step == renewal.StepRoll
			continue
		case acted != nil:
			return ctrl.Result{}, r.fail(ctx, o, acted)
		case o.outdated:
			// flexctl took its time: people may have changed their minds.
			if fr, err = r.get(ctx, request.NamespacedName); err != nil || fr == nil {
				return ctrl.Result{}, err
			}
			if o, err = r.observe(ctx, fr); err != nil {
				return ctrl.Result{}, r.fail(ctx, o, err)
			}
			continue
		case d.Step != renewal.StepWait:
			continue
		case refused != nil:
			return ctrl.Result{}, r.fail(ctx, o, refused)
		}
		again, err := r.rest(ctx, o, d)
		if err != nil {
			return ctrl.Result{}, err
		}
		r.looked.Store(request.NamespacedName, now)
		return ctrl.Result{RequeueAfter: max(atOnce, again.Sub(r.Clock.Now()))}, nil
	}
	return ctrl.Result{}, fmt.Errorf("the plan for FlexRegistration %s did not come to rest within %d steps", request, maxSteps)
}

// rest reports a decision to wait, makes the checks that are due, and says when to look again.
func (r *Reconciler) rest(ctx context.Context, o *observation, d renewal.Decision) (again time.Time, err error) {
	key := client.ObjectKeyFromObject(o.flexRegistration)
	// What others say may take a minute, which only good news can wait for.
	if good := d.State == renewal.Scheduled && meta.IsStatusConditionTrue(o.flexRegistration.Status.Conditions, v1alpha1.ConditionReady); !good {
		if err := r.report(ctx, o, d); err != nil {
			return again, err
		}
	}
	r.failures.Delete(key)
	switch d.State {
	case renewal.Renewing, v1alpha1.ReasonJobPending, v1alpha1.ReasonQueued:
	case renewal.RollingOut:
		r.claims.keepTurn(turn{until: o.Record.Rollout.Started.Add(turnTime), rolling: true}, key)
	default:
		r.claims.endTurn(key)
		r.secrets.Delete(key)
	}
	if next := r.check(ctx, o, d); !next.IsZero() && next.Before(d.At) {
		d.At = next
	}
	return d.At, r.report(ctx, o, d)
}

// get reads the FlexRegistration from the cache, or takes it as this process has written its status last, where the cache is
// behind: what has changed is told from it. It returns nil where there is none, or it is being deleted.
func (r *Reconciler) get(ctx context.Context, key types.NamespacedName) (*v1alpha1.FlexRegistration, error) {
	fr := &v1alpha1.FlexRegistration{}
	err := r.Client.Get(ctx, key, fr)
	switch {
	case apierrors.IsNotFound(err):
		for _, known := range []*sync.Map{&r.written, &r.failures, &r.looked, &r.secrets} {
			known.Delete(key)
		}
		r.claims.endTurn(key)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("getting FlexRegistration %s: %w", key, err)
	}
	if last := r.behind(fr); last != nil && r.Clock.Since(last.at) < maxBehind {
		fr = last.fr.DeepCopy()
	} else if last != nil {
		// It is for so long that the API server's versions may have gone back, as they do when etcd is restored.
		r.written.CompareAndDelete(key, *last)
		var live v1alpha1.FlexRegistrationList // The operator may list them, and not get one.
		if err := r.APIReader.List(ctx, &live, client.InNamespace(key.Namespace), client.MatchingFields{metav1.ObjectNameField: key.Name}); err != nil {
			return nil, fmt.Errorf("getting FlexRegistration %s: %w", key, err)
		}
		if len(live.Items) == 0 {
			return nil, nil
		}
		fr = live.Items[0]
	}
	if !fr.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	return fr, nil
}

// behind is what this process has written of a FlexRegistration, where the one in the cache is older; if not, that is forgotten.
func (r *Reconciler) behind(cached client.Object) *written {
	key := client.ObjectKeyFromObject(cached)
	last, is := r.written.Load(key)
	if !is {
		return nil
	}
	w := last.(written)
	if order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), w.fr.ResourceVersion); err == nil && order < 0 && cached.GetUID() == w.fr.UID {
		return &w
	}
	r.written.CompareAndDelete(key, last)
	return nil
}

// written is a FlexRegistration as this process has written its status.
type written struct {
	fr *v1alpha1.FlexRegistration
	at time.Time
}

// maxBehind is how far the cache may be behind.
const maxBehind = time.Minute

// fail returns the error, for the work queue to repeat the work with growing delays, and tells it where it does not
// pass by itself: at once what the API server refuses, anything else from the third time in a row on.
func (r *Reconciler) fail(ctx context.Context, o *observation, err error) error {
	key := client.ObjectKeyFromObject(o.flexRegistration)
	r.secrets.Delete(key)
	before, _ := r.failures.LoadOrStore(key, 0)
	failed := before.(int) + 1
	r.failures.Store(key, failed)
	reason := v1alpha1.ReasonStepFailed
	switch {
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		reason = v1alpha1.ReasonForbidden
	case failed < toldFromFailure:
		return err
	}
	d := renewal.Plan(o.Observation, r.Clock.Now())
	d.Step, d.State, d.Message = renewal.StepWait, renewal.State(reason), err.Error()
	if reportErr := r.report(ctx, o, d); reportErr != nil {
		log.FromContext(ctx).Error(reportErr, "telling why a step failed")
	}
	return err
}

// toldFromFailure is how many failures in a row are more than a conflict or a hiccup of the API server.
const toldFromFailure = 3

// clusterIdentity remembers the identity, which never changes while a process runs.
func (r *Reconciler) clusterIdentity(ctx context.Context, namespace string) (string, error) {
	if known, ok := r.clusters.Load(namespace); ok {
		return known.(string), nil
	}
	identity, err := gateway.ClusterIdentity(ctx, r.APIReader, namespace)
	if err == nil {
		r.clusters.Store(namespace, identity)
	}
	return identity, err
}

// SetupWithManager registers the controller and what it watches: FlexRegistrations, Deployments, and of Secrets
// the metadata only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if len(r.Scope.Secrets) > 0 {
		named, err := newSecretsByName(mgr, r.Scope.Secrets, r.Cache)
		if err != nil {
			return err
		}
		r.Cache = named
	}
	r.claims = newClaims(r.MaxConcurrent, r.MaxRenewalsPerMinute)
	r.askers = semaphore.NewWeighted(int64(max(1, r.MaxConcurrent/2)))
	for field, values := range map[string]client.IndexerFunc{agentIndex: indexAgent, pausedIndex: indexPaused} {
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.FlexRegistration{}, field, values); err != nil {
			return fmt.Errorf("indexing FlexRegistrations by %s: %w", field, err)
		}
	}
	if !r.ObserveOnly && len(r.Scope.Secrets) == 0 && r.Scope.matches(nil) {
		if err := mgr.Add(recordCleaner{r}); err != nil {
			return fmt.Errorf("adding the cleaner of records: %w", err)
		}
	}
	caughtUp := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		r.behind(e.ObjectNew)
		return false
	}}
	controller := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.FlexRegistration{}, builder.WithPredicates(predicate.Or(caughtUp, secretFound, predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.FlexRegistration{}, handler.EnqueueRequestsFromMapFunc(r.peersOf), builder.WithPredicates(concernsPeers)).
		Watches(&gateway.Deployment{}, handler.EnqueueRequestsFromMapFunc(r.usingDeployment), builder.WithPredicates(deploymentChanged)).
		WithOptions(ctrlcontroller.Options{MaxConcurrentReconciles: r.MaxConcurrent, NewQueue: newQueue(r.Clock)})
	controller = r.watchSecrets(controller)
	if r.Jobs != nil {
		controller = controller.
			Owns(&batchv1.Job{}, builder.WithPredicates(jobEnded)).
			Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.renewingPod), builder.WithPredicates(renewalPodChanged))
	}
	return controller.Complete(r)
}

// newQueue makes work queues whose delays follow the injected clock, so that a test can move the time.
func newQueue(c clock.WithTicker) func(string, workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return func(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
		return queue{workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[reconcile.Request]{Name: name, Clock: c})}
	}
}

// atOnce is how controller-runtime is told to look again without a delay.
const atOnce = time.Nanosecond

// queue does not wait for what is due already: a clock that is moved may stand still.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// AddAfter is the workqueue.TypedDelayingInterface's.
func (q queue) AddAfter(request reconcile.Request, after time.Duration) {
	if after <= atOnce {
		after = 0
	}
	q.TypedRateLimitingInterface.AddAfter(request, after)
}
