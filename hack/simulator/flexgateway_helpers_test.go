package simulator_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	testclock "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// replica is a gateway's main process that runs, with a clock of its own.
type replica struct {
	b      *bench
	t      *testing.T
	clock  *testclock.FakeClock
	probes string // directory
	stop   context.CancelFunc
	ended  chan error
	log    buffer
}

// mount lays out files as Kubernetes mounts a Secret, below a new directory.
func (b *bench) mount(files map[string][]byte) string {
	directory, err := os.MkdirTemp(b.dir, "conf.d")
	b.Expect(err).NotTo(HaveOccurred())
	volume, hidden := filepath.Join(directory, "registration"), "..2031_05_01_12_00_00.1"
	b.Expect(os.MkdirAll(filepath.Join(volume, hidden), 0o755)).To(Succeed())
	b.Expect(os.Symlink(hidden, filepath.Join(volume, "..data"))).To(Succeed())
	for name, content := range files {
		b.Expect(os.WriteFile(filepath.Join(volume, hidden, name), content, 0o600)).To(Succeed())
		b.Expect(os.Symlink(filepath.Join("..data", name), filepath.Join(volume, name))).To(Succeed())
	}
	return directory
}

func (b *bench) mountFile(registration []byte) string {
	return b.mount(map[string][]byte{"registration.yaml": registration})
}

// start starts a replica with the registration in a directory.
func (b *bench) start(t *testing.T, name, directory, simulate string) *replica {
	t.Helper()
	r := &replica{b: b, t: t, clock: testclock.NewFakeClock(noon), ended: make(chan error, 1)}
	var err error
	r.probes, err = os.MkdirTemp(b.dir, "p")
	b.Expect(err).NotTo(HaveOccurred())
	// One that crashed there has left its socket.
	b.Expect(os.WriteFile(filepath.Join(r.probes, "flex-gateway.sock"), nil, 0o600)).To(Succeed())
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	gateway := simulator.FlexGateway{
		Directory: directory, Name: name, Version: "1.9.1", ProbeDirectory: r.probes,
		RootCAs: b.client.Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Clock:   r.clock, Simulate: simulate, Log: &r.log,
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.ended <- gateway.Run(ctx) })
	t.Cleanup(func() {
		r.stop()
		wg.Wait()
	})
	return r
}

// end stops a replica as the kubelet does.
func (r *replica) end() {
	r.t.Helper()
	r.stop()
	r.b.Expect(<-r.ended).To(Succeed())
}

func (r *replica) probe(check string) ran {
	r.t.Setenv("FLEX_GATEWAY_PROBE_DIRECTORY", r.probes)
	return r.b.flexctl("probe", "--check="+check)
}

func (r *replica) ready() bool { return r.probe("readiness").status == 0 }

// expectReady waits until the replica is ready.
func (r *replica) expectReady() {
	r.t.Helper()
	r.b.eventually(r.ready).Should(BeTrue(), r.log.String)
}

// expectUnready waits until the replica has tried to connect so many times in
// vain, and checks that it lives on.
func (r *replica) expectUnready(times int) {
	r.t.Helper()
	r.b.eventually(func() int {
		if r.clock.HasWaiters() {
			r.clock.Step(time.Minute)
		}
		return bytes.Count([]byte(r.log.String()), []byte("it tries again"))
	}).Should(BeNumerically(">=", times))
	r.b.Expect(r.ready()).To(BeFalse())
	r.b.Expect(r.probe("liveness")).To(Equal(ran{0, "the gateway is alive\n", ""}))
	r.b.Expect(r.ended).NotTo(Receive())
}

// replicas gives what the platform lists by HTTP of a gateway's replicas.
func (b *bench) replicas(agentID string) []any {
	return b.get(b.gateways + "/" + agentID + "/replicas").fields["content"].([]any)
}

// eventually waits for longer than a busy machine takes.
func (b *bench) eventually(actual any) AsyncAssertion {
	return b.Eventually(actual).WithTimeout(30 * time.Second)
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
