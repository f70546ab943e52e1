package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// checkPromises checks P1 to P4 and P6 after a run, and that nothing is left; P5 is that it came to its end.
func (r *run) checkPromises(ctx context.Context, result Result) error {
	record := &corev1.Secret{}
	name := gateway.RecordName(operator.SecretName, registration.DefaultKey)
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, record); err != nil {
		return fmt.Errorf("P1: the record is gone: %w", err)
	}
	published, err := r.published(ctx)
	if err != nil {
		return err
	}
	fr := operator.FlexRegistration(r.namespace, operator.GatewayName)
	if err := r.bench.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return err
	}
	left := r.nothingIsLeft(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(
		r.recordedAreKept(record, published),
		r.versionsAreSound(),
		r.renewedOnce(result),
		r.handedOverAreRecorded(result),
		r.attemptedOnce(result),
		r.rolledOnce(ctx),
		r.secretsAreKept(fr, record),
		left,
	)
}

// recordedAreKept, P1: what was recorded last is published and recorded, what it replaced is recorded as previous.
func (r *run) recordedAreKept(record *corev1.Secret, published registration.Certificate) error {
	var kept []string
	for _, key := range []string{"previous.yaml", "newest.yaml"} {
		parsed, err := registration.Parse(record.Data, key)
		if err != nil {
			return fmt.Errorf("P1: the record's %s: %w", key, err)
		}
		kept = append(kept, parsed.Certificate().Fingerprint)
	}
	if want := r.recorded[max(0, len(r.recorded)-2):]; !slices.Equal(kept, want) {
		return fmt.Errorf("P1: recorded were %v, in the end the record holds %v", r.recorded, kept)
	}
	if published.Fingerprint != kept[1] {
		return fmt.Errorf("P1: recorded is %s, published %s", kept[1], published.Fingerprint)
	}
	return nil
}

// versionsAreSound, P2: every version of the gateway's Secret parses and differs from the first in nothing but the
// certificate and key: with the original ones put back, it is the original byte for byte.
func (r *run) versionsAreSound() error {
	first := r.versions[0]
	for _, version := range r.versions {
		if _, err := registration.Parse(version.Data, registration.DefaultKey); err != nil {
			return fmt.Errorf("P2: resource version %s: %w", version.ResourceVersion, err)
		}
		back, err := registration.Merge(version.Data, registration.DefaultKey, r.original)
		if err != nil {
			return fmt.Errorf("P2: resource version %s: %w", version.ResourceVersion, err)
		}
		if !maps.EqualFunc(back, first.Data, bytes.Equal) || !maps.Equal(version.Labels, first.Labels) ||
			!maps.Equal(version.Annotations, first.Annotations) || version.Type != first.Type || len(version.OwnerReferences) > 0 {
			return fmt.Errorf("P2: resource version %s differs from the first in more than the certificate and key", version.ResourceVersion)
		}
	}
	return nil
}

// renewedOnce, P3: the platform renewed once, and once more for each time that its answer was lost.
func (r *run) renewedOnce(result Result) error {
	lost := 0
	for _, f := range result.Fired {
		if f.mayLoseAnswer(r.runner) {
			lost++
		}
	}
	unrecorded := 0
	for _, renewal := range r.platform.Renewals(r.gateway.AgentID) {
		if !slices.Contains(r.recorded, renewal.NewFingerprint) {
			unrecorded++
		}
		if renewal.OldFingerprint != r.original.Certificate().Fingerprint {
			return errors.New("P3: a certificate was renewed that had been renewed already")
		}
	}
	if result.Renewals-unrecorded != 1 || unrecorded > lost {
		return fmt.Errorf("P3: renewed %d times, %d answers were not recorded, %d may have been lost", result.Renewals, unrecorded, lost)
	}
	return nil
}

// rolledOnce, P4: the pods were replaced once.
func (r *run) rolledOnce(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operator.GatewayName}, d); err != nil {
		return err
	}
	if revision := d.Annotations["deployment.kubernetes.io/revision"]; revision != "2" {
		return fmt.Errorf("P4: the Deployment is at revision %s, want 2", revision)
	}
	return nil
}
