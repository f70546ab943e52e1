package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// Publish writes a registration's certificate and key into the gateway's Secret as it was read, and returns what the API
// server has then stored, parsed. Nothing else in the Secret changes; if somebody has written it since it was read, nothing
// does.
func Publish(ctx context.Context, w client.Writer, secret *corev1.Secret, key string, newest *registration.Registration) (*corev1.Secret, *registration.Registration, error) {
	id := client.ObjectKeyFromObject(secret)
	merged, err := registration.Merge(secret.Data, key, newest)
	if err != nil {
		return nil, nil, fmt.Errorf("merging the renewed registration into Secret %s: %w", id, err)
	}
	written := secret.DeepCopy()
	written.Data = merged
	if err := w.Update(ctx, written, FieldOwner); err != nil {
		return nil, nil, fmt.Errorf("writing the renewed registration to Secret %s: %w", id, err)
	}
	parsed, err := readBack(written, key, newest)
	return written, parsed, err
}

// readBack reads a registration in a Secret as the API server says that it has stored it: webhooks may change what is written.
func readBack(stored *corev1.Secret, key string, written *registration.Registration) (*registration.Registration, error) {
	id := client.ObjectKeyFromObject(stored)
	parsed, err := registration.Parse(stored.Data, key)
	if err != nil {
		return nil, fmt.Errorf("reading the registration in Secret %s back: %w", id, err)
	}
	if parsed.Certificate().Fingerprint != written.Certificate().Fingerprint {
		return nil, fmt.Errorf("reading Secret %s back: something has replaced the registration as it was written", id)
	}
	return parsed, nil
}

// isNew says that a Secret was not read, so that it is yet to be made.
func isNew(secret *corev1.Secret) bool { return secret.ResourceVersion == "" }

// write makes a Secret or, where it was read, changes it, unless somebody else has changed it since.
func write(ctx context.Context, w client.Writer, secret *corev1.Secret) error {
	if isNew(secret) {
		return w.Create(ctx, secret, FieldOwner)
	}
	return w.Update(ctx, secret, FieldOwner)
}

// SecretMetadata is for reading, or watching, the metadata of Secrets without their content.
func SecretMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Secret"}}
}

// SecretMetadataList is for a list of such.
func SecretMetadataList() *metav1.PartialObjectMetadataList {
	return &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "SecretList"}}
}

// Version of an object, by its UID and resourceVersion; "" of one that was not found.
func Version(object client.Object) string {
	if object.GetUID() == "" {
		return ""
	}
	return string(object.GetUID()) + "/" + object.GetResourceVersion()
}

// Written is when the registration at a key of the Secret was last written, by the API server's clock. What is done to the
// rest of the Secret does not count.
func Written(secret *corev1.Secret, key string) time.Time {
	written := secret.CreationTimestamp.Time
	for _, entry := range writers(secret, key) {
		written = later(written, ptr.Deref(entry.Time, metav1.Time{}).Time)
	}
	return written
}

// Writer names the field manager that has written the registration at a key of the Secret last, "somebody" where that is
// not known.
func Writer(secret *corev1.Secret, key string) string {
	name, last := "somebody", time.Time{}
	for _, entry := range writers(secret, key) {
		if entry.Manager != "" && entry.Time != nil && !entry.Time.Time.Before(last) {
			name, last = entry.Manager, entry.Time.Time
		}
	}
	return name
}

// Appliers names the field managers that apply the registration at a key of the Secret server-side: after somebody else has
// changed it, the API server refuses what they apply, unless they force it.
func Appliers(secret *corev1.Secret, key string) []string {
	var names []string
	for _, entry := range writers(secret, key) {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			names = append(names, entry.Manager)
		}
	}
	return names
}

// writers are the field managers of a registration, whose second file may stand at a key of its own. An entry has no time
// where somebody has applied what was there already.
func writers(secret *corev1.Secret, key string) []metav1.ManagedFieldsEntry {
	var found []metav1.ManagedFieldsEntry
	for _, entry := range secret.ManagedFields {
		var fields struct {
			Data map[string]any `json:"f:data"`
		}
		if entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		_, file := fields.Data["f:"+key]
		_, certificate := fields.Data["f:"+registration.CertificateKey]
		if file || certificate {
			found = append(found, entry)
		}
	}
	return found
}
