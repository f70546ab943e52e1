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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// A pod that comes up after startWithin does not run flexctl any more, by its node's clock; startMargin is how much
// that clock may differ, and the kubelet be late with what it reports. createWithin is when the Job is there, or never
// will be. lifetime bounds the Job, and grace the end of its pod.
const (
	createWithin = 2 * time.Minute
	startWithin  = 5 * time.Minute
	startMargin  = time.Minute
	lifetime     = 15 * time.Minute
	grace        = time.Minute
)

// Hold is how long after its claim a renewal in a Job has ended for sure.
const Hold = createWithin + lifetime + grace + startMargin

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
	// Cache has Jobs, their pods and the metadata of Secrets; APIReader reads live.
	Cache     client.Reader
	APIReader client.Reader
	Client    client.Writer
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

// begin makes the Job. Until it is there nothing can have been asked of the platform.
func (a *attempt) begin(ctx context.Context, old *registration.Registration, credentials anypoint.Credentials) (*registration.Registration, error) {
	if err := old.CheckHost(a.Hosts); err != nil {
		return nil, &anypoint.Error{Class: anypoint.HostNotAllowed, Detail: err.Error()}
	}
	switch late, err := a.create(ctx, old, credentials); {
	case err != nil:
		return nil, &anypoint.Error{Class: anypoint.JobNotStarted, Detail: fmt.Sprintf("preparing Job %s: %v", a.intent.Job, err)}
	case late != nil:
		return late, nil
	}
	return nil, a.pending("", false, eventsAfter)
}

// create makes the Job, with what its pod needs before it. Where an earlier attempt has handed its result over, that is
// returned instead.
func (a *attempt) create(ctx context.Context, old *registration.Registration, credentials anypoint.Credentials) (late *registration.Registration, err error) {
	image, finding := a.Image(a.fr, a.gateway)
	if finding != nil {
		return nil, errors.New(finding.Message)
	}
	// The last of the earlier ones was kept for its logs.
	earlier, err := a.owned(ctx, a.fr, &batchv1.JobList{})
	if err != nil {
		return nil, err
	}
	if err := a.Remove(ctx, earlier); err != nil {
		return nil, err
	}
	pullSecrets, err := a.pullSecrets(ctx)
	if err != nil {
		return nil, err
	}
	handoff, late, err := a.createHandoff(ctx, old)
	if late != nil || err != nil {
		return late, err
	}
	if a.ManageRBAC {
		if err := a.applyRBAC(ctx); err != nil {
			return nil, err
		}
	}
	secret := a.attemptSecret(anypoint.Attempt{Registration: old, Credentials: credentials, Network: a.Network}.Data())
	if err := a.Client.Create(ctx, secret, gateway.FieldOwner); err != nil {
		return nil, fmt.Errorf("creating Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	if a.Clock.Now().After(a.intent.Since.Add(createWithin)) {
		return nil, errors.New("it took too long")
	}
	job := a.job(image, pullSecrets, handoff)
	if err := a.Client.Create(ctx, job, gateway.FieldOwner); err != nil && a.fence(ctx, secret, job) {
		return nil, fmt.Errorf("creating it: %w", err)
	}
	return nil, nil
}

// fence makes sure, after an error, that there is no Job, or else that its pod can't start. It returns false where that
// could not be done; then the Job is looked for as if nothing had gone wrong.
func (a *attempt) fence(ctx context.Context, secret *corev1.Secret, job *batchv1.Job) bool {
	err := a.APIReader.Get(ctx, client.ObjectKeyFromObject(job), job)
	if !apierrors.IsNotFound(err) {
		return false
	}
	// The request may still be on its way: without the attempt's Secret, its pod never runs a container.
	if err := a.Remove(ctx, []client.Object{secret}); err != nil {
		return false
	}
	return apierrors.IsNotFound(a.APIReader.Get(ctx, client.ObjectKeyFromObject(job), job))
}

// pending says when to look again: after a while, but no later than something is to be decided. There is no message while all
// goes well: each would be worth a write of the status.
func (a *attempt) pending(message string, stuck bool, after time.Duration) *anypoint.Pending {
	now := a.Clock.Now()
	at := now.Add(after)
	for _, limit := range []time.Time{a.intent.Since.Add(startWithin + startMargin), a.intent.Until} {
		if limit.After(now) && limit.Before(at) {
			at = limit
		}
	}
	if message != "" {
		message = ": " + message
	}
	return &anypoint.Pending{Message: fmt.Sprintf("renewing in Job %s%s", a.intent.Job, message), Stuck: stuck, At: at}
}

// End removes what an attempt leaves that has ended: its Secrets and, where all is to go, its Job, which stays for its logs
// otherwise.
func (r *Runner) End(ctx context.Context, fr *v1alpha1.FlexRegistration, name string, all bool) error {
	made, err := r.made(ctx, fr)
	if err != nil {
		return err
	}
	ended := slices.DeleteFunc(made, func(object client.Object) bool {
		return object.GetName() != name && object.GetName() != HandoffName(fr.Name) || isJob(object) && !all
	})
	attempts := []client.Object{&corev1.Secret{}}
	if all {
		attempts = append(attempts, &batchv1.Job{})
	}
	for _, object := range attempts {
		if slices.ContainsFunc(ended, func(known client.Object) bool { return known.GetName() == name && isJob(known) == isJob(object) }) {
			continue
		}
		// The cache may be behind.
		err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: fr.Namespace, Name: name}, object)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("getting %T %s/%s: %w", object, fr.Namespace, name, err)
		}
		secret, isSecret := object.(*corev1.Secret)
		if err == nil && metav1.IsControlledBy(object, fr) && (!isSecret || secret.Type == AttemptType) {
			ended = append(ended, object)
		}
	}
	return r.Remove(ctx, ended)
}

