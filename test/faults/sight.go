package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// sight is what everything is like at a moment.
type sight struct {
	// now is the operator's time, elapsed how much of it has passed since somebody did something.
	now        time.Time
	elapsed    time.Duration
	status     v1alpha1.FlexRegistrationStatus
	pods       []corev1.Pod
	deployment *appsv1.Deployment
	published  registration.Certificate
	// What the operator has recorded. The fingerprints are "" before the renewal.
	record           renewal.Record
	newest, previous string
	// rollouts and claims count those that there were.
	rollouts, claims int
}

func (s sight) String() string {
	return fmt.Sprintf("conditions %+v, %d pods, certificate %s, %d rollouts", s.status.Conditions, len(s.pods), s.published.SerialNumber, s.rollouts)
}

// overdue says that what somebody did has come to no end.
func (s sight) overdue(within time.Duration) error {
	if s.elapsed <= within {
		return nil
	}
	return fmt.Errorf("not converged after %s on the operator's clock: %s", within, s)
}

// live lets things happen until it is told that they have. A dead operator is followed by one with fresh memory. Where
// nothing happens for a moment the clock is moved, but not while a Job or a rollout goes on: pods have the machine's
// clock.
func (r *run) live(ctx context.Context, step func(sight) time.Duration, enough func(sight) (bool, error)) error {
	const stillness = 200 * time.Millisecond
	last, lastChange, now := "", time.Now(), sight{}
	err := poll(ctx, func() (bool, error) {
		if err := r.revive(); err != nil {
			return false, err
		}
		var err error
		if now, err = r.look(ctx); err != nil {
			return false, err
		}
		if over, err := enough(now); over || err != nil {
			return over, err
		}
		calls, _ := r.breaker.report()
		if seen := now.String() + fmt.Sprint(len(calls)); seen != last {
			last, lastChange = seen, time.Now()
		} else if time.Since(lastChange) > stillness && !r.busy() {
			r.clock.Step(step(now))
			lastChange = time.Now()
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %s", err, now)
	}
	if err != nil {
		return fmt.Errorf("P5: %w", err)
	}
	return nil
}

func (r *run) look(ctx context.Context) (sight, error) {
	fr := r.flexRegistration()
	if err := r.bench.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return sight{}, err
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return sight{}, err
	}
	certificate, err := r.published(ctx)
	if err != nil {
		return sight{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := sight{
		now: r.clock.Now(), elapsed: r.clock.Since(r.turned), status: fr.Status, pods: pods, deployment: r.deployment, published: certificate,
		record: r.record, rollouts: len(r.rollouts), claims: len(r.claims),
	}
	if n := len(r.recorded); n > 1 {
		s.previous, s.newest = r.recorded[n-2], r.recorded[n-1]
	}
	return s, nil
}

func newest(s sight) string   { return s.newest }
func previous(s sight) string { return s.previous }

// settled says that the gateway has a registration, that all its pods have it, and that nothing more is to be done: as
// usual where it is the newest, as long as a person wants it where it is the one before.
func settled(which func(sight) string) func(sight) bool {
	return func(s sight) bool {
		if s.deployment == nil || s.status.Certificate == nil || s.record.Intent != nil || !s.record.Revert.Since.IsZero() {
			return false
		}
		told := tells(string(renewal.Pinned))(s)
		if which(s) == s.newest {
			told = tells(string(renewal.Scheduled))(s) && meta.IsStatusConditionTrue(s.status.Conditions, v1alpha1.ConditionReady) &&
				meta.IsStatusConditionTrue(s.status.Conditions, v1alpha1.ConditionRenewed)
		}
		want := which(s)
		return told && meta.IsStatusConditionTrue(s.status.Conditions, v1alpha1.ConditionRolledOut) &&
			want != "" && s.published.Fingerprint == want && s.status.Certificate.Fingerprint == want && s.record.Rollout.Fingerprint == want &&
			len(s.pods) == int(ptr.Deref(s.deployment.Spec.Replicas, 1)) && !slices.ContainsFunc(s.pods, func(p corev1.Pod) bool {
			return notReady(p) || p.Annotations[v1alpha1.AnnotationRegistration] != s.record.Rollout.Annotation()
		})
	}
}

// upToDate says the same where rollouts may have been taken back: that all pods were made for the newest registration, or
// after it was published.
func upToDate(s sight) bool {
	return s.newest != "" && tells(string(renewal.Scheduled))(s) && s.record.Intent == nil && s.record.Revert.Since.IsZero() &&
		s.published.Fingerprint == s.newest && s.record.Rollout.Fingerprint == s.newest && meta.IsStatusConditionTrue(s.status.Conditions, v1alpha1.ConditionRolledOut) &&
		len(s.pods) == 2 && !slices.ContainsFunc(s.pods, func(p corev1.Pod) bool {
		return notReady(p) || p.Annotations[v1alpha1.AnnotationRegistration] != s.record.Rollout.Annotation() && p.CreationTimestamp.Time.Before(s.record.Rollout.Published)
	})
}

// held says that the operator has begun a rollout, which waits until somebody resumes it. Whether Ready tells that already
// makes no difference.
func held(s sight) bool {
	return s.rollouts > 0 && s.record.Rollout.Rolled != nil && s.deployment.Spec.Paused && s.deployment.Status.ObservedGeneration == s.deployment.Generation
}

// tells says that Ready has a reason.
func tells(reason string) func(sight) bool {
	return func(s sight) bool {
		return slices.ContainsFunc(s.status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionReady && c.Reason == reason })
	}
}

// allChecked says that what only others can tell is as it should be.
func allChecked(s sight) bool {
	is := s.status.Conditions
	return meta.IsStatusConditionTrue(is, v1alpha1.ConditionCredentialsValid) && meta.IsStatusConditionTrue(is, v1alpha1.ConditionRehearsed) &&
		meta.IsStatusConditionTrue(is, v1alpha1.ConditionPlatformVerified)
}

func (r *run) published(ctx context.Context) (registration.Certificate, error) {
	secret := &corev1.Secret{}
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operator.SecretName}, secret); err != nil {
		return registration.Certificate{}, err
	}
	parsed, err := registration.Parse(secret.Data, registration.DefaultKey)
	if err != nil {
		return registration.Certificate{}, fmt.Errorf("P2: %w", err)
	}
	return parsed.Certificate(), nil
}

// pods are the gateway's that are not on their way out.
func (r *run) pods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.bench.Admin.List(ctx, &pods, client.InNamespace(r.namespace)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return !p.DeletionTimestamp.IsZero() || p.Labels[batchv1.JobNameLabel] != ""
	}), nil
}

func notReady(p corev1.Pod) bool {
	return !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
