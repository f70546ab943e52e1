package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// What a record holds.
const (
	recordState    = "state.json"
	recordNewest   = "newest.yaml"
	recordPrevious = "previous.yaml"
)

// storedRecord reads the record.
func (r *run) storedRecord(ctx context.Context) (*corev1.Secret, error) {
	record := &corev1.Secret{}
	name := gateway.RecordName(operator.SecretName, registration.DefaultKey)
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, record); err != nil {
		return nil, fmt.Errorf("P1: the record is gone: %w", err)
	}
	return record, nil
}

// wrote notes what the operator has written to the record, to the gateway's Secret and to its Deployment, one after the
// other.
func (r *run) wrote(call Call, body []byte) {
	if strings.HasSuffix(call.Verb, dryRun) {
		return
	}
	secret := writtenSecret(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case call.Resource == "deployments":
		if n := r.record.Rollout.Sequence; r.rolledAt[n].IsZero() {
			r.rolledAt[n] = r.clock.Now()
		}
	case secret == nil:
	case secret.Type == gateway.RecordType:
		err = r.wroteRecord(secret)
	case call.Resource == "secrets" && call.Name == operator.SecretName:
		err = r.wroteRegistration(secret)
	}
	if err != nil {
		r.spoiled = append(r.spoiled, fmt.Errorf("%s: %w", call, err))
	}
}

// wroteRecord, P1: a registration that is recorded stays, or becomes the previous one. r.mu is held.
func (r *run) wroteRecord(secret *corev1.Secret) error {
	var record renewal.Record
	if err := json.Unmarshal(secret.Data[recordState], &record); err != nil {
		return fmt.Errorf("P1: the record's state: %w", err)
	}
	if i, before := record.Intent, r.record.Intent; i != nil && (before == nil || *i != *before) {
		r.claims = append(r.claims, *i)
	}
	newest, previous, before := fingerprint(secret.Data[recordNewest]), fingerprint(secret.Data[recordPrevious]), r.kept
	r.record, r.kept = record, [2]string{previous, newest}
	if !slices.Contains(r.recorded, newest) {
		r.recorded = append(r.recorded, newest)
		r.recordedAt[newest] = r.clock.Now()
	}
	if before != [2]string{} && r.kept != before && (previous != before[1] || newest == before[0]) {
		return fmt.Errorf("P1: the record held %v, and then %v", before, r.kept)
	}
	return nil
}

// wroteRegistration, P1: what is published is what was recorded to be published. r.mu is held.
func (r *run) wroteRegistration(secret *corev1.Secret) error {
	desired := r.kept[1]
	if r.record.Pin != "" {
		desired = r.record.Pin
	}
	if got := fingerprint(secret.Data[registration.DefaultKey]); got != desired {
		return fmt.Errorf("P1: %s was published when %s was recorded to be", got, desired)
	}
	return nil
}

// claimedBetween, P3: a renewal is claimed for the first time between two moments, and then within an hour after the
// attempt before. r.mu is held.
func (r *run) claimedBetween(from, to time.Time) error {
	if len(r.claims) == 0 {
		return fmt.Errorf("P3: no renewal was claimed")
	}
	for _, claim := range r.claims {
		if claim.Since.Before(from) || claim.Since.After(to) {
			return fmt.Errorf("P3: a renewal was claimed at %s, and could only be from %s to %s", claim.Since, from, to)
		}
		from, to = claim.Since, claim.Until.Add(time.Hour)
	}
	return nil
}

// fingerprint is that of the certificate in a registration file.
func fingerprint(file []byte) string {
	parsed, err := registration.Parse(map[string][]byte{registration.DefaultKey: file}, registration.DefaultKey)
	if err != nil {
		return "unreadable"
	}
	return parsed.Certificate().Fingerprint
}
