package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/faults"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// suite shares a control plane among runs, and lends each a platform.
type suite struct {
	bench     *faults.Bench
	platforms chan *simulator.Platform

	mu   sync.Mutex
	runs int
}

// summary is what the runs of one story have come to.
type summary struct {
	mu                 sync.Mutex
	renewals, restarts int
	notMet             [][]faults.Fault
}

func (s *summary) add(r faults.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals += r.Renewals
	s.restarts += r.Restarts
}

func (s *summary) missed(plan []faults.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notMet = append(s.notMet, plan)
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	ctx := context.Background()
	root := filepath.Join("..", "..")
	cluster, admin := operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root), LeaveJobPods: true})
	if err := operator.Grant(ctx, admin, operator.Roles(root)...); err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	flexctl, err := simulator.BuildFlexctl(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{".", "./cmd/flexctl-runner"} {
		build(t, root, program, directory)
	}
	s := &suite{platforms: make(chan *simulator.Platform, parallel)}
	bundle := s.startPlatforms(t, directory)
	pods, err := faults.StartPods(ctx, faults.PodOptions{
		Config: cluster.Config, Directory: t.TempDir(), CABundle: bundle, Flexctl: flexctl,
		Manager: filepath.Join(directory, "flex-registration-operator"), Runner: filepath.Join(directory, "flexctl-runner"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pods.Stop)
	s.bench = &faults.Bench{Cluster: cluster, Admin: admin, Pods: pods, Flexctl: flexctl, Directory: directory}
	return s
}

// build builds a program of the operator.
func build(t *testing.T, root, program, directory string) {
	t.Helper()
	command := exec.Command("go", "build", "-o", directory+string(filepath.Separator), program)
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", program, err, output)
	}
}

// startPlatforms returns the certificates of all platforms: flexctl trusts one file.
func (s *suite) startPlatforms(t *testing.T, directory string) []byte {
	t.Helper()
	var bundle []byte
	for i := range parallel {
		platform, err := simulator.Start(simulator.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := platform.Close(); err != nil {
				t.Error(err)
			}
		})
		path := filepath.Join(directory, fmt.Sprintf("ca-%d.crt", i))
		if err := platform.WriteCA(path); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bundle = append(bundle, content...)
		s.platforms <- platform
	}
	path := filepath.Join(directory, "ca.crt")
	if err := os.WriteFile(path, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", path)
	return bundle
}

// lend gives a platform and the name of a namespace to a run, until it calls done.
func (s *suite) lend() (platform *simulator.Platform, namespace string, done func()) {
	platform = <-s.platforms
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return platform, fmt.Sprintf("run-%d", s.runs), func() {
		platform.ClearFaults()
		s.platforms <- platform
	}
}

// tell does one run and fails the test where a promise is broken.
func (s *suite) tell(t *testing.T, story faults.Story, sum *summary, plan ...faults.Fault) faults.Result {
	t.Helper()
	platform, namespace, done := s.lend()
	defer done()
	result, err := s.bench.Tell(context.Background(), story, namespace, platform, plan...)
	if err != nil {
		t.Errorf("%v: %v", plan, err)
	}
	sum.add(result)
	return result
}
