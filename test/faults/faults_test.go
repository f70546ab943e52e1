package faults_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/faults"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// parallel runs wait for the control plane most of the time.
const parallel = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestEveryCall does one renewal undisturbed, which lists the calls, and then one for each call that is broken. The
// way rotates with the seed, so that all ways of all calls are met within three days; FAULTS=all does all ways of
// all calls and FAULTS_PAIRS (default 40) random pairs. FAULTS_SEED repeats a run.
func TestEveryCall(t *testing.T) {
	seed := uint64(time.Now().Unix() / 86400)
	if s := os.Getenv("FAULTS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	s := newSuite(t)
	first := s.renew(t)
	calls := unique(first.Calls)
	calls = append(calls, faults.AnypointCalls()...)
	t.Logf("one renewal makes %d calls to Kubernetes and %d to Anypoint:", len(calls)-2, 2)
	for _, c := range calls {
		t.Log("  ", c)
	}

	var plans [][]faults.Fault
	if os.Getenv("FAULTS") == "all" {
		for _, c := range calls {
			for _, w := range faults.Ways {
				plans = append(plans, []faults.Fault{{Call: c, Way: w}})
			}
		}
		plans = append(plans, pairs(calls, seed)...)
	} else {
		for i, c := range calls {
			plans = append(plans, []faults.Fault{{Call: c, Way: faults.Ways[(uint64(i)+seed)%3]}})
		}
	}
	t.Run("broken", func(t *testing.T) {
		for _, plan := range plans {
			t.Run(fmt.Sprint(plan), func(t *testing.T) {
				t.Parallel()
				result := s.renew(t, plan...)
				if len(result.Fired) == 0 {
					s.missed(plan)
				}
			})
		}
	})
	fmt.Printf("faults: %d runs with FAULTS_SEED=%d over %d calls; %d runs did not come to the call that they were to break; %d renewals, %d restarts\n",
		len(plans), seed, len(calls), len(s.notMet), s.renewals, s.restarts)
	for _, plan := range s.notMet {
		fmt.Println("faults: not met:", plan)
	}
	// Timing decides how often the operator looks while pods come up, so a late repetition may not come. Most must.
	if len(s.notMet)*3 > len(plans) {
		t.Errorf("%d of %d runs did not come to the call that they were to break", len(s.notMet), len(plans))
	}
}

func pairs(calls []faults.Call, seed uint64) [][]faults.Fault {
	n := 40
	if s := os.Getenv("FAULTS_PAIRS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	random := rand.New(rand.NewPCG(seed, seed))
	pick := func() faults.Fault {
		return faults.Fault{Call: calls[random.IntN(len(calls))], Way: faults.Ways[random.IntN(len(faults.Ways))]}
	}
	var plans [][]faults.Fault
	for len(plans) < n {
		if a, b := pick(), pick(); a.Call != b.Call {
			plans = append(plans, []faults.Fault{a, b})
		}
	}
	return plans
}

func unique(calls []faults.Call) []faults.Call {
	var found []faults.Call
	seen := map[faults.Call]bool{}
	for _, c := range calls {
		if !seen[c] {
			seen[c] = true
			found = append(found, c)
		}
	}
	return found
}

// suite shares a control plane among runs, and lends each a platform.
type suite struct {
	bench     *faults.Bench
	platforms chan *simulator.Platform

	mu                       sync.Mutex
	runs, renewals, restarts int
	notMet                   [][]faults.Fault
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	ctx := context.Background()
	cluster, err := controlplane.Start(ctx, controlplane.Options{CRDs: []string{filepath.Join("..", "..", "config", "crd", "bases")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := client.NewWithWatch(cluster.Config, client.Options{Scheme: operator.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Grant(ctx, admin, filepath.Join("..", "..", "config", "rbac", "role.yaml"), filepath.Join("..", "..", "config", "rbac", "handoff", "role.yaml")); err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	flexctl, err := simulator.BuildFlexctl(directory)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{
		bench:     &faults.Bench{Cluster: cluster, Admin: admin, Flexctl: flexctl, Directory: directory},
		platforms: make(chan *simulator.Platform, parallel),
	}
	// flexctl trusts one file: the certificates of all platforms are in it.
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
	return s
}

// renew does one run and fails the test where a promise is broken.
func (s *suite) renew(t *testing.T, plan ...faults.Fault) faults.Result {
	t.Helper()
	platform := <-s.platforms
	defer func() {
		platform.ClearFaults()
		s.platforms <- platform
	}()
	s.mu.Lock()
	s.runs++
	namespace := fmt.Sprintf("run-%d", s.runs)
	s.mu.Unlock()
	result, err := s.bench.Renew(context.Background(), namespace, platform, plan...)
	if err != nil {
		t.Errorf("%v: %v", plan, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals += result.Renewals
	s.restarts += result.Restarts
	return result
}

func (s *suite) missed(plan []faults.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notMet = append(s.notMet, plan)
}
