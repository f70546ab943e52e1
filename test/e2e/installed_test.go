//go:build e2e

package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/test/world"
)

// platform is nil until a test needs it.
var platform *world.Platform

// install puts the simulated platform and the operator into the cluster, once for all tests that need them.
var install = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	if platform, err = cluster.StartPlatform(ctx); err != nil {
		return err
	}
	return cluster.InstallOperator(ctx, platform)
})

// needOperator returns when all replicas of the operator are ready: a test may have killed one.
func needOperator(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(install()).To(Succeed())
	g.Expect(cluster.WaitForOperator(t.Context())).To(Succeed())
}
