package simulator_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestRegister(t *testing.T) {
	b := newBench(t)
	g := b.register(30 * day)
	b.Expect(g.NotAfter).To(Equal(noon.Add(30 * day)))
	b.Expect(g.NotBefore).To(Equal(noon.Add(-420 * day)))
	connection, _ := b.documents(g.File)
	b.Expect(connection).To(And(HaveKeyWithValue("agentId", g.AgentID), HaveKeyWithValue("anypoint", b.URL()),
		HaveKeyWithValue("assetName", "ingress"), HaveKeyWithValue("arm", "wss://"+b.Host()+"/agent")))
	pair, err := b.pair(g.File)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(pair.Leaf.SerialNumber.Text(16)).To(Equal(g.Serial))

	registration, certificate := simulator.Split(g.File)
	b.Expect(string(registration) + "---\n" + string(certificate)).To(Equal(string(g.File)))
	b.Expect(string(registration)).NotTo(ContainSubstring("tls."))
	b.Expect(string(certificate)).To(ContainSubstring("tls.key"))
}

func TestRenewExpired(t *testing.T) {
	b := newBench(t)
	g := b.register(-3 * day)
	users := "---\n# ours\nkind: Configuration\nspec:\n    logging: {level: debug} # loud\n"
	r, renewed := b.renew(append(g.File, users...))
	b.Expect(r).To(Equal(ran{0, "Registration renewal completed\n", ""}))

	pair, err := b.pair(renewed)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(pair.Leaf.NotBefore).To(Equal(noon))
	b.Expect(pair.Leaf.NotAfter).To(Equal(noon.Add(450 * day)))
	old, _ := b.documents(g.File)
	connection, _ := b.documents(renewed)
	b.Expect(connection).To(Equal(old))
	b.Expect(string(renewed)).To(ContainSubstring("# ours"))
	b.Expect(string(renewed)).To(ContainSubstring("level: debug"))

	b.Expect(b.Renewals(g.AgentID)).To(HaveLen(1))
	renewal := b.Renewals(g.AgentID)[0]
	b.Expect(renewal).To(And(HaveField("OldSerial", g.Serial), HaveField("OldFingerprint", g.Fingerprint),
		HaveField("NewSerial", pair.Leaf.SerialNumber.Text(16)), HaveField("Time", noon)))
	b.Expect(b.Requests()).To(ConsistOf(
		HaveField("Call", simulator.CallToken),
		And(HaveField("Call", simulator.CallRenew), HaveField("AgentID", g.AgentID), HaveField("Account", b.app))))

	// Once more, from the renewed file, as a user.
	b.AddUser("ana", "pw", false)
	b.SetValidity(time.Hour)
	r, again := b.renew(renewed, "--username", "ana", "--password=pw")
	b.Expect(r.status).To(Equal(0), r.stderr)
	pair, err = b.pair(again)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(pair.Leaf.NotAfter).To(Equal(noon.Add(time.Hour)))
	b.Expect(b.Renewals(g.AgentID)[1].OldFingerprint).To(Equal(renewal.NewFingerprint))
}

func TestRenewRefused(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	b.AddUser("ana", "pw", true)
	_, certificate := simulator.Split(b.register(day).File)
	registration, _ := simulator.Split(g.File)
	mixed := append(append(bytes.Clone(registration), "---\n"...), certificate...)

	good := []string{"--client-id=" + b.app, "--client-secret=" + b.secret}
	for name, c := range map[string]struct {
		file        []byte
		credentials []string
		want        string
	}{
		"secret":      {g.File, []string{"--client-id", b.app, "--client-secret", "x"}, "response:\nHTTP/1.1 401 Unauthorized\r\n"},
		"mfa":         {g.File, []string{"--username=ana", "--password=pw"}, "multi-factor authentication"},
		"none":        {g.File, []string{"--client-id=" + b.app}, "are required"},
		"flag":        {g.File, []string{"--no-such-flag"}, "unknown flag: --no-such-flag"},
		"empty":       {nil, good, "holds no registration"},
		"split":       {registration, good, "holds no certificate"},
		"certificate": {mixed, good, "response:\nHTTP/1.1 400 Bad Request\r\n"},
	} {
		r, file := b.renew(c.file, c.credentials...)
		b.Expect(r.status).To(Equal(1), name)
		b.Expect(r.stderr).To(HavePrefix("[flexctl][error] "), name)
		b.Expect(r.stderr).To(ContainSubstring(c.want), name)
		b.Expect(file).To(BeNil(), name)
	}

	b.ResetRequests()
	path := filepath.Join(b.dir, "registration.yaml")
	b.Expect(os.WriteFile(path, g.File, 0o600)).To(Succeed())
	r := b.flexctl(append(append([]string{"registration", "renew"}, good...), "--output-directory", b.dir, path)...)
	b.Expect(r.status).To(Equal(1))
	b.Expect(r.stderr).To(ContainSubstring("file already exists"))
	b.Expect(b.Requests()).To(BeEmpty())
	b.Expect(b.Renewals(g.AgentID)).To(BeEmpty())
}

