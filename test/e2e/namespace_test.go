//go:build e2e

package e2e

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/test/world"
)

// newNamespace makes a namespace that enforces restricted Pod Security, and deletes it after the test.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := world.RestrictedNamespace(metav1.ObjectMeta{GenerateName: "e2e-"})
	NewWithT(t).Expect(cluster.Admin.Create(t.Context(), namespace)).To(Succeed())
	t.Cleanup(func() {
		if err := cluster.Admin.Delete(context.Background(), namespace); err != nil {
			t.Errorf("delete the namespace %s: %v", namespace.Name, err)
		}
	})
	return namespace.Name
}
