//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// cluster is where all tests run, each in namespaces of its own.
var cluster *Environment

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
	if cluster, err = StartEnvironment(ctx, allImages...); err != nil {
		return 1, err
	}
	status = m.Run()
	return status, cluster.Stop()
}