func TestRenewDropped(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	for kind, renewals := range map[simulator.FaultKind]int{simulator.DropBefore: 0, simulator.Garbage: 0, simulator.DropAfter: 1} {
		before := len(b.Renewals(g.AgentID))
		counted := -1
		b.Inject(simulator.Fault{Call: simulator.CallRenew, Kind: kind, Hook: func() { counted = len(b.Renewals(g.AgentID)) }})
		r, file := b.renew(g.File)
		b.Expect(r.status).To(Equal(1), "%s", kind)
		b.Expect(file).To(BeNil(), "%s", kind)
		b.Expect(counted-before).To(Equal(renewals), "%s: what the hook sees", kind)
		b.Expect(b.Renewals(g.AgentID)).To(HaveLen(before+renewals), "%s", kind)
	}
}

func TestFaultsOfTheResult(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	registered, _ := b.documents(g.File)
	for kind, check := range map[simulator.FaultKind]func(r ran, file []byte){
		simulator.EmptyFile:   func(_ ran, file []byte) { b.Expect(file).To(And(Not(BeNil()), BeEmpty())) },
		simulator.NoFile:      func(_ ran, file []byte) { b.Expect(file).To(BeNil()) },
		simulator.GarbageFile: func(_ ran, file []byte) { b.Expect(string(file)).NotTo(ContainSubstring("agentId")) },
		simulator.TruncatedFile: func(_ ran, file []byte) {
			b.Expect(len(file)).To(And(BeNumerically(">", 100), BeNumerically("<", len(g.File)*2/3)))
		},
		simulator.WrongKey: func(_ ran, file []byte) {
			_, err := b.pair(file)
			b.Expect(err).To(MatchError(ContainSubstring("private key does not match")))
		},
		simulator.OldCertificate: func(_ ran, file []byte) {
			pair, err := b.pair(file)
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(pair.Leaf.SerialNumber.Text(16)).To(Equal(g.Serial))
		},
		simulator.OtherGateway: func(_ ran, file []byte) {
			connection, _ := b.documents(file)
			pair, err := b.pair(file)
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(connection["agentId"]).To(And(Not(Equal(g.AgentID)), Equal(pair.Leaf.Subject.CommonName)))
		},
		simulator.ChangedURL: func(_ ran, file []byte) {
			connection, _ := b.documents(file)
			b.Expect(connection["anypoint"]).NotTo(ContainSubstring(b.Host()))
		},
		simulator.ChangedField: func(_ ran, file []byte) {
			connection, _ := b.documents(file)
			b.Expect(connection).To(HaveLen(len(registered) + 1))
		},
		simulator.AlreadyExpired: func(_ ran, file []byte) {
			pair, err := b.pair(file)
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(pair.Leaf.NotAfter).To(BeTemporally("<", noon))
			b.Expect(pair.Leaf.NotBefore).To(BeTemporally("<", pair.Leaf.NotAfter))
		},
		simulator.NotYetValid: func(_ ran, file []byte) {
			pair, err := b.pair(file)
			b.Expect(err).NotTo(HaveOccurred())
			b.Expect(pair.Leaf.NotBefore).To(BeTemporally(">", noon))
		},
		simulator.HugeOutput: func(r ran, file []byte) {
			b.Expect(min(len(r.stdout), len(r.stderr))).To(BeNumerically(">", 1<<20))
			_, err := b.pair(file)
			b.Expect(err).NotTo(HaveOccurred())
		},
		simulator.Crash: func(r ran, file []byte) {
			b.Expect(r.status).To(Equal(2))
			b.Expect(r.stderr).To(And(ContainSubstring("goroutine 1"), ContainSubstring(b.secret), ContainSubstring("PRIVATE KEY")))
			b.Expect(file).To(BeNil())
		},
	} {
		before, hooked := len(b.Renewals(g.AgentID)), false
		b.Inject(simulator.Fault{Kind: kind, Hook: func() { hooked = true }})
		r, file := b.renew(g.File)
		if kind != simulator.Crash {
			b.Expect(r.status).To(Equal(0), "%s: %s", kind, r.stderr)
		}
		check(r, file)
		b.Expect(hooked).To(BeTrue(), "%s", kind)
		issued := 1
		if kind == simulator.OldCertificate {
			issued = 0
		}
		b.Expect(b.Renewals(g.AgentID)).To(HaveLen(before+issued), "%s", kind)
	}
}

