//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/flexops/flex-registration-operator/test/images"
	"github.com/flexops/flex-registration-operator/test/world"
)

// testpod is what pods run that show that the cluster works.
var testpod = images.Image{
	Name:       "testpod:e2e",
	Files:      map[string]string{"/testpod": "./test/images/testpod"},
	Entrypoint: []string{"/testpod"},
}

// cluster is where all tests run, each in namespaces of its own.
var cluster *world.Environment

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	// Long enough to compile what goes into the images.
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	all := []images.Image{testpod, world.OperatorImage, world.GatewayImage, world.OldGatewayImage, world.AnypointImage}
	if kubeconfig := os.Getenv("KUBECONFIG"); kubeconfig != "" {
		cluster, err = world.Connect(ctx, kubeconfig, all...)
	} else {
		cluster, err = world.Start(ctx, os.Getenv("E2E_LOG_DIR"), all...)
	}
	if err != nil {
		return 1, err
	}
	status = m.Run()
	removing, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	return status, errors.Join(cluster.Remove(removing, platform), cluster.Stop())
}
