package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// maxClockTime bounds how far the operator's clock is moved for it to converge. An unresolved intent is held for
// minutes; a failure is repeated within a quarter of an hour.
const maxClockTime = 2 * time.Hour

// converge waits until the gateway is renewed and rolled.
func (r *run) converge(ctx context.Context) error {
	const step = 30 * time.Second
	deadline := r.clock.Now().Add(maxClockTime)
	return r.live(ctx, step, func(now string, done bool) (bool, error) {
		if !done && r.clock.Now().After(deadline) {
			return false, fmt.Errorf("not converged after %s on the operator's clock: %s", maxClockTime, now)
		}
		return done, nil
	})
}

// live lets things happen until it is told that they have. A dead operator is followed by one with fresh memory. Where
// nothing happens for a moment the clock is moved, but not while a Job goes on: pods have the machine's clock.
func (r *run) live(ctx context.Context, step time.Duration, enough func(now string, converged bool) (bool, error)) error {
	const stillness = 200 * time.Millisecond
	last, lastChange, now := "", time.Now(), ""
	err := poll(ctx, func() (bool, error) {
		if err := r.revive(); err != nil {
			return false, err
		}
		var converged bool
		var err error
		if converged, now, err = r.state(ctx); err != nil {
			return false, err
		}
		if over, err := enough(now, converged); err != nil || over {
			return over, err
		}
		if calls, _ := r.breaker.report(); now+fmt.Sprint(len(calls)) != last {
			last, lastChange = now+fmt.Sprint(len(calls)), time.Now()
		} else if time.Since(lastChange) > stillness && !r.busy() {
			r.clock.Step(step)
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

// state says whether everything is as it should be in the end, and what it is like.
func (r *run) state(ctx context.Context) (done bool, description string, err error) {
	fr := operator.FlexRegistration(r.namespace, operator.GatewayName)
	if err := r.bench.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return false, "", err
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return false, "", err
	}
	certificate, err := r.published(ctx)
	if err != nil {
		return false, "", err
	}
	c := fr.Status.Conditions
	ready := meta.FindStatusCondition(c, v1alpha1.ConditionReady)
	rolled := len(pods) == 2 && !slices.ContainsFunc(pods, notReady) && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return !strings.HasPrefix(p.Annotations[v1alpha1.AnnotationRegistration], certificate.Fingerprint)
	})
	done = ready != nil && ready.Status == "True" && ready.Reason == v1alpha1.ReasonScheduled && rolled &&
		meta.IsStatusConditionTrue(c, v1alpha1.ConditionRenewed) && meta.IsStatusConditionTrue(c, v1alpha1.ConditionRolledOut) &&
		certificate.NewerThan(r.original.Certificate()) && fr.Status.Certificate.Fingerprint == certificate.Fingerprint
	return done, fmt.Sprintf("conditions %+v, %d pods, certificate %s", c, len(pods), certificate.SerialNumber), nil
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
