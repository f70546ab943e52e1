package gateway

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/test/registrations"
)

// TestRecordMadeBeforehand fills the empty Secret that an administrator has made, and creates none.
func TestRecordMadeBeforehand(t *testing.T) {
	g := NewWithT(t)
	of := &Gateway{Namespace: "gateway", SecretName: "s", Key: "registration.yaml"}
	c := fake.NewClientBuilder().WithObjects(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: RecordName(of.SecretName, of.Key), Labels: map[string]string{"theirs": "stays"}},
		Type:       RecordType,
	}).Build()

	record, finding, err := LoadRecord(t.Context(), c, of)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(finding).To(BeNil())
	g.Expect(record.Exists()).To(BeFalse())

	newest := registrations.New(t)
	g.Expect(record.With(newest).Save(t.Context(), c, of)).To(Succeed())
	stored, finding, err := LoadRecord(t.Context(), c, of)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(finding).To(BeNil())
	g.Expect(stored.Newest.Certificate().Fingerprint).To(Equal(newest.Certificate().Fingerprint))
	g.Expect(stored.stored.Labels).To(Equal(map[string]string{"theirs": "stays", recordLabel: recordComponent}), "so that it is found among the records later")

	// Whoever had read it while it was empty is told that it is not so any more.
	g.Expect(record.With(newest).Save(t.Context(), c, of)).To(MatchError(ContainSubstring("updating the record")))
}

// TestListRecordsOfNamespaces lists in the namespaces alone in which the operator may.
func TestListRecordsOfNamespaces(t *testing.T) {
	g := NewWithT(t)
	builder, asked := fake.NewClientBuilder(), []string{}
	for _, namespace := range []string{"a", "b", "c"} {
		builder.WithObjects(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "record-" + namespace, Labels: map[string]string{recordLabel: recordComponent}}, Type: RecordType})
	}
	c := interceptor.NewClient(builder.Build(), interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		all := client.ListOptions{}
		asked = append(asked, all.ApplyOptions(options).Namespace)
		return c.List(ctx, list, options...)
	}})
	g.Expect(ListRecords(t.Context(), c, "a", "b")).To(Equal(map[string][]string{"a": {"record-a"}, "b": {"record-b"}}))
	g.Expect(asked).To(Equal([]string{"a", "b"}))
	g.Expect(ListRecords(t.Context(), c)).To(HaveLen(3))
}
