package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// checkPromises checks P1 to P4 and P6 after a run, and that nothing is left; P5 is that it came to its end.
func (r *run) checkPromises(ctx context.Context, result Result) error {
	record, err := r.storedRecord(ctx)
	if err != nil {
		return err
	}
	published, err := r.published(ctx)
	if err != nil {
		return err
	}
	fr := r.flexRegistration()
	if err := r.bench.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return err
	}
	left := r.nothingIsLeft(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := []error{
		r.recordedAreKept(record, published),
		r.versionsAreSound(),
		r.renewedOnce(result),
		r.handedOverAreRecorded(result),
		r.attemptedOnce(result),
		r.rolledAsTold(ctx),
		r.secretsAreKept(fr, record),
		left,
	}
	for _, kept := range r.story.promises {
		errs = append(errs, kept(r))
	}
	return errors.Join(errs...)
}

// recordedAreKept, P1: what was recorded last is published and recorded, what it replaced is recorded as previous.
func (r *run) recordedAreKept(record *corev1.Secret, published registration.Certificate) error {
	var kept []string
	for _, key := range []string{recordPrevious, recordNewest} {
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

// versionsAreSound, P2: every version of the gateway's Secret parses and differs from the last that somebody else has
// written in nothing but the certificate and key: with the same ones in both, they are the same byte for byte.
func (r *run) versionsAreSound() error {
	var theirs corev1.Secret
	var want map[string][]byte
	for _, version := range r.versions {
		if _, err := registration.Parse(version.Data, registration.DefaultKey); err != nil {
			return fmt.Errorf("P2: resource version %s: %w", version.ResourceVersion, err)
		}
		got, err := registration.Merge(version.Data, registration.DefaultKey, r.original)
		if err != nil {
			return fmt.Errorf("P2: resource version %s: %w", version.ResourceVersion, err)
		}
		if slices.Contains(r.theirs, version.ResourceVersion) {
			theirs, want = version, got
		}
		if !maps.EqualFunc(got, want, bytes.Equal) || !maps.Equal(version.Labels, theirs.Labels) ||
			!maps.Equal(version.Annotations, theirs.Annotations) || version.Type != theirs.Type || len(version.OwnerReferences) > 0 {
			return fmt.Errorf("P2: resource version %s differs from %s, which somebody has written, in more than the certificate and key", version.ResourceVersion, theirs.ResourceVersion)
		}
	}
	return nil
}

// renewedOnce, P3: the platform renewed once, and once more for each time that its answer was lost; nothing more once the
// gateway has been renewed.
func (r *run) renewedOnce(result Result) error {
	lost := 0
	for _, f := range result.Fired {
		if r.story.Renews() && f.mayLoseAnswer(r.story.Runner) {
			lost++
		}
	}
	unrecorded, renewals := 0, r.platform.Renewals(r.gateway.AgentID)
	for _, renewal := range renewals {
		if !slices.Contains(r.recorded, renewal.NewFingerprint) {
			unrecorded++
		}
		if renewal.OldFingerprint != r.original.Certificate().Fingerprint {
			return errors.New("P3: a certificate was renewed that had been renewed already")
		}
	}
	if len(renewals)-unrecorded != 1 || unrecorded > lost {
		return fmt.Errorf("P3: renewed %d times, %d answers were not recorded, %d may have been lost", len(renewals), unrecorded, lost)
	}
	return nil
}
