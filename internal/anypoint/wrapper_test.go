package anypoint

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// wrapped is a bench in a container.
type wrapped struct {
	*bench
	*Wrapper
	now time.Time
}

func newWrapped(t *testing.T) *wrapped {
	t.Helper()
	b := newBench(t)
	ca, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	b.Expect(err).NotTo(HaveOccurred())
	t.Setenv("SSL_CERT_FILE", filepath.Join(t.TempDir(), "of-the-image")) // The attempt's goes before.
	now := time.Now()
	return &wrapped{bench: b, now: now, Wrapper: &Wrapper{
		Flexctl: b.Flexctl, Hosts: b.Hosts, Work: b.Directory, Result: t.TempDir(),
		Input:       mounted(t, Attempt{Registration: b.old, Credentials: b.app, Network: Network{CABundle: ca, Proxy: map[string]string{"NO_PROXY": "127.0.0.1"}}}.Data()),
		StartBefore: now.Add(time.Minute), Deadline: time.Minute, TerminationLog: filepath.Join(t.TempDir(), "termination-log"),
	}}
}

// script puts some lines of shell in the place of flexctl, the first of which leaves a file.
func (w *wrapped) script(lines ...string) (trace string) {
	trace = filepath.Join(w.t.TempDir(), "trace")
	w.Wrapper.Flexctl = w.bench.script(append([]string{"touch " + trace}, lines...)...)
	return trace
}

// run renews, and checks what holds whatever happens.
func (w *wrapped) run(ctx context.Context) (*Error, string) {
	w.t.Helper()
	var printed strings.Builder
	status := w.Run(ctx, w.now, &printed)
	left, err := os.ReadDir(w.Work)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(left).To(BeEmpty())
	w.Expect(leaks(printed.String(), w.app)).To(BeEmpty())
	message, err := os.ReadFile(w.TerminationLog)
	if status == 0 {
		w.Expect(err).To(MatchError(os.ErrNotExist))
		return nil, printed.String()
	}
	w.Expect(status).To(Equal(1))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(leaks(string(message), w.app)).To(BeEmpty())
	failure := ParseTerminationMessage(string(message), w.app)
	w.Expect(failure).NotTo(BeNil(), "%s", message)
	w.Expect(printed.String()).To(Equal(string(failure.Class) + ": " + failure.Detail + "\n"))
	w.Expect(filepath.Join(w.Result, registration.DefaultKey)).NotTo(BeARegularFile())
	return failure, printed.String()
}

func TestWrapperRenews(t *testing.T) {
	w := newWrapped(t)
	failure, printed := w.run(t.Context())
	w.Expect(failure).To(BeNil())
	w.Expect(printed).To(Equal("renewed\n"))
	content, err := os.ReadFile(filepath.Join(w.Result, registration.DefaultKey))
	w.Expect(err).NotTo(HaveOccurred())
	renewed, err := registration.Parse(map[string][]byte{registration.DefaultKey: content}, registration.DefaultKey)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(renewed.Certificate().Fingerprint).To(Equal(w.platform.Renewals(w.gateway.AgentID)[0].NewFingerprint))
}

// What the image sets stays, but for what the attempt says of the network.
func TestWrapperGivesFlexctlTheNetwork(t *testing.T) {
	w := newWrapped(t)
	t.Setenv("NO_PROXY", "of-the-image")
	t.Setenv("LANG", "of-the-image")
	seen := filepath.Join(t.TempDir(), "environment")
	w.script("env > "+seen, `exec "$FLEXCTL" "$@"`)
	failure, _ := w.run(t.Context())
	w.Expect(failure).To(BeNil())
	environment, err := os.ReadFile(seen)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(strings.Split(string(environment), "\n")).To(ContainElements("NO_PROXY=127.0.0.1", "LANG=of-the-image", "SSL_CERT_FILE="+filepath.Join(w.Input, "ca.crt")))
}

func TestWrapperTellsWhatFailed(t *testing.T) {
	w := newWrapped(t)
	w.platform.Inject(simulator.Fault{Kind: simulator.Crash})
	failure, _ := w.run(t.Context())
	w.Expect(failure).To(HaveField("Class", FlexctlFailed))
	w.Expect(failure.Unresolved).To(BeTrue())
	w.Hosts = nil
	failure, _ = w.run(t.Context())
	w.Expect(failure).To(HaveField("Class", HostNotAllowed))
	w.Expect(failure.Unresolved).To(BeFalse())
}

