package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// asRunner makes this test program the runner itself.
const asRunner = "RUN_FLEXCTL_FOR_TESTS"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the runner, with a PATH that has a flexctl of some lines of shell, if any.
type program struct {
	*WithT
	t                             *testing.T
	executable                    string
	attempt, result, work, search string
	message                       string
	platform                      *simulator.Platform
}

func newProgram(t *testing.T, flexctl string) *program {
	t.Helper()
	p := &program{WithT: NewWithT(t), t: t, attempt: t.TempDir(), result: t.TempDir(), work: t.TempDir(), search: t.TempDir(), message: filepath.Join(t.TempDir(), "message")}
	var err error
	p.executable, err = os.Executable()
	p.Expect(err).NotTo(HaveOccurred())
	p.platform, err = simulator.Start(simulator.Options{})
	p.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { p.Expect(p.platform.Close()).To(Succeed()) })
	g, err := p.platform.Register("ingress", time.Hour)
	p.Expect(err).NotTo(HaveOccurred())
	for name, content := range map[string]string{"registration.yaml": string(g.File), "client-id": "an-app", "client-secret": "its-s3cr3t"} {
		p.Expect(os.WriteFile(filepath.Join(p.attempt, name), []byte(content), 0o600)).To(Succeed())
	}
	if flexctl != "" {
		p.Expect(os.WriteFile(filepath.Join(p.search, "flexctl"), []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+flexctl+"\n"), 0o755)).To(Succeed())
	}
	return p
}

// command is as in the pod, with what is to be different at its end.
func (p *program) command(different ...string) (*exec.Cmd, *bytes.Buffer) {
	printed := &bytes.Buffer{}
	c := exec.CommandContext(p.t.Context(), p.executable, append([]string{
		"--anypoint-hosts=elsewhere.example.com," + p.platform.Host(), "--attempt=" + p.attempt, "--result=" + p.result, "--work=" + p.work,
		"--start-before=" + time.Now().Add(time.Minute).UTC().Format(time.RFC3339), "--deadline=1m0s", "--termination-log=" + p.message,
	}, different...)...)
	c.Env = []string{asRunner + "=1", "PATH=" + p.search}
	c.Stdout, c.Stderr = printed, printed
	return c, printed
}

// told is what stands in the termination message.
func (p *program) told() (told struct {
	Class      string
	Unresolved bool
	Detail     string
}) {
	p.t.Helper()
	content, err := os.ReadFile(p.message)
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(json.Unmarshal(content, &told)).To(Succeed(), "%s", content)
	return told
}

func TestRunsTheFlexctlOnThePath(t *testing.T) {
	p := newProgram(t, `cp "$PWD/old/registration.yaml" new/registration.yaml`)
	c, printed := p.command()
	p.Expect(c.Run()).To(Succeed(), printed.String())
	p.Expect(printed.String()).To(Equal("renewed\n"))
	p.Expect(filepath.Join(p.result, "registration.yaml")).To(BeARegularFile())
	p.Expect(p.message).NotTo(BeAnExistingFile())
}

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		different []string
		status    int
		class     string // of the termination message, "" where there is none
		prints    string
	}{
		"as they are":     {nil, 1, "FlexctlFailed", "FlexctlFailed: flexctl exit status 3: oops"},
		"another flexctl": {[]string{"--flexctl=other"}, 1, "FlexctlUnusable", `there is no program "other"`},
		"too late":        {[]string{"--start-before=2001-01-01T00:00:00Z"}, 1, "JobNotStarted", "given up at 2001-01-01T00:00:00Z"},
		"no attempt":      {[]string{"--attempt=/no/such/place"}, 1, "JobNotStarted", "reading the attempt's Secret"},
		"no time":         {[]string{"--deadline=0s"}, 1, "RenewalTimedOut", "deadline exceeded"},
		"not a time":      {[]string{"--start-before=tomorrow"}, 2, "", "start-before"},
		"not a duration":  {[]string{"--deadline=soon"}, 2, "", "deadline"},
		"an unknown flag": {[]string{"--verbose"}, 2, "", "unknown flag: --verbose"},
		"nowhere to tell": {[]string{"--termination-log=/no/such/place"}, 1, "", "writing the termination message"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProgram(t, `echo oops; exit 3`)
			command, printed := p.command(c.different...)
			p.Expect(command.Run()).To(MatchError(fmt.Sprintf("exit status %d", c.status)), printed.String())
			p.Expect(printed.String()).To(And(ContainSubstring(c.prints), Not(ContainSubstring("its-s3cr3t"))))
			if c.class == "" {
				p.Expect(p.message).NotTo(BeAnExistingFile())
				return
			}
			p.Expect(p.told().Class).To(Equal(c.class))
		})
	}
}

func TestHostsAreThoseAllowed(t *testing.T) {
	p := newProgram(t, "exit 3")
	c, _ := p.command()
	c.Args[1] = "--anypoint-hosts=elsewhere.example.com"
	p.Expect(c.Run()).To(MatchError("exit status 1"))
	p.Expect(p.told().Class).To(Equal("AnypointHostNotAllowed"))
}

// The kubelet asks a container to stop with SIGTERM. flexctl is ended, and nobody knows what it did.
func TestStopped(t *testing.T) {
	p := newProgram(t, `echo $$ > "$HOME/../started"; exec sleep 600`)
	c, printed := p.command()
	p.Expect(c.Start()).To(Succeed())
	started := filepath.Join(p.work, "started")
	p.Eventually(started).WithTimeout(20 * time.Second).WithPolling(10 * time.Millisecond).Should(BeAnExistingFile())
	p.Expect(c.Process.Signal(syscall.SIGTERM)).To(Succeed())
	p.Expect(c.Wait()).To(MatchError("exit status 1"), printed.String())
	p.Expect(p.told()).To(And(HaveField("Class", "RenewalTimedOut"), HaveField("Unresolved", true)))
	p.Expect(os.Remove(started)).To(Succeed())
	p.Expect(os.ReadDir(p.work)).To(BeEmpty())
}
