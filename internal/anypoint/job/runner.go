// Package job renews registrations in Jobs: flexctl runs in a pod beside the gateway, from the gateway's own image, and
// the pod hands the result over in a Secret made for the purpose.
package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// A pod that comes up after startWithin does not run flexctl any more, by its node's clock; startMargin is how much
// that clock may differ, and the kubelet be late with what it reports. lifetime bounds the Job.
const (
	startWithin = 5 * time.Minute
	startMargin = time.Minute
	lifetime    = 15 * time.Minute
)

// Hold is how long after its claim a renewal in a Job has ended for sure.
const Hold = lifetime + startMargin

// Config says how Jobs are made.
type Config struct {
	// OperatorImage has the programs /manager and /flexctl-runner.
	OperatorImage string
	// Images are repositories that spec.flexctl.image may be of, beside the gateway's own; they may have wildcards, as
	// in "mulesoft/*".
	Images []string
	// Hosts are the control planes that credentials may be sent to, as host or host:port.
	Hosts []string
	// ManageRBAC: the ServiceAccount, Role and RoleBinding of each FlexRegistration are the operator's business.
	ManageRBAC bool
	// AssignedUser: the cluster assigns users to pods (OpenShift), so none is asked for.
	AssignedUser bool
	// PullSecrets and Labels are added to those that pods have anyway.
	PullSecrets []string
	Labels      map[string]string
	// Network is how flexctl reaches the platform.
	Network anypoint.Network
}

// Runner renews in Jobs. It keeps nothing in memory: what an attempt has come to is read from its Job.
type Runner struct {
	Config
	// Client reads Jobs, their pods and the metadata of Secrets from a cache, and writes; APIReader reads live.
	Client    client.Client
	APIReader client.Reader
	Clock     clock.PassiveClock
}

// Name is the name of the Job of a claim, and of the attempt's Secret.
func Name(fr *v1alpha1.FlexRegistration, fingerprint string, attempt int, since time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %s", fr.UID, fingerprint, attempt, since.UTC().Format(time.RFC3339Nano)))
	return strings.TrimRight(fr.Name[:min(len(fr.Name), 40)], "-.") + "-renew-" + hex.EncodeToString(sum[:5])
}

// Attempt returns what carries out one claim. Only the one that begins creates anything; any other goes on with what is
// there, and never makes a second Job.
func (r *Runner) Attempt(fr *v1alpha1.FlexRegistration, g *gateway.Gateway, intent renewal.Intent, begins bool) anypoint.Renewer {
	return &attempt{Runner: r, fr: fr, gateway: g, intent: intent, begins: begins}
}

type attempt struct {
	*Runner
	fr      *v1alpha1.FlexRegistration
	gateway *gateway.Gateway
	intent  renewal.Intent
	begins  bool
}

// Renew begins the Job, or looks what has become of it.
func (a *attempt) Renew(ctx context.Context, old *registration.Registration, credentials anypoint.Credentials) (*registration.Registration, error) {
	if a.begins {
		return a.begin(ctx, old, credentials)
	}
	return a.look(ctx, credentials)
}

// begin makes the Job, with what its pod needs before it. Until the Job is there nothing can have been asked of the
// platform.
func (a *attempt) begin(ctx context.Context, old *registration.Registration, credentials anypoint.Credentials) (*registration.Registration, error) {
	notStarted := func(err error) error {
		return &anypoint.Error{Class: anypoint.JobNotStarted, Detail: fmt.Sprintf("preparing Job %s: %v", a.intent.Job, err)}
	}
	if err := old.CheckHost(a.Hosts); err != nil {
		return nil, &anypoint.Error{Class: anypoint.HostNotAllowed, Detail: err.Error()}
	}
	image, finding := a.Image(a.fr, a.gateway)
	if finding != nil {
		return nil, notStarted(errors.New(finding.Message))
	}
	if err := a.removeEarlier(ctx); err != nil {
		return nil, notStarted(err)
	}
	pullSecrets, err := a.pullSecrets(ctx)
	if err != nil {
		return nil, notStarted(err)
	}
	handoff, late, err := a.createHandoff(ctx, old)
	if late != nil || err != nil {
		if err != nil {
			err = notStarted(err)
		}
		return late, err
	}
	if a.ManageRBAC {
		if err := a.applyRBAC(ctx); err != nil {
			return nil, notStarted(err)
		}
	}
	secret := a.attemptSecret(anypoint.Attempt{Registration: old, Credentials: credentials, Network: a.Network})
	if err := a.Client.Create(ctx, secret, gateway.FieldOwner); err != nil {
		return nil, notStarted(fmt.Errorf("creating Secret %s/%s: %w", secret.Namespace, secret.Name, err))
	}
	job, err := a.job(image, pullSecrets, handoff)
	if err != nil {
		return nil, notStarted(err)
	}
	if err := a.Client.Create(ctx, job, gateway.FieldOwner); err != nil && refused(err) {
		return nil, notStarted(fmt.Errorf("creating it: %w", err))
	}
	// Whether it was created after all, where that failed in another way, is seen when the Job is looked for.
	return nil, a.pending("the Job has been created", false, eventsAfter)
}

