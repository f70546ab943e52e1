package simulator_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestExpiryTakesGatewayDownAndRenewalBringsItBack(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	directory := b.mountFile(g.File)
	r := b.start(t, "pod.gateway", directory, "")
	r.expectReady()
	b.Expect(r.probe("readiness").stdout).To(Equal("the gateway is ready: connected to wss://" + b.Host() + "/agent\n"))

	b.clock.SetTime(noon.Add(day + time.Second))
	r.expectUnready(3)
	b.Expect(b.Replicas(g.AgentID)).To(ConsistOf(And(HaveField("Status", simulator.Disconnected),
		HaveField("DisconnectedAt", noon.Add(day+time.Second)), HaveField("CertificateExpirationDate", noon.Add(day)))))
	r.end()
	another := b.start(t, "pod.gateway", directory, "")
	another.expectUnready(2)

	// It never reads its file again: the renewed one is of use to the next process.
	_, renewed := b.renew(g.File)
	b.Expect(os.WriteFile(filepath.Join(directory, "registration", "registration.yaml"), renewed, 0o600)).To(Succeed())
	another.expectUnready(4)
	another.end()
	restarted := b.start(t, "pod.gateway", directory, "")
	restarted.expectReady()
	b.Expect(b.Replicas(g.AgentID)).To(ConsistOf(And(HaveField("Status", simulator.Connected),
		HaveField("DisconnectedAt", time.Time{}), HaveField("CertificateExpirationDate", noon.Add(451*day+time.Second)))))
	b.Expect(restarted.log.String()).NotTo(ContainSubstring("PRIVATE KEY"))
}

func TestGatewayConnectsAgainAfterAnOutage(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	for _, kind := range []simulator.FaultKind{simulator.Unavailable503, simulator.Garbage, simulator.DropBefore} {
		b.Inject(simulator.Fault{Call: simulator.CallAgent, Kind: kind, Times: 2})
	}
	r := b.start(t, "pod.gateway", b.mountFile(g.File), "")
	r.expectUnready(5)
	b.Expect(r.log.String()).NotTo(ContainSubstring("connected to"))
	b.eventually(func() bool {
		if r.clock.HasWaiters() {
			r.clock.Step(30 * time.Second) // the longest that it waits
		}
		return r.ready()
	}).Should(BeTrue())
	b.Expect(b.Requests()).To(ContainElement(And(HaveField("Call", simulator.CallAgent),
		HaveField("AgentID", g.AgentID), HaveField("Status", 200))))
}

func TestRegistrationFiles(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	registration, certificate := simulator.Split(g.File)
	both := map[string][]byte{"registration.yaml": registration, "certificate.yaml": certificate}
	b.start(t, "split.gateway", b.mount(both), "").expectReady()

	twice := b.mountFile(g.File)
	b.Expect(os.WriteFile(filepath.Join(twice, "registration.yaml"), g.File, 0o600)).To(Succeed())
	b.Inject(simulator.Fault{Kind: simulator.WrongKey})
	_, mismatched := b.renew(g.File)
	ended, end := context.WithCancel(t.Context())
	end() // so that one that runs ends at once
	for name, c := range map[string]struct{ directory, want string }{
		"directory":   {filepath.Join(b.dir, "nowhere"), "nowhere: lstat"},
		"missing":     {b.mount(nil), "there is no registration.yaml; mount the Secret"},
		"twice":       {twice, twice + "/registration.yaml; leave the one"},
		"empty":       {b.mountFile(nil), "it is no YAML with a platform connection"},
		"certificate": {b.mountFile(registration), "the certificate that this refers to"},
		"garbage":     {b.mountFile([]byte("tls.key: {SECRET")), "it is no YAML"},
		"address":     {b.mountFile(bytes.Replace(g.File, []byte("arm: wss:"), []byte("arm: ftp:"), 1)), "no arm that begins with wss://"},
		"key":         {b.mountFile(mismatched), "no certificate with its private key"},
	} {
		err := simulator.FlexGateway{Directory: c.directory, ProbeDirectory: b.dir}.Run(ended)
		b.Expect(err).To(MatchError(ContainSubstring(c.want)), name)
		b.Expect(err).NotTo(MatchError(ContainSubstring("SECRET")), name)
	}
}

