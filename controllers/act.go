package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// act performs one step and brings the observation up to date with what the API server answered.
func (r *Reconciler) act(ctx context.Context, o *observation, d renewal.Decision) error {
	log.FromContext(ctx).Info("acting", "step", d.Step, "message", d.Message)
	switch d.Step {
	case renewal.StepConfirm:
		return r.save(ctx, o, o.record, func(s renewal.Record) renewal.Record { return s.Used(o.Cluster) })
	case renewal.StepAdopt:
		return r.adopt(ctx, o)
	case renewal.StepRenew:
		return r.renew(ctx, o)
	case renewal.StepPublish:
		return r.publish(ctx, o)
	case renewal.StepAdvance:
		if err := r.save(ctx, o, o.record, func(s renewal.Record) renewal.Record { return s.Published(o.SecretChanged, r.Clock.Now()) }); err != nil {
			return err
		}
		return r.observeDeployments(ctx, o)
	case renewal.StepRoll:
		return r.roll(ctx, o, d.Deployment)
	case renewal.StepComplete:
		if err := r.save(ctx, o, o.record, renewal.Record.RolledOut); err != nil {
			return err
		}
		r.event(o.flexRegistration, corev1.EventTypeNormal, "RolledOut", "Roll", "every pod of the gateway runs with certificate %s", o.Certificate.SerialNumber)
		return nil
	default:
		return fmt.Errorf("there is no step %q", d.Step)
	}
}

// save stores the record with a changed state.
func (r *Reconciler) save(ctx context.Context, o *observation, record *gateway.Record, change func(renewal.Record) renewal.Record) error {
	changed := *record
	changed.Record = change(record.Record)
	if err := changed.Save(ctx, r.Client, o.gateway); err != nil {
		return err
	}
	o.remember(&changed)
	return nil
}

func (r *Reconciler) adopt(ctx context.Context, o *observation) error {
	first := !o.Record.Exists()
	replaced := o.Record.Newest.SerialNumber
	err := r.save(ctx, o, o.record.With(o.registration), func(s renewal.Record) renewal.Record {
		if first {
			return s.Used(o.Cluster).Seen(o.Certificate)
		}
		return s.Adopted(o.Certificate)
	})
	if err == nil && !first {
		r.event(o.flexRegistration, corev1.EventTypeNormal, "Adopted", "Adopt", "adopted certificate %s, which somebody else has put in the place of %s", o.Certificate.SerialNumber, replaced)
	}
	return err
}

// renew claims the certificate, asks the platform, and records the answer. Only the claim and what it rests on
// happen one at a time; the platform is asked by as many at once as have different credentials.
func (r *Reconciler) renew(ctx context.Context, o *observation) error {
	key := o.flexRegistration.Namespace + "/" + o.flexRegistration.Spec.CredentialsRef.Name
	r.credentialsInUse.LockKey(key)
	defer func() { _ = r.credentialsInUse.UnlockKey(key) }()
	if claimed, err := r.claim(ctx, o); err != nil || !claimed {
		return err
	}

	// From here on nothing may be cut short by a shutdown: the platform may have issued a certificate.
	ctx = context.WithoutCancel(ctx)
	asking, cancel := context.WithTimeout(ctx, renewal.Deadline)
	defer cancel()
	old := o.registration
	renewed, ignored, failure := r.ask(asking, o)
	if failure != nil {
		defer r.release(o.Certificate.Fingerprint)
		f := renewal.Failure{State: renewal.State(failure.Class), Message: failure.Detail, Unresolved: failure.Unresolved, Retry: retries[failure.Class], Credentials: o.Credentials}
		err := r.saveOutcome(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.Failed(f, o.Certificate, r.Clock.Now()) })
		if attempts := o.Record.Attempts; attempts.Refused != "" {
			r.refusals.Store(attempts.Refused, refusal{o.flexRegistration.Name, attempts.State, attempts.Next})
		}
		return err
	}
	r.refusals.Delete(o.Credentials)
	certificate := renewal.Certificate(renewed.Certificate())
	if err := r.saveOutcome(ctx, o, renewed, func(s renewal.Record) renewal.Record {
		return s.Succeeded(certificate, o.RenewRequest, r.Clock.Now())
	}); err != nil {
		return err
	}
	r.event(o.flexRegistration, corev1.EventTypeNormal, "Renewed", "Renew", "renewed certificate %s: the new one is %s and expires at %s",
		old.Certificate().SerialNumber, certificate.SerialNumber, certificate.NotAfter.UTC().Format(time.RFC3339))
	if len(ignored) > 0 {
		r.event(o.flexRegistration, corev1.EventTypeWarning, "AnswerDiffers", "Renew", "the renewed registration also differs in %s; only the certificate and its key were taken over", bounded(strings.Join(ignored, ", ")))
	}
	return nil
}

