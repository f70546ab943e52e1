package operator

import (
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/controlplane"
)

// Cluster starts a control plane for a test, and stops it when that ends. It returns a client of its administrator.
func Cluster(t testing.TB, options controlplane.Options) (*controlplane.ControlPlane, client.WithWatch) {
	t.Helper()
	cluster, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := client.NewWithWatch(cluster.Config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return cluster, admin
}

// CRDs are the project's, by the path of its root.
func CRDs(root string) []string { return []string{filepath.Join(root, "config", "crd", "bases")} }

// Roles are those of the operator, as files for Grant, by the path of the project's root.
func Roles(root string) []string {
	return []string{filepath.Join(root, "config", "rbac", "role.yaml"), filepath.Join(root, "config", "rbac", "handoff", "role.yaml")}
}
