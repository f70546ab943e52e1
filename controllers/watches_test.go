package controllers

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Secret's annotations may hold its content (kubectl's last-applied-configuration).
func TestCacheKeepsNothingOfSecretsButTheirIdentity(t *testing.T) {
	g := NewWithT(t)
	kept, err := onlyIdentity(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "s", Namespace: "n", UID: "u", ResourceVersion: "7",
		Labels:        map[string]string{"a": "b"},
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "a key"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kept).To(Equal(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "u", ResourceVersion: "7"}}))
}