// claim writes the intent into the record, after a last look at who else might renew this certificate, and shows
// it in the status, where a successor of this process looks. It returns false where the renewal must not start
// after all. Claims of this process are also kept in memory, because the cache may not have the newest status.
func (r *Reconciler) claim(ctx context.Context, o *observation) (bool, error) {
	r.claimsLock.Lock()
	defer r.claimsLock.Unlock()
	self, fingerprint := client.ObjectKeyFromObject(o.flexRegistration), o.Certificate.Fingerprint
	if err := r.observePeers(ctx, o); err != nil {
		return false, err
	}
	if owner, ok := r.claims[fingerprint]; ok && owner != self && r.Client.Get(ctx, owner, &v1alpha1.FlexRegistration{}) == nil {
		o.Excluded = finding(v1alpha1.ReasonDuplicate, "FlexRegistration %s renews the same certificate (%s)", owner, o.Certificate.SerialNumber)
	}
	now := r.Clock.Now()
	d := renewal.Plan(o.Observation, now)
	if d.Step != renewal.StepRenew {
		return false, nil
	}
	if err := r.save(ctx, o, o.record, func(s renewal.Record) renewal.Record {
		return s.Claimed(o.Certificate, o.RenewRequest, r.Identity, now)
	}); err != nil {
		return false, err
	}
	r.claims[fingerprint] = self
	if err := r.report(ctx, o, d); err != nil {
		// A renewal matters more than its status.
		log.FromContext(ctx).Error(err, "reporting that a renewal starts")
	}
	return true, nil
}

// release forgets a claim whose renewal failed.
func (r *Reconciler) release(fingerprint string) {
	r.claimsLock.Lock()
	defer r.claimsLock.Unlock()
	delete(r.claims, fingerprint)
}

// ask asks the platform and checks its answer. What is returned is the present registration with the
// certificate and key of the answer; ignored names what else differs in it.
func (r *Reconciler) ask(ctx context.Context, o *observation) (renewed *registration.Registration, ignored []string, failure *anypoint.Error) {
	answer, err := r.Renewer.Renew(ctx, o.registration, o.credentials)
	if err != nil {
		if !errors.As(err, &failure) {
			failure = &anypoint.Error{Class: anypoint.FlexctlFailed, Detail: "renewing failed in an unknown way", Unresolved: true}
		}
		return nil, nil, failure
	}
	invalid := func(err error) *anypoint.Error {
		return &anypoint.Error{Class: anypoint.ResultInvalid, Detail: "what Anypoint answered is no renewal of this registration: " + err.Error(), Unresolved: true}
	}
	if ignored, err = registration.Verify(o.registration, answer, r.Clock.Now()); err != nil {
		return nil, nil, invalid(err)
	}
	alone := map[string][]byte{registration.DefaultKey: o.registration.Marshal()}
	if alone, err = registration.Merge(alone, registration.DefaultKey, answer); err != nil {
		return nil, nil, invalid(err)
	}
	if renewed, err = registration.Parse(alone, registration.DefaultKey); err != nil {
		return nil, nil, invalid(err)
	}
	return renewed, ignored, nil
}