// The operator may have given this attempt up, and begun another one.
func TestWrapperNeverRunsFlexctlTooLate(t *testing.T) {
	w := newWrapped(t)
	trace := w.script("exit 1")
	for name, before := range map[string]time.Time{"now": w.now, "a moment ago": w.now.Add(-1), "long ago": w.now.Add(-time.Hour), "never": {}} {
		w.StartBefore = before
		failure, _ := w.run(t.Context())
		w.Expect(failure).To(HaveField("Class", JobNotStarted), name)
		w.Expect(failure.Unresolved).To(BeFalse(), name)
		w.Expect(failure.Detail).To(And(ContainSubstring("the pod came up at "+w.now.UTC().Format(time.RFC3339)), ContainSubstring(before.UTC().Format(time.RFC3339))), name)
		w.Expect(trace).NotTo(BeAnExistingFile(), name)
	}
	w.StartBefore = w.now.Add(1)
	failure, _ := w.run(t.Context())
	w.Expect(failure).To(HaveField("Class", FlexctlFailed))
	w.Expect(trace).To(BeAnExistingFile())
}

func TestWrapperWithoutAnAttempt(t *testing.T) {
	w := newWrapped(t)
	trace := w.script()
	for name, input := range map[string]string{"empty": t.TempDir(), "missing": filepath.Join(t.TempDir(), "missing")} {
		w.Input = input
		failure, _ := w.run(t.Context())
		w.Expect(failure).To(HaveField("Class", JobNotStarted), name)
		w.Expect(failure.Unresolved).To(BeFalse(), name)
		w.Expect(failure.Detail).To(HavePrefix("reading the attempt's Secret in the pod: "), name)
	}
	w.Expect(trace).NotTo(BeAnExistingFile())
}

// What was renewed and can't be kept is lost, so nobody knows how the platform stands.
func TestWrapperThatCannotKeepTheResult(t *testing.T) {
	w := newWrapped(t)
	occupied := t.TempDir()
	w.Expect(os.Mkdir(filepath.Join(occupied, registration.DefaultKey), 0o700)).To(Succeed())
	for issued, result := range []string{filepath.Join(t.TempDir(), "missing"), occupied} {
		w.Result = result
		failure, _ := w.run(t.Context())
		w.Expect(w.platform.Renewals(w.gateway.AgentID)).To(HaveLen(issued + 1))
		w.Expect(failure).To(HaveField("Class", ResultInvalid))
		w.Expect(failure.Unresolved).To(BeTrue())
		w.Expect(failure.Detail).To(And(HavePrefix("keeping what flexctl wrote: open"), Not(ContainSubstring(result))))
	}
}

// A pod that is asked to stop ends flexctl, and says that nobody knows what it did.
func TestWrapperIsStopped(t *testing.T) {
	w := newWrapped(t)
	trace := w.script("sleep 600")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(trace); err == nil {
				stop()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	failure, _ := w.run(ctx)
	w.Expect(failure).To(HaveField("Class", TimedOut))
	w.Expect(failure.Unresolved).To(BeTrue())

	w.Expect(os.Remove(trace)).To(Succeed())
	failure, _ = w.run(ctx)
	w.Expect(failure).To(HaveField("Class", TimedOut))
	w.Expect(trace).NotTo(BeAnExistingFile(), "it was stopped before")
}

func TestWrapperHasADeadline(t *testing.T) {
	w := newWrapped(t)
	w.script("sleep 600")
	w.Deadline = 100 * time.Millisecond
	failure, _ := w.run(t.Context())
	w.Expect(failure).To(HaveField("Class", TimedOut))
	w.Expect(failure.Unresolved).To(BeTrue())
	w.Expect(failure.Detail).To(ContainSubstring("deadline exceeded"))
}

func TestWrapperWithoutTerminationLog(t *testing.T) {
	w := newWrapped(t)
	w.script("exit 7")
	w.TerminationLog = filepath.Join(t.TempDir(), "missing", "log")
	var printed strings.Builder
	w.Expect(w.Run(t.Context(), w.now, &printed)).To(Equal(1))
	w.Expect(printed.String()).To(And(ContainSubstring("FlexctlFailed: flexctl exit status 7"), ContainSubstring("writing the termination message:")))
}

func TestInstall(t *testing.T) {
	g := NewWithT(t)
	self, err := os.Executable()
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(t.TempDir(), "program")
	for range 2 { // A pod may be begun anew on what an earlier one has left.
		g.Expect(Install(self, path)).To(Succeed())
	}
	g.Expect(exec.CommandContext(t.Context(), path, "-test.run=NoSuchTest").Run()).To(Succeed())
	info, err := os.Stat(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()&0o555).To(BeEquivalentTo(0o555), "whatever user the container has runs it")

	g.Expect(Install(self, filepath.Join(t.TempDir(), "missing", "program"))).To(MatchError(os.ErrNotExist))
	g.Expect(Install(path+".missing", path)).To(MatchError(os.ErrNotExist))
	g.Expect(Install(self, t.TempDir())).To(HaveOccurred())
}