func isJob(object client.Object) bool {
	_, is := object.(*batchv1.Job)
	return is
}

// Leftovers finds, in the cache, what attempts have left that have ended while nobody could remove it. open is the
// name of the one that goes on, "" where there is none; the Job of one that failed is kept where keepFailed says so.
func (r *Runner) Leftovers(ctx context.Context, fr *v1alpha1.FlexRegistration, open string, keepFailed bool) ([]client.Object, error) {
	made, err := r.made(ctx, fr)
	if err != nil {
		return nil, err
	}
	running := slices.ContainsFunc(made, func(object client.Object) bool {
		job, isJob := object.(*batchv1.Job)
		return isJob && finished(job, batchv1.JobComplete) == nil && finished(job, batchv1.JobFailed) == nil
	})
	return slices.DeleteFunc(made, func(object client.Object) bool {
		job, isJob := object.(*batchv1.Job)
		switch {
		case object.GetName() == open:
			return true
		case isJob:
			return finished(job, batchv1.JobComplete) == nil && (keepFailed || finished(job, batchv1.JobFailed) == nil)
		default: // What is handed over can't be had again.
			return object.GetName() == HandoffName(fr.Name) && (open != "" || running)
		}
	}), nil
}

// made is what the renewals of a FlexRegistration have made, from the cache: Jobs, and the metadata of Secrets.
func (r *Runner) made(ctx context.Context, fr *v1alpha1.FlexRegistration) ([]client.Object, error) {
	found, err := r.owned(ctx, fr, gateway.SecretMetadataList())
	if err != nil {
		return nil, err
	}
	jobs, err := r.owned(ctx, fr, &batchv1.JobList{})
	return append(found, jobs...), err
}

// owned lists, from the cache, what the renewals of a FlexRegistration have made of one kind.
func (r *Runner) owned(ctx context.Context, fr *v1alpha1.FlexRegistration, list client.ObjectList) (found []client.Object, err error) {
	if err := r.Cache.List(ctx, list, client.InNamespace(fr.Namespace), client.MatchingLabels{LabelFlexRegistration: fr.Name}); err != nil {
		return nil, fmt.Errorf("listing what the renewals of FlexRegistration %s/%s have made (%T): %w", fr.Namespace, fr.Name, list, err)
	}
	err = meta.EachListItem(list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok && metav1.IsControlledBy(object, fr) { // Anybody can write a label on anything.
			found = append(found, object)
		}
		return nil
	})
	return found, err
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
