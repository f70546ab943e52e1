package simulator

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// What a gateway has unless it is told otherwise.
const (
	ConfigurationDirectory = "/usr/local/share/mulesoft/flex-gateway/conf.d"
	DefaultGatewayVersion  = "1.8.0"
)

// How long a gateway waits before it connects again: the first time, and at most.
const (
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// FlexGateway is the main process of one replica of a gateway. Like the real
// one it reads its registration once, when it starts, and stays up when the
// platform refuses its certificate.
//
// It is ready only while it is connected. That is so of new replicas of the
// real one; when a running replica whose connection ends becomes unready, if
// it does, is unknown.
type FlexGateway struct {
	// Directory to search for registration.yaml, and for certificate.yaml of
	// a split registration. Default: ConfigurationDirectory.
	Directory string
	// Name of the replica on the platform: "<pod name>.<namespace>".
	Name string
	// Version on the platform. Default: DefaultGatewayVersion.
	Version string
	// ProbeDirectory is where it has the socket for flexctl probe. Default:
	// what FLEX_GATEWAY_PROBE_DIRECTORY names, or else the directory for
	// temporary files. Replicas on the same file system need one each.
	ProbeDirectory string
	// RootCAs are trusted to issue the platform's certificate. Default: what
	// the system trusts, which includes SSL_CERT_FILE.
	RootCAs *x509.CertPool
	// Clock is what it waits by. Default: the real one.
	Clock clock.Clock
	// Simulate makes it fail: "crash" at once, "crash-after=20s" (or another
	// time), or "never-ready", which connects all the same.
	Simulate string
	// Log is told a line of text about all that happens. Default: nothing is.
	Log io.Writer
}

// Run runs until ctx is done. It gives an error if there is no usable
// registration, or if it was told to fail.
func (g FlexGateway) Run(ctx context.Context) error {
	g.Directory = cmp.Or(g.Directory, ConfigurationDirectory)
	g.Version = cmp.Or(g.Version, DefaultGatewayVersion)
	if g.Clock == nil {
		g.Clock = clock.RealClock{}
	}
	if g.Log == nil {
		g.Log = io.Discard
	}
	failure, err := parseFailure(g.Simulate)
	if err != nil {
		return err
	}
	if failure.crash && failure.after == 0 {
		return errCrash
	}
	registration, err := readRegistration(g.Directory)
	if err != nil {
		return err
	}
	g.log("read the registration of gateway %s, whose certificate expires at %s",
		registration.agentID, registration.certificate.Leaf.NotAfter.Format(time.RFC3339))
	ready := &readiness{reason: "it has not connected yet"}
	probes, err := serveProbes(g.ProbeDirectory, func() (bool, string) {
		if failure.neverReady {
			return false, "it was told never to be ready"
		}
		return ready.get()
	})
	if err != nil {
		return err
	}
	defer func() { _ = probes.Close() }()

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var crash <-chan time.Time
	if failure.crash {
		timer := g.Clock.NewTimer(failure.after)
		defer timer.Stop()
		crash = timer.C()
	}
	wg.Go(func() { g.stayConnected(ctx, registration, ready) })
	select {
	case <-crash:
		return errCrash
	case <-ctx.Done():
		return nil
	}
}

// stayConnected connects, and again whenever a connection ends, until ctx is
// done. How long the real one waits in between is unknown.
func (g FlexGateway) stayConnected(ctx context.Context, registration *gatewayRegistration, ready *readiness) {
	wait := firstWait
	for ctx.Err() == nil {
		err := registration.connect(ctx, g, func() {
			wait = firstWait
			ready.set(true, "connected to "+registration.arm)
			g.log("connected to %s as %s", registration.arm, g.Name)
		})
		if ctx.Err() != nil {
			return
		}
		ready.set(false, err.Error())
		g.log("%v; it tries again in %s", err, wait)
		timer := g.Clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
		wait = min(2*wait, longestWait)
	}
}

func (g FlexGateway) log(format string, arguments ...any) {
	fmt.Fprintf(g.Log, "[flex-gateway] "+format+"\n", arguments...)
}

// readiness is whether a gateway is ready, and why.
type readiness struct {
	mu     sync.Mutex
	ready  bool
	reason string
}

func (r *readiness) set(ready bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.reason = ready, reason
}

func (r *readiness) get() (ready bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready, r.reason
}
