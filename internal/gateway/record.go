package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

const (
	// RecordType is the type of the Secrets that hold records. A Secret's type can't be changed, so nobody's
	// Secret turns into a record by accident.
	RecordType corev1.SecretType = "gateway.flexops.dev/record"
	// recordPrefix begins the names of records.
	recordPrefix = "flexreg-record-"
	// recordLabel, with the value recordComponent, is what records are listed by.
	recordLabel, recordComponent = "gateway.flexops.dev/component", "record"
	// maxRecord bounds a record, in bytes.
	maxRecord = 256 << 10

	recordState    = "state.json"
	recordNewest   = "newest.yaml"
	recordPrevious = "previous.yaml"
)

// Record is what the operator remembers of a gateway, in a Secret of its own beside the gateway's.
type Record struct {
	renewal.Record
	// Newest and Previous are the registrations alone, without the user's documents; nil where there is none.
	Newest, Previous *registration.Registration

	stored corev1.Secret // as it was read or written last; its zero value where there is none
}

// state is the JSON in a record. It names the Secret that the record is about.
type state struct {
	Secret string `json:"secret"`
	Key    string `json:"key"`
	renewal.Record
}

// RecordName is the name of the record of a gateway's Secret and key.
func RecordName(secret, key string) string {
	sum := sha256.Sum256([]byte(secret + "\x00" + key))
	return recordPrefix + hex.EncodeToString(sum[:8])
}

// IsRecordName says that a Secret's name is one of those that RecordName gives.
func IsRecordName(name string) bool { return strings.HasPrefix(name, recordPrefix) }

// LoadRecord reads the record of a gateway; an empty one where there is none, or where somebody has made its Secret, of
// RecordType, without any data, for an operator that may not create Secrets. A finding says why the Secret with the record's
// name is not a record.
func LoadRecord(ctx context.Context, r client.Reader, g *Gateway) (*Record, *renewal.Finding, error) {
	name := RecordName(g.SecretName, g.Key)
	secret := &corev1.Secret{}
	err := r.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return &Record{}, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("getting the record, Secret %s/%s: %w", g.Namespace, name, err)
	case secret.Type == RecordType && len(secret.Data) == 0:
		return &Record{stored: *secret}, nil, nil
	}
	record, of, err := decode(secret)
	if err == nil && (of.SecretName != g.SecretName || of.Key != g.Key) {
		err = errors.New("it is about another Secret")
	}
	if err != nil {
		return &Record{}, renewal.NewFinding(v1alpha1.ReasonRecordRefused, "Secret %s can't be used as the record of this gateway: %v. "+
			"Nothing is renewed without it: keep a copy of it and delete it, or restore it", name, err), nil
	}
	return record, nil, nil
}

// decode reads a record, and which gateway it is about. Its errors carry no content.
func decode(secret *corev1.Secret) (*Record, *Gateway, error) {
	var s state
	switch {
	case secret.Type != RecordType:
		return nil, nil, fmt.Errorf("its type is not %s, so it was not written by the operator", RecordType)
	case isTooLarge(secret.Data):
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxRecord)
	case json.Unmarshal(secret.Data[recordState], &s) != nil:
		return nil, nil, fmt.Errorf("its %s is not valid", recordState)
	case secret.Data[recordNewest] == nil:
		return nil, nil, fmt.Errorf("its %s is missing", recordNewest)
	}
	newest, err := parse(secret.Data, recordNewest)
	if err != nil {
		return nil, nil, err
	}
	previous, err := parse(secret.Data, recordPrevious)
	if err != nil {
		return nil, nil, err
	}
	record := &Record{Record: s.Record, Newest: newest, Previous: previous, stored: *secret}
	record.setCertificates()
	return record, &Gateway{Namespace: secret.Namespace, SecretName: s.Secret, Key: s.Key}, nil
}

func parse(data map[string][]byte, key string) (*registration.Registration, error) {
	if data[key] == nil {
		return nil, nil
	}
	return registration.Parse(map[string][]byte{key: data[key]}, key)
}

func (r *Record) setCertificates() {
	r.Record.Newest = renewal.Certificate(r.Newest.Certificate())
	if r.Previous != nil {
		r.Record.Previous = renewal.Certificate(r.Previous.Certificate())
	}
}

// Desired is the registration that the gateway is to have: the newest, unless a person has pinned the one before.
func (r *Record) Desired() *registration.Registration {
	if r.Previous != nil && r.Pin != "" && r.Pin == r.Record.Previous.Fingerprint {
		return r.Previous
	}
	return r.Newest
}

// With returns a copy in which a registration has become the newest one.
func (r *Record) With(newest *registration.Registration) *Record {
	changed := *r
	changed.Previous, changed.Newest = r.Newest, newest
	return &changed
}

// Version is the UID and resourceVersion of the Secret; "" where it is not stored.
func (r *Record) Version() string { return Version(&r.stored) }

// Unstored returns a copy that Save creates anew.
func (r *Record) Unstored() *Record {
	changed := *r
	changed.stored = corev1.Secret{}
	return &changed
}

// Save stores the record. It fails with a conflict where somebody has stored one since this one was loaded.
func (r *Record) Save(ctx context.Context, w client.Writer, g *Gateway) error {
	encoded, err := json.Marshal(state{Secret: g.SecretName, Key: g.Key, Record: r.Record})
	if err != nil {
		return fmt.Errorf("encoding the record: %w", err)
	}
	secret, doing := r.stored.DeepCopy(), "updating"
	if isNew(secret) {
		doing = "creating"
		secret.ObjectMeta, secret.Type = metav1.ObjectMeta{Namespace: g.Namespace, Name: RecordName(g.SecretName, g.Key)}, RecordType
	}
	metav1.SetMetaDataLabel(&secret.ObjectMeta, recordLabel, recordComponent)
	secret.Data = map[string][]byte{recordState: encoded, recordNewest: r.Newest.Marshal()}
	if r.Previous != nil {
		secret.Data[recordPrevious] = r.Previous.Marshal()
	}
	if isTooLarge(secret.Data) {
		err = fmt.Errorf("it would be larger than %d bytes", maxRecord)
	} else {
		err = write(ctx, w, secret)
	}
	if err != nil {
		return fmt.Errorf("%s the record, Secret %s/%s: %w", doing, secret.Namespace, secret.Name, err)
	}
	r.stored = *secret
	r.setCertificates()
	return nil
}

func isTooLarge(data map[string][]byte) bool {
	size := 0
	for _, v := range data {
		size += len(v)
	}
	return size > maxRecord
}
