package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// errBusy says that a renewal has to wait for its turn.
var errBusy = errors.New("another one tries the same credentials for the first time, or as many renewals and rollouts are under way as may be (--max-concurrent), or as many have begun (--max-renewals-per-minute), or more urgent ones come first")

// renew claims the certificate, asks the platform, and records the answer. A renewal that goes on in a Job is followed
// without a new claim; its answer may be an *anypoint.Pending.
func (r *Reconciler) renew(ctx context.Context, o *observation, d renewal.Decision) error {
	self := client.ObjectKeyFromObject(o.flexRegistration)
	if err := r.recallTurns(ctx); err != nil {
		return err
	}
	begins := !o.Resumable
	if !begins {
		r.claims.keepTurn(turn{version: o.Record.Intent.Credentials, until: r.Clock.Now().Add(job.Hold)}, self)
		r.claims.claim(o.Record.Intent.Fingerprint, self)
	} else if !r.claims.takeTurn(self, waiting{version: o.Credentials, generation: o.generation, expires: o.ServingUntil(), first: d.Urgent || o.Requested()}, r.Clock.Now()) {
		return errBusy
	} else if claimed, err := r.claim(ctx, o, self); err != nil || !claimed {
		r.claims.giveBack(self)
		return err
	}
	o.outdated = true

	// From here on nothing may be cut short by a shutdown: the platform may have issued a certificate.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewal.Deadline)
	defer cancel()
	intent, old := *o.Record.Intent, o.record.Newest
	if o.Certificate.Fingerprint == intent.Fingerprint {
		old = o.registration // It may have been edited since.
	}
	renewer := r.Renewer
	if r.Jobs != nil {
		renewer = r.Jobs.Attempt(o.flexRegistration, o.gateway, intent, begins)
	}
	renewed, ignored, err := r.ask(asking, o, old, renewer)
	if errors.As(err, new(*anypoint.Pending)) {
		return err
	}
	if err != nil {
		defer r.claims.release(intent.Fingerprint, self)
		failure := failureOf(err, intent)
		if refusesCredentials(failure.State) {
			r.claims.refused(intent.Credentials, refusal{self.Name, failure.State, r.Clock.Now().Add(24 * time.Hour)})
		}
		if err := r.saveOutcome(ctx, o, nil, func(s renewal.Record) renewal.Record { return s.Failed(failure, s.Newest, r.Clock.Now()) }); err != nil {
			return err
		}
		return r.endJob(ctx, o, intent.Job, failure.State == renewal.State(anypoint.JobNotStarted))
	}
	r.claims.accepted(intent.Credentials)
	certificate := renewal.Certificate(renewed.Certificate())
	request := o.Record.Attempts.Request
	if err := r.saveOutcome(ctx, o, renewed, func(s renewal.Record) renewal.Record {
		return s.Succeeded(certificate, request, r.Clock.Now())
	}); err != nil {
		r.claims.release(intent.Fingerprint, self)
		return err
	}
	r.event(o.flexRegistration, corev1.EventTypeNormal, "Renewed", "Renew", "renewed certificate %s: the new one is %s and expires at %s",
		old.Certificate().SerialNumber, certificate.SerialNumber, stamp(certificate.NotAfter))
	if len(ignored) > 0 {
		r.event(o.flexRegistration, corev1.EventTypeWarning, "AnswerDiffers", "Renew", "the renewed registration also differs in %s; only the certificate and its key were taken over", strings.Join(ignored, ", "))
	}
	return r.endJob(ctx, o, intent.Job, true)
}

// endJob removes what a renewal in a Job has left; the Job itself stays for its logs where it has failed. Where that can't
// be done, it is found as a leftover.
func (r *Reconciler) endJob(ctx context.Context, o *observation, name string, all bool) error {
	if name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.Jobs.End(ctx, o.flexRegistration, name, all)
}

// failureOf is what the record remembers of an error. What was tried is the intent's: it may have been changed since.
func failureOf(err error, intent renewal.Intent) renewal.Failure {
	failure := &anypoint.Error{Class: anypoint.FlexctlFailed, Detail: "renewing failed in an unknown way", Unresolved: true}
	errors.As(err, &failure)
	f := renewal.Failure{State: renewal.State(failure.Class), Message: failure.Detail, Unresolved: failure.Unresolved, Retry: retries[failure.Class], Credentials: intent.Credentials}
	switch failure.Class {
	case anypoint.FlexctlUnusable, anypoint.FlexctlTooOld, anypoint.JobNotStarted:
		f.Image = intent.Image
	}
	return f
}