func TestSimulatedFailures(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	directory := b.mountFile(g.File)
	b.eventually(b.start(t, "pod.gateway", directory, "crash").ended).Should(Receive(MatchError(ContainSubstring("crashes"))))

	later := b.start(t, "later.gateway", directory, "crash-after=20s")
	later.expectReady()
	later.clock.Step(20*time.Second - 1)
	b.Expect(later.ready()).To(BeTrue())
	later.clock.Step(1)
	b.eventually(later.ended).Should(Receive(MatchError(ContainSubstring("crashes"))))

	never := b.start(t, "never.gateway", directory, "never-ready")
	b.eventually(func() []simulator.Replica { return b.Replicas(g.AgentID) }).Should(ContainElement(
		And(HaveField("Name", "never.gateway"), HaveField("Status", simulator.Connected))))
	b.Expect(never.probe("readiness").stderr).To(Equal("[flexctl][error] the gateway is not ready: it was told never to be ready\n"))
	b.Expect(never.probe("liveness").status).To(Equal(0))

	for _, wrong := range []string{"crash-after=soon", "crash-after=-1s", "dance"} {
		b.eventually(b.start(t, "pod.gateway", directory, wrong).ended).Should(
			Receive(MatchError(ContainSubstring(`cannot simulate "` + wrong))))
	}
}

func TestProbes(t *testing.T) {
	b := newBench(t)
	r := b.start(t, "pod.gateway", b.mountFile(b.register(-day).File), "")
	r.expectUnready(1)
	unready := r.probe("readiness")
	b.Expect(unready.status).To(Equal(1))
	b.Expect(unready.stderr).To(HavePrefix("[flexctl][error] the gateway is not ready: connect to wss://" + b.Host() + "/agent: "))
	b.Expect(b.flexctl("probe", "--check=liveness", "--more=1").status).To(Equal(0), "flags of the vendor's chart")
	b.Expect(r.probe("happiness").stderr).To(ContainSubstring(`invalid check "happiness": it is liveness or readiness`))
	r.end()
	b.Expect(r.probe("liveness").stderr).To(ContainSubstring("which may not be running"))
	b.Expect(r.probe("liveness").status).To(Equal(1))
}

// The programs themselves: a gateway that trusts SSL_CERT_FILE, and flexctl
// that finds it.
func TestGatewayProgram(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	gateway, err := simulator.Build(b.dir, "flex-gateway")
	b.Expect(err).NotTo(HaveOccurred())
	flexctl, err := simulator.BuildFlexctl(b.dir)
	b.Expect(err).NotTo(HaveOccurred())
	ca := filepath.Join(b.dir, "ca.pem")
	b.Expect(b.WriteCA(ca)).To(Succeed())
	environment := []string{"SSL_CERT_FILE=" + ca, "FLEX_GATEWAY_PROBE_DIRECTORY=" + b.dir, "POD_NAME=pod-7", "POD_NAMESPACE=edge"}
	program := func(environment []string, name string, arguments ...string) *exec.Cmd {
		c := exec.Command(name, arguments...)
		c.Env = environment
		return c
	}
	main := program(environment, gateway, "--directory="+b.mountFile(g.File), "--version=1.2.3")
	b.Expect(main.Start()).To(Succeed())
	defer func() { _ = main.Process.Kill() }()
	b.eventually(func() error { return program(environment, flexctl, "probe", "--check=readiness").Run() }).Should(Succeed())
	b.Expect(b.Replicas(g.AgentID)).To(ConsistOf(And(HaveField("Name", "pod-7.edge"), HaveField("GatewayVersion", "1.2.3"))))
	b.Expect(main.Process.Signal(syscall.SIGTERM)).To(Succeed())
	b.Expect(main.Wait()).To(Succeed())

	output, err := program(append(environment, "FLEX_GATEWAY_SIMULATE=crash"), gateway).CombinedOutput()
	b.Expect(err).To(MatchError("exit status 1"))
	b.Expect(string(output)).To(Equal("[flex-gateway][error] the gateway crashes, as it was told to simulate\n"))
	output, err = program(environment, gateway, "--directory="+filepath.Join(b.dir, "nowhere")).CombinedOutput()
	b.Expect(err).To(MatchError("exit status 1"))
	b.Expect(string(output)).To(ContainSubstring("nowhere"))
}