// saveOutcome stores the outcome of a renewal. The answer of the platform can't be had again, so the write is
// repeated for a while where the API server doesn't take it, also when somebody else has written the record.
func (r *Reconciler) saveOutcome(ctx context.Context, o *observation, renewed *registration.Registration, change func(renewal.Record) renewal.Record) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	claimed := o.Record.Intent
	var last error
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.1, Steps: 14}
	_ = wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		record := o.record
		if renewed != nil {
			record = record.With(renewed)
		}
		if last = r.save(ctx, o, record, change); last == nil {
			return true, nil
		}
		log.FromContext(ctx).Error(last, "storing the outcome of a renewal; trying again")
		if apierrors.IsNotFound(last) {
			o.record = o.record.Unstored() // Somebody has deleted the record: it is made anew.
		}
		if !apierrors.IsConflict(last) && !apierrors.IsAlreadyExists(last) {
			return false, nil
		}
		stored, refused, err := gateway.LoadRecord(ctx, r.APIReader, o.gateway)
		switch {
		case err != nil || refused != nil:
			return false, nil //nolint:nilerr // It is tried again; the first error says more.
		case renewed != nil && stored.Newest != nil && stored.Newest.Certificate().Fingerprint == renewed.Certificate().Fingerprint,
			renewed == nil && stored.Intent == nil:
			last = nil // An earlier write had taken effect; its answer was lost.
			o.remember(stored)
			return true, nil
		case stored.Intent == nil || stored.Intent.By != claimed.By || stored.Intent.Attempt != claimed.Attempt:
			last = fmt.Errorf("the claim was lost to somebody else: %w", last)
			return true, nil
		}
		o.remember(stored)
		return false, nil
	})
	return last
}

func (r *Reconciler) publish(ctx context.Context, o *observation) error {
	secret, parsed, err := gateway.Publish(ctx, r.Client, r.APIReader, o.secret, o.gateway.Key, o.record.Newest)
	if err != nil {
		return err
	}
	o.see(secret, parsed)
	return nil
}

func (r *Reconciler) roll(ctx context.Context, o *observation, name string) error {
	i := slices.IndexFunc(o.Deployments, func(d renewal.Deployment) bool { return d.Name == name })
	annotation := o.Record.Rollout.Annotation()
	if err := gateway.Roll(ctx, r.Client, &o.gateway.Deployments[i], annotation); err != nil {
		return err
	}
	o.Deployments[i].Annotation, o.Deployments[i].Complete, o.Deployments[i].Message = annotation, false, "it has just begun"
	return nil
}

// retries says how each class of error is repeated.
var retries = map[anypoint.Class]renewal.Retry{
	anypoint.CredentialsRejected: renewal.RetryOnChange,
	anypoint.MFARequired:         renewal.RetryOnChange,
	anypoint.MissingScope:        renewal.RetryOnChange,
	anypoint.RequestRefused:      renewal.RetrySlowly,
	anypoint.RateLimited:         renewal.RetryBackoff,
	anypoint.PlatformUnavailable: renewal.RetryBackoff,
	anypoint.TimedOut:            renewal.RetryBackoff,
	anypoint.FlexctlUnusable:     renewal.RetrySlowly,
	anypoint.FlexctlFailed:       renewal.RetrySlowly,
	anypoint.ResultInvalid:       renewal.RetrySlowly,
	anypoint.HostNotAllowed:      renewal.RetrySlowly,
}

// event tells a person something. r.Recorder takes care that it is not repeated endlessly.
func (r *Reconciler) event(fr *v1alpha1.FlexRegistration, kind, reason, action, format string, args ...any) {
	r.Recorder.Eventf(fr, nil, kind, reason, action, "%s", fmt.Sprintf(format, args...))
}

// bounded cuts a text to what an Event's note may hold, 1024 bytes.
func bounded(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