// refused says that the API server has answered, and that nothing was created.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
}

// pending says when to look again: after a while, but no later than something is to be decided.
func (a *attempt) pending(message string, stuck bool, after time.Duration) *anypoint.Pending {
	now := a.Clock.Now()
	at := now.Add(after)
	for _, limit := range []time.Time{a.intent.Since.Add(startWithin + startMargin), a.intent.Until} {
		if limit.After(now) && limit.Before(at) {
			at = limit
		}
	}
	return &anypoint.Pending{Message: fmt.Sprintf("renewing in Job %s: %s", a.intent.Job, message), Stuck: stuck, At: at}
}

// removeEarlier removes the Jobs of earlier attempts, the last of which was kept for its logs.
func (a *attempt) removeEarlier(ctx context.Context) error {
	jobs, err := a.jobs(ctx, a.fr)
	if err != nil {
		return err
	}
	return a.Remove(ctx, jobs)
}

// End removes what an attempt leaves that has ended: always its Secrets, and its Job where it has renewed. The Job of
// one that failed stays until the next attempt, for its logs.
func (r *Runner) End(ctx context.Context, fr *v1alpha1.FlexRegistration, name string, renewed bool) error {
	secrets, err := r.secrets(ctx, fr)
	if err != nil {
		return err
	}
	jobs, err := r.jobs(ctx, fr)
	if err != nil {
		return err
	}
	// The attempt's Secret may not be in the cache yet. Nobody else has one of its name, which a digest is part of.
	ended := []client.Object{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fr.Namespace, Name: name}}}
	for _, object := range append(secrets, jobs...) {
		_, isJob := object.(*batchv1.Job)
		if isJob && renewed && object.GetName() == name || object.GetName() == HandoffName(fr.Name) {
			ended = append(ended, object)
		}
	}
	return r.Remove(ctx, ended)
}

// Leftovers finds, in the cache, what attempts have left that have ended while nobody could remove it. open is the
// name of the one that goes on, "" where there is none.
func (r *Runner) Leftovers(ctx context.Context, fr *v1alpha1.FlexRegistration, open string) ([]client.Object, error) {
	secrets, err := r.secrets(ctx, fr)
	if err != nil {
		return nil, err
	}
	jobs, err := r.jobs(ctx, fr)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(append(secrets, jobs...), func(object client.Object) bool {
		job, isJob := object.(*batchv1.Job)
		return object.GetName() == open || open != "" && object.GetName() == HandoffName(fr.Name) || isJob && finished(job, batchv1.JobComplete) == nil
	}), nil
}

// secrets are the metadata, from the cache, of those that the renewals of a FlexRegistration have made.
func (r *Runner) secrets(ctx context.Context, fr *v1alpha1.FlexRegistration) ([]client.Object, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Client.List(ctx, list, client.InNamespace(fr.Namespace), client.MatchingLabels{LabelFlexRegistration: fr.Name}); err != nil {
		return nil, fmt.Errorf("listing the Secrets of renewals: %w", err)
	}
	var found []client.Object
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], fr) { // Anybody can write a label on anything.
			found = append(found, &list.Items[i])
		}
	}
	return found, nil
}

// jobs are those, from the cache, that the renewals of a FlexRegistration have made.
func (r *Runner) jobs(ctx context.Context, fr *v1alpha1.FlexRegistration) ([]client.Object, error) {
	var list batchv1.JobList
	if err := r.Client.List(ctx, &list, client.InNamespace(fr.Namespace), client.MatchingLabels{LabelFlexRegistration: fr.Name}); err != nil {
		return nil, fmt.Errorf("listing the Jobs of renewals: %w", err)
	}
	var found []client.Object
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], fr) {
			found = append(found, &list.Items[i])
		}
	}
	return found, nil
}

// Remove deletes objects, and the pods of Jobs after them. What has been made anew under the same name stays.
func (r *Runner) Remove(ctx context.Context, objects []client.Object) error {
	var errs []error
	for _, object := range objects {
		options := []client.DeleteOption{client.PropagationPolicy(metav1.DeletePropagationBackground)}
		if uid := object.GetUID(); uid != "" {
			options = append(options, client.Preconditions{UID: &uid})
		}
		if err := r.Client.Delete(ctx, object, options...); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("deleting %T %s/%s: %w", object, object.GetNamespace(), object.GetName(), err))
		}
	}
	return errors.Join(errs...)
}
