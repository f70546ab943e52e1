package gateway

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// unusedRecordsKept is how long a record outlives its last FlexRegistration.
const unusedRecordsKept = 30 * 24 * time.Hour

// ListRecords returns the names of the records in some namespaces, or in all where none is given, by namespace.
func ListRecords(ctx context.Context, r client.Reader, namespaces ...string) (map[string][]string, error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	found := map[string][]string{}
	for _, namespace := range namespaces {
		list := SecretMetadataList()
		if err := r.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{recordLabel: recordComponent}); err != nil {
			return nil, fmt.Errorf("listing records: %w", err)
		}
		for _, item := range list.Items {
			found[item.Namespace] = append(found[item.Namespace], item.Name)
		}
	}
	return found, nil
}

// RetireRecord notes that a record has no FlexRegistration and, when that has been so for thirty days, removes it.
// It stays as long as the gateway's Secret does not hold its newest registration: it may be the only copy.
func RetireRecord(ctx context.Context, w client.Writer, r client.Reader, namespace, name string, now time.Time) error {
	secret := &corev1.Secret{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	record, g, err := decode(secret)
	switch {
	case err != nil:
		return nil //nolint:nilerr // What the operator can't read is not its own to remove.
	case record.UnusedSince.IsZero():
		record.UnusedSince = now
		return record.Save(ctx, w, g)
	case now.Sub(record.UnusedSince) < unusedRecordsKept:
		return nil
	}
	theirs := &corev1.Secret{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: g.SecretName}, theirs); err != nil {
		return client.IgnoreNotFound(err)
	}
	published, err := registration.Parse(theirs.Data, g.Key)
	if err != nil || published.Certificate().Fingerprint != record.Newest.Certificate().Fingerprint {
		return nil //nolint:nilerr // See above: the record stays.
	}
	err = w.Delete(ctx, secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if apierrors.IsConflict(err) {
		return nil // Somebody uses it again.
	}
	return client.IgnoreNotFound(err)
}