// claim writes the intent into the record, after a last look at who else might renew this certificate, and shows it in
// the status, where a successor of this process looks. It returns false where the renewal must not start after all. It
// takes at most the time by which renewal.Hold is longer than the renewal's deadline.
func (r *Reconciler) claim(ctx context.Context, o *observation, self types.NamespacedName) (claimed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, renewal.Hold-renewal.Deadline-5*time.Second)
	defer cancel()
	fingerprint := o.Certificate.Fingerprint
	owner := r.claims.claim(fingerprint, self)
	if owner != self && !r.upholds(ctx, owner, fingerprint) {
		r.claims.release(fingerprint, owner)
		owner = r.claims.claim(fingerprint, self)
	}
	if owner != self {
		o.Excluded = renewal.NewFinding(v1alpha1.ReasonDuplicate, "FlexRegistration %s renews the same certificate (%s)", owner, o.Certificate.SerialNumber)
		return false, nil
	}
	defer func() {
		if !claimed {
			r.claims.release(fingerprint, self)
			r.claims.noTrial(self)
		}
	}()
	if err := r.observePeers(ctx, o); err != nil {
		return false, err
	}
	if err := r.observeFleet(ctx, o); err != nil {
		return false, err
	}
	now := r.Clock.Now()
	d := renewal.Plan(o.Observation, now)
	if d.Step != renewal.StepRenew {
		return false, nil
	}
	intent := renewal.Intent{
		Since: now, Until: now.Add(renewal.Hold), By: r.Identity, For: string(o.flexRegistration.UID),
		Credentials: o.Credentials, Image: o.Image, Cause: bounded(renewal.Cause(o.Observation, d)),
	}
	if r.Jobs != nil {
		intent.Until = now.Add(job.Hold)
		intent.Job = job.Name(o.flexRegistration, fingerprint, o.Record.AttemptsFor(fingerprint).Failed, now)
	}
	if err := r.save(ctx, o, nil, func(s renewal.Record) renewal.Record {
		return s.Claimed(o.Certificate, o.RenewRequest, intent)
	}); err != nil {
		return false, err
	}
	if intent.Job != "" { // From now on this is what is decided.
		o.Resumable = true
		d = renewal.Plan(o.Observation, now)
	}
	if err := r.report(ctx, o, d); err != nil {
		// A renewal matters more than its status.
		log.FromContext(ctx).Error(err, "reporting that a renewal starts")
	}
	return true, nil
}

// upholds says that a FlexRegistration which has claimed a certificate is still there and at it.
func (r *Reconciler) upholds(ctx context.Context, owner types.NamespacedName, fingerprint string) bool {
	fr := &v1alpha1.FlexRegistration{}
	if r.Client.Get(ctx, owner, fr) != nil {
		return false
	}
	return isRenewing(fr) || works(fr) && fr.Status.Certificate != nil && fr.Status.Certificate.Fingerprint == fingerprint
}

// ask asks the platform and checks its answer. What is returned is the old registration with the certificate and key of
// the answer; ignored names what else differs in it.
func (r *Reconciler) ask(ctx context.Context, o *observation, old *registration.Registration, renewer anypoint.Renewer) (renewed *registration.Registration, ignored []string, err error) {
	answer, err := renewer.Renew(ctx, old, o.credentials)
	if err != nil {
		return nil, nil, err
	}
	ignored, err = registration.Verify(old, answer, r.Clock.Now())
	alone := map[string][]byte{registration.DefaultKey: old.Marshal()}
	if err == nil {
		alone, err = registration.Merge(alone, registration.DefaultKey, answer)
	}
	if err == nil {
		renewed, err = registration.Parse(alone, registration.DefaultKey)
	}
	if err != nil {
		return nil, nil, &anypoint.Error{Class: anypoint.ResultInvalid, Detail: "what Anypoint answered is no renewal of this registration: " + err.Error(), Unresolved: true}
	}
	return renewed, ignored, nil
}

// outcomeTimeout is how long the write of the platform's answer is repeated: it can't be had again.
const outcomeTimeout = 10 * time.Minute

// OutcomeGrace is how long that goes on when the process is being stopped, after a renewal that is under way.
const OutcomeGrace = time.Minute

// saveOutcome stores the outcome of a renewal, whatever the API server answers at first and also where somebody else
// has written the record meanwhile.
func (r *Reconciler) saveOutcome(ctx context.Context, o *observation, renewed *registration.Registration, change func(renewal.Record) renewal.Record) error {
	repeated := outcomeTimeout
	if o.Record.Intent.Job != "" {
		repeated = timeout // A Job's answer stays where it is until it is recorded.
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), repeated)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		grace, end := context.WithTimeout(writing, OutcomeGrace)
		defer end()
		<-grace.Done()
		cancel()
	})()
	claimed := o.Record.Newest.Fingerprint
	var last error
	_ = wait.PollUntilContextCancel(writing, time.Second, true, func(ctx context.Context) (bool, error) {
		if last = r.save(ctx, o, renewed, change); last == nil {
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
		case err != nil || refused != nil || stored.Newest == nil:
			return false, nil //nolint:nilerr // It is tried again; the first error says more.
		case renewed != nil && stored.Newest.Certificate().Fingerprint == renewed.Certificate().Fingerprint,
			renewed == nil && stored.Intent == nil:
			last = nil // An earlier write had taken effect; its answer was lost.
			r.audit(ctx, o.record.Record, stored.Record)
			o.remember(stored)
			return true, nil
		case stored.Newest.Certificate().Fingerprint != claimed:
			last = fmt.Errorf("somebody else has recorded another registration meanwhile: %w", last)
			return true, nil
		}
		o.remember(stored)
		return false, nil
	})
	return last
}

// refusesCredentials says that a failure concerns everybody who uses the same credentials. A missing scope does not: it
// may be missing for one environment.
func refusesCredentials(state renewal.State) bool {
	return state == renewal.State(anypoint.CredentialsRejected) || state == renewal.State(anypoint.MFARequired)
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
	anypoint.FlexctlTooOld:       renewal.RetrySlowly,
	anypoint.FlexctlFailed:       renewal.RetrySlowly,
	anypoint.ResultInvalid:       renewal.RetrySlowly,
	anypoint.HostNotAllowed:      renewal.RetrySlowly,
	anypoint.JobNotStarted:       renewal.RetryBackoff,
	anypoint.JobFailed:           renewal.RetryBackoff,
}