func TestInspectAndCreate(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	path := filepath.Join(b.dir, "it.yaml")
	b.Expect(os.WriteFile(path, g.File, 0o600)).To(Succeed())
	want := ran{0, "{\"expiration_date\": \"2031-05-02 12:00:00 +0000 UTC\"}\n", ""}
	b.Expect(b.flexctl("registration", "inspect", "--file="+path)).To(Equal(want))
	b.Expect(b.flexctl("registration", "inspect", "-f", path)).To(Equal(want))
	b.Expect(b.flexctl("registration", "inspect").stderr).To(ContainSubstring("conf.d/registration.yaml"))
	b.Expect(b.flexctl("registration", "revoke").stderr).To(HavePrefix("[flexctl][error] unknown command"))

	create := []string{"registration", "create", "new", "--anypoint-url=" + b.URL(), "--client-id=" + b.app, "--split=true",
		"--output-directory=" + b.dir, "--connected=true", "--client-secret"}
	b.Expect(b.flexctl(append(create, "wrong")...).status).To(Equal(1))
	left := filepath.Join(b.dir, "registration.yaml")
	b.Expect(os.ReadFile(left)).To(BeEmpty(), "an aborted registration leaves an empty file")
	b.Expect(b.flexctl(append(create, b.secret)...).stderr).To(ContainSubstring("file already exists"))
	b.Expect(os.Remove(left)).To(Succeed())
	b.Expect(b.flexctl(append(create, b.secret)...).status).To(Equal(0))
	registration, err := os.ReadFile(left)
	b.Expect(err).NotTo(HaveOccurred())
	certificate, err := os.ReadFile(filepath.Join(b.dir, "certificate.yaml"))
	b.Expect(err).NotTo(HaveOccurred())
	r, _ := b.renew(append(append(registration, "---\n"...), certificate...))
	b.Expect(r.status).To(Equal(0), r.stderr)
}

// The program itself: it trusts SSL_CERT_FILE, and hangs with a child.
func TestProgram(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	program, err := simulator.BuildFlexctl(b.dir)
	b.Expect(err).NotTo(HaveOccurred())
	ca, source, pid := filepath.Join(b.dir, "ca.pem"), filepath.Join(b.dir, "old.yaml"), filepath.Join(b.dir, "pid")
	b.Expect(b.WriteCA(ca)).To(Succeed())
	b.Expect(os.WriteFile(source, g.File, 0o600)).To(Succeed())
	prepare := func(env ...string) (*exec.Cmd, *strings.Builder) {
		c := exec.Command(program, "registration", "renew", "--client-id="+b.app, "--client-secret="+b.secret, source)
		c.Dir, c.Env = t.TempDir(), env
		var output strings.Builder
		c.Stdout, c.Stderr = &output, &output
		c.WaitDelay = 100 * time.Millisecond
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return c, &output
	}
	c, output := prepare()
	b.Expect(c.Run()).NotTo(Succeed())
	b.Expect(output.String()).To(ContainSubstring("certificate signed by unknown authority"))

	c, output = prepare("SSL_CERT_FILE=" + ca)
	b.Expect(c.Run()).To(Succeed(), output.String())
	b.Expect(filepath.Join(c.Dir, "registration.yaml")).To(BeARegularFile())

	b.Inject(simulator.Fault{Kind: simulator.SpawnChild})
	c, _ = prepare("SSL_CERT_FILE="+ca, "SIMULATOR_PID_FILE="+pid)
	b.Expect(c.Start()).To(Succeed())
	defer func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }()
	b.Eventually(pid).WithTimeout(10 * time.Second).Should(BeAnExistingFile())
	b.Expect(c.Process.Kill()).To(Succeed())
	b.Expect(c.Wait()).To(MatchError(ContainSubstring("killed")))
	b.Expect(b.Renewals(g.AgentID)).To(HaveLen(2))
}
