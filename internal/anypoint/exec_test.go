package anypoint

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// built is the simulator's flexctl, made once for all tests.
var built = sync.OnceValues(func() (string, error) { return simulator.BuildFlexctl(buildDirectory) })

var buildDirectory string

func TestMain(m *testing.M) {
	if status, helped := helper(); helped {
		os.Exit(status)
	}
	os.Exit(func() int {
		var err error
		if buildDirectory, err = os.MkdirTemp("", "flexctl"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(buildDirectory) }()
		return m.Run()
	}())
}

// bench is a platform with a registered gateway, and an Exec that runs the simulator's flexctl.
type bench struct {
	*WithT
	*Exec
	t        *testing.T
	platform *simulator.Platform
	app      Credentials
	gateway  simulator.Gateway
	old      *registration.Registration
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), t: t}
	flexctl, err := built()
	b.Expect(err).NotTo(HaveOccurred())
	b.platform, err = simulator.Start(simulator.Options{})
	b.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { b.Expect(b.platform.Close()).To(Succeed()) })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	b.Expect(b.platform.WriteCA(ca)).To(Succeed())
	t.Setenv("SSL_CERT_FILE", ca)
	id, secret := b.platform.AddConnectedApp()
	b.app = parseCredentials(t, "client-id", id, "client-secret", secret)
	b.register(10 * 24 * time.Hour)
	b.Exec = &Exec{Flexctl: flexctl, Hosts: []string{b.platform.Host()}, Directory: t.TempDir()}
	return b
}

func (b *bench) register(remaining time.Duration) {
	b.t.Helper()
	var err error
	b.gateway, err = b.platform.Register("ingress", remaining)
	b.Expect(err).NotTo(HaveOccurred())
	b.old, err = registration.Parse(map[string][]byte{registration.DefaultKey: b.gateway.File}, registration.DefaultKey)
	b.Expect(err).NotTo(HaveOccurred())
}

// renew renews and checks what holds whatever happens: nothing is left behind, and no error shows a secret.
func (b *bench) renew(ctx context.Context, credentials Credentials) (*registration.Registration, *Error) {
	b.t.Helper()
	renewed, err := b.Renew(ctx, b.old, credentials)
	left, readErr := os.ReadDir(b.Directory)
	b.Expect(readErr).NotTo(HaveOccurred())
	b.Expect(left).To(BeEmpty())
	if err == nil {
		b.Expect(renewed).NotTo(BeNil())
		return renewed, nil
	}
	b.Expect(renewed).To(BeNil())
	var failure *Error
	b.Expect(errors.As(err, &failure)).To(BeTrue(), "%T", err)
	b.Expect(leaks(failure.Detail, credentials)).To(BeEmpty(), failure.Detail)
	b.Expect(failure.Detail).NotTo(Or(ContainSubstring("PRIVATE KEY"), ContainSubstring(b.Directory), ContainSubstring("\n")))
	for line := range strings.Lines(string(b.gateway.File)) {
		if line = strings.TrimSpace(line); len(line) > 40 && !strings.Contains(line, ":") && !strings.HasPrefix(line, "-") {
			b.Expect(failure.Detail).NotTo(ContainSubstring(line[:30]))
		}
	}
	return nil, failure
}

// script makes a program of a few lines of shell the flexctl that is run. $FLEXCTL is the one it replaces.
func (b *bench) script(lines ...string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "flexctl")
	text := "#!/bin/sh\nFLEXCTL=" + b.Flexctl + "\n" + strings.Join(lines, "\n") + "\n"
	b.Expect(os.WriteFile(path, []byte(text), 0o755)).To(Succeed())
	b.Flexctl = path
	return path
}

func TestRenewSucceeds(t *testing.T) {
	b := newBench(t)
	b.platform.AddUser("ana", testPassword, false)
	for name, credentials := range map[string]Credentials{"app": b.app, "user": parseCredentials(t, "username", "ana", "password", testPassword+"\n")} {
		b.register(10 * 24 * time.Hour)
		renewed, failure := b.renew(t.Context(), credentials)
		b.Expect(failure).To(BeNil(), name)
		renewals := b.platform.Renewals(b.gateway.AgentID)
		b.Expect(renewals).To(HaveLen(1))
		b.Expect(renewed.Certificate().Fingerprint).To(Equal(renewals[0].NewFingerprint))
		b.Expect(registration.Verify(b.old, renewed, time.Now())).To(BeEmpty())
	}
}

func TestRenewExpired(t *testing.T) {
	b := newBench(t)
	b.register(-100 * 24 * time.Hour)
	renewed, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil())
	b.Expect(registration.Verify(b.old, renewed, time.Now())).To(BeEmpty())
}

// flexctl gets the registration's documents, and none of the user's.
func TestRenewGivesFlexctlTheRegistrationAlone(t *testing.T) {
	b := newBench(t)
	var err error
	b.old, err = registration.Parse(map[string][]byte{registration.DefaultKey: append(b.gateway.File, "---\n# mine\nkind: Configuration\nspec: {password: hunter2}\n"...)}, registration.DefaultKey)
	b.Expect(err).NotTo(HaveOccurred())
	seen := filepath.Join(t.TempDir(), "seen")
	b.script(`for last; do :; done`, `cat "$last" > `+seen, `pwd >> `+seen+`.env`, `ls -ld . "$last" >> `+seen+`.env`, `env >> `+seen+`.env`, `exec "$FLEXCTL" "$@"`)
	t.Setenv("KUBECONFIG", "/secret/place")
	t.Setenv("https_proxy", "")
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil())
	b.Expect(os.ReadFile(seen)).To(Equal(b.old.Marshal()))
	b.Expect(os.ReadFile(seen)).NotTo(ContainSubstring("hunter2"))
	environment, err := os.ReadFile(seen + ".env")
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(string(environment)).To(And(HavePrefix(b.Directory+"/flex-registration-operator-"+strconv.Itoa(os.Getpid())+"-"), ContainSubstring("drwx------"), ContainSubstring("-rw-------"),
		ContainSubstring("SSL_CERT_FILE="), ContainSubstring("https_proxy="), ContainSubstring("HOME="+b.Directory), Not(ContainSubstring("KUBECONFIG"))))
}

func TestRenewFaults(t *testing.T) {
	type want struct {
		class      Class // "" for success
		unresolved bool
		issued     int
	}
	for name, c := range map[string]struct {
		fault simulator.Fault
		want  want
	}{
		"token, down":        {simulator.Fault{Call: simulator.CallToken, Kind: simulator.Unavailable503}, want{PlatformUnavailable, false, 0}},
		"token, rate limit":  {simulator.Fault{Call: simulator.CallToken, Kind: simulator.RateLimited}, want{RateLimited, false, 0}},
		"token, dropped":     {simulator.Fault{Call: simulator.CallToken, Kind: simulator.DropBefore}, want{PlatformUnavailable, true, 0}},
		"token, garbage":     {simulator.Fault{Call: simulator.CallToken, Kind: simulator.Garbage}, want{FlexctlFailed, true, 0}},
		"down":               {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Unavailable503}, want{PlatformUnavailable, false, 0}},
		"rate limit":         {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.RateLimited}, want{RateLimited, false, 0}},
		"internal error":     {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Status500}, want{PlatformUnavailable, true, 0}},
		"garbage":            {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Garbage}, want{FlexctlFailed, true, 0}},
		"dropped":            {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.DropBefore}, want{PlatformUnavailable, true, 0}},
		"dropped afterwards": {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.DropAfter}, want{PlatformUnavailable, true, 1}},
		"slow":               {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Slow, Latency: 200 * time.Millisecond}, want{"", false, 1}},
		"hangs":              {simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Hang}, want{TimedOut, true, 0}},
		"half a file":        {simulator.Fault{Kind: simulator.TruncatedFile}, want{ResultInvalid, true, 1}},
		"a garbage file":     {simulator.Fault{Kind: simulator.GarbageFile}, want{ResultInvalid, true, 1}},
		"an empty file":      {simulator.Fault{Kind: simulator.EmptyFile}, want{ResultInvalid, true, 1}},
		"no file":            {simulator.Fault{Kind: simulator.NoFile}, want{ResultInvalid, true, 1}},
		"a wrong key":        {simulator.Fault{Kind: simulator.WrongKey}, want{ResultInvalid, true, 1}},
		"a crash":            {simulator.Fault{Kind: simulator.Crash}, want{FlexctlFailed, true, 1}},
		"a child":            {simulator.Fault{Kind: simulator.SpawnChild}, want{TimedOut, true, 1}},
		"much output":        {simulator.Fault{Kind: simulator.HugeOutput}, want{"", false, 1}},
		// What is wrong with these is for Verify to find.
		"the old one":           {simulator.Fault{Kind: simulator.OldCertificate}, want{"", false, 0}},
		"another gateway's":     {simulator.Fault{Kind: simulator.OtherGateway}, want{"", false, 1}},
		"a changed URL":         {simulator.Fault{Kind: simulator.ChangedURL}, want{"", false, 1}},
		"a changed field":       {simulator.Fault{Kind: simulator.ChangedField}, want{"", false, 1}},
		"an expired one":        {simulator.Fault{Kind: simulator.AlreadyExpired}, want{"", false, 1}},
		"one that is not valid": {simulator.Fault{Kind: simulator.NotYetValid}, want{"", false, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.platform.Inject(c.fault)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.want.class == TimedOut { // the deadline passes once the platform was asked
				go func() {
					for len(b.platform.Requests()) < 2 || c.want.issued > 0 && len(b.platform.Renewals(b.gateway.AgentID)) == 0 {
						time.Sleep(5 * time.Millisecond)
					}
					time.Sleep(50 * time.Millisecond)
					cancel(errors.New("enough"))
				}()
			}
			_, failure := b.renew(ctx, b.app)
			b.Expect(b.platform.Renewals(b.gateway.AgentID)).To(HaveLen(c.want.issued))
			if c.want.class == "" {
				b.Expect(failure).To(BeNil())
				return
			}
			b.Expect(failure).NotTo(BeNil())
			b.Expect(failure.Class).To(Equal(c.want.class), failure.Detail)
			b.Expect(failure.Unresolved).To(Equal(c.want.unresolved), failure.Detail)
		})
	}
}

func TestRenewRefused(t *testing.T) {
	b := newBench(t)
	b.platform.AddUser("ana", testPassword, true)
	id, secret := b.platform.AddConnectedApp(simulator.ScopeReadServers, simulator.ScopeViewOrganization)
	viewless, viewlessSecret := b.platform.AddConnectedApp(simulator.ScopeReadServers, simulator.ScopeManageServers)
	for name, c := range map[string]struct {
		credentials Credentials
		want        Class
		remedy      string
	}{
		"wrong secret":   {parseCredentials(t, "client-id", id, "client-secret", testSecret), CredentialsRejected, "put valid ones into the credentials Secret"},
		"unknown user":   {parseCredentials(t, "username", "bob", "password", testPassword), CredentialsRejected, ""},
		"MFA":            {parseCredentials(t, "username", "ana", "password", testPassword), MFARequired, "use a connected app"},
		"missing scope":  {parseCredentials(t, "client-id", id, "client-secret", secret), MissingScope, "Manage Servers"},
		"another, a 401": {parseCredentials(t, "client-id", viewless, "client-secret", viewlessSecret), MissingScope, "View Organization"},
	} {
		_, failure := b.renew(t.Context(), c.credentials)
		b.Expect(failure).NotTo(BeNil(), name)
		b.Expect(failure.Class).To(Equal(c.want), "%s: %s", name, failure.Detail)
		b.Expect(failure.Unresolved).To(BeFalse(), name)
		b.Expect(failure.Detail).To(ContainSubstring(c.remedy))
	}
	b.platform.DeleteGateway(b.gateway.AgentID)
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(RequestRefused), failure.Detail)
	b.Expect(failure.Detail).To(ContainSubstring("HTTP/1.1 400 Bad Request"))
	b.Expect(b.platform.Close()).To(Succeed())
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(PlatformUnavailable), failure.Detail)
	b.Expect(failure.Unresolved).To(BeFalse())
	b.Expect(failure.Detail).To(ContainSubstring("connection refused"))
}

func TestRenewWithoutTheCA(t *testing.T) {
	b := newBench(t)
	t.Setenv("SSL_CERT_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(PlatformUnavailable), failure.Detail)
	b.Expect(failure.Unresolved).To(BeFalse())
	b.Expect(b.platform.Requests()).To(BeEmpty())
}

// A crash prints credentials, a token and the key: bench.renew looks for them in what is told.
func TestRenewCrashTellsNoSecret(t *testing.T) {
	b := newBench(t)
	b.platform.AddUser("ana.lopez", `p"a<s>s\w0rd`, false)
	for _, credentials := range []Credentials{b.app, parseCredentials(t, "username", "ana.lopez", "password", `p"a<s>s\w0rd`)} {
		b.platform.Inject(simulator.Fault{Kind: simulator.Crash})
		_, failure := b.renew(t.Context(), credentials)
		b.Expect(failure.Detail).To(And(ContainSubstring("exit status 2"), ContainSubstring("panic: runtime error")))
	}
}

func TestRenewDoesNotKeepHugeOutput(t *testing.T) {
	b := newBench(t)
	b.script(`i=0; while [ $i -lt 64 ]; do head -c 1048576 /dev/zero | tr '\0' 'x'; i=$((i+1)); done; echo >&2 '[flexctl][error] too late'; exit 3`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, failure := b.renew(t.Context(), b.app)
	runtime.ReadMemStats(&after)
	b.Expect(failure.Class).To(Equal(FlexctlFailed))
	b.Expect(failure.Detail).To(ContainSubstring("exit status 3"))
	b.Expect(len(failure.Detail)).To(BeNumerically("<", 2*maxLine))
	b.Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 8<<20))
}

// Half a credential at the place where the output is cut would not be recognised.
func TestOutputIsCutAtALine(t *testing.T) {
	g := NewWithT(t)
	b := &boundedBuffer{}
	for range maxOutput/10 + 1 {
		n, err := b.Write([]byte("nine char\n"))
		g.Expect(n).To(Equal(10))
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(b.String()).To(HaveLen(maxOutput / 10 * 10))
	b = &boundedBuffer{}
	_, _ = b.Write(make([]byte, maxOutput+1))
	g.Expect(b.String()).To(BeEmpty())
	b = &boundedBuffer{}
	_, _ = b.Write([]byte("no end"))
	g.Expect(b.String()).To(Equal("no end"))
}

func TestRenewAsksNobodyElse(t *testing.T) {
	b := newBench(t)
	trace := filepath.Join(t.TempDir(), "trace")
	b.script(`echo "$@" > ` + trace)
	host, err := url.Parse(b.platform.URL())
	b.Expect(err).NotTo(HaveOccurred())
	for _, hosts := range [][]string{nil, {"anypoint.mulesoft.com"}, {host.Hostname()}, {host.Hostname() + ":1"}, {b.platform.Host() + ".example"}, {"x" + b.platform.Host()}, {"*"}, {""}} {
		b.Hosts = hosts
		_, failure := b.renew(t.Context(), b.app)
		b.Expect(failure).NotTo(BeNil(), "%v", hosts)
		b.Expect(failure.Class).To(Equal(HostNotAllowed), "%v", hosts)
		b.Expect(failure.Unresolved).To(BeFalse())
		b.Expect(trace).NotTo(BeAnExistingFile(), "%v", hosts)
	}
	b.Hosts = []string{"anypoint.mulesoft.com", strings.ToUpper(b.platform.Host())}
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(ResultInvalid))
	b.Expect(trace).To(BeAnExistingFile())
	b.Expect(b.platform.Requests()).To(BeEmpty())
}

func TestRenewWithUnusableFlexctl(t *testing.T) {
	b := newBench(t)
	flexctl := b.Flexctl
	file := func(mode os.FileMode, text string) string {
		path := filepath.Join(t.TempDir(), "flexctl")
		b.Expect(os.WriteFile(path, []byte(text), mode)).To(Succeed())
		return path
	}
	for name, c := range map[string]struct {
		flexctl, want string
		class         Class
	}{
		"missing":         {filepath.Join(t.TempDir(), "flexctl"), "there is no program", FlexctlUnusable},
		"not on the PATH": {"no-such-flexctl", `there is no program "no-such-flexctl" to run: set spec.flexctl.image`, FlexctlUnusable},
		"empty":           {"", "there is no program", FlexctlUnusable},
		"a directory":     {t.TempDir(), "there is no program", FlexctlUnusable},
		"no program":      {file(0o644, "text"), "there is no program", FlexctlUnusable},
		"wrong format":    {file(0o755, "\x7fELF of another machine"), "starting flexctl: fork/exec: exec format error", FlexctlUnusable},
		"no interpreter":  {file(0o755, "#!/no/such/shell\n"), "starting flexctl: fork/exec: no such file", FlexctlUnusable},
		"old": {file(0o755, "#!/bin/sh\necho 'Error: unknown command \"renew\" for \"flexctl registration\"' >&2\nexit 1\n"),
			`install a newer one (flexctl exit status 1: Error: unknown command "renew"`, FlexctlTooOld},
		"older": {file(0o755, "#!/bin/sh\necho '[flexctl][error] unknown flag: --output-directory' >&2\nexit 1\n"), "set spec.flexctl.image to a newer image", FlexctlTooOld},
	} {
		b.Flexctl = c.flexctl
		_, failure := b.renew(t.Context(), b.app)
		b.Expect(failure).NotTo(BeNil(), name)
		b.Expect(failure.Class).To(Equal(c.class), "%s: %s", name, failure.Detail)
		b.Expect(failure.Unresolved).To(BeFalse(), name)
		b.Expect(failure.Detail).To(ContainSubstring(c.want), name)
	}
	b.Expect(b.platform.Requests()).To(BeEmpty())

	b.Flexctl = "./" + filepath.Base(flexctl)
	t.Chdir(filepath.Dir(flexctl))
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil(), "a path that is relative to the operator's directory")

	b.Flexctl = "flexctl"
	t.Setenv("PATH", filepath.Dir(flexctl)+":"+os.Getenv("PATH"))
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil(), "a name on the PATH")

	b.Directory = filepath.Join(t.TempDir(), "missing")
	_, err := b.Renew(t.Context(), b.old, b.app)
	b.Expect(err).To(HaveField("Class", FlexctlFailed))
	b.Expect(err).To(HaveField("Unresolved", false))
	b.Expect(err.Error()).To(And(HavePrefix("making a private directory"), Not(ContainSubstring(b.Directory))))
}

// What was renewed can't be had again, so it counts also where flexctl fails or hangs afterwards.
func TestRenewTakesWhatFlexctlHasWritten(t *testing.T) {
	for name, c := range map[string]struct{ then, want string }{
		"fails": {"exit 1", ""},
		"hangs": {"sleep 600", ""},
		// Half a file is no registration, and the old one is not renewed.
		"cuts it":      {`truncate -s 500 new/registration.yaml; echo oops; exit 1`, "oops"},
		"puts it back": {`cp old/registration.yaml new/registration.yaml; echo oops; exit 1`, "oops"},
		// Whatever it then says.
		"complains": {`echo 'HTTP/1.1 400 Bad Request'; exit 1`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			done := filepath.Join(t.TempDir(), "done")
			b.script(`"$FLEXCTL" "$@" >/dev/null`, `touch `+done, c.then)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if strings.HasPrefix(c.then, "sleep") {
				go func() {
					for {
						if _, err := os.Stat(done); err == nil {
							cancel()
							return
						}
						time.Sleep(5 * time.Millisecond)
					}
				}()
			}
			renewed, failure := b.renew(ctx, b.app)
			if c.want != "" {
				b.Expect(failure).NotTo(BeNil())
				b.Expect(failure.Detail).To(ContainSubstring(c.want))
				return
			}
			b.Expect(failure).To(BeNil())
			b.Expect(renewed.Certificate().Fingerprint).To(Equal(b.platform.Renewals(b.gateway.AgentID)[0].NewFingerprint))
		})
	}
}

func TestRenewDoesNotReadAHugeFile(t *testing.T) {
	b := newBench(t)
	b.script(`truncate -s 256M new/registration.yaml`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, failure := b.renew(t.Context(), b.app)
	runtime.ReadMemStats(&after)
	b.Expect(failure.Class).To(Equal(ResultInvalid))
	b.Expect(failure.Detail).To(ContainSubstring("more than the"))
	b.Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 8<<20))
}

func TestRenewReadsOnlyRegularFiles(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct{ script, want string }{
		"a link":       {`ln -s ../old/registration.yaml new/registration.yaml`, "it is no regular file"},
		"a directory":  {`mkdir new/registration.yaml`, "it is no regular file"},
		"a pipe":       {`mkfifo new/registration.yaml`, "it is no regular file"},
		"a huge file":  {`head -c 300000 /dev/zero > new/registration.yaml`, "more than the"},
		"a lost place": {`rmdir new; ln -s x new`, "wrote no registration"},
	} {
		flexctl := b.Flexctl
		b.script(c.script)
		_, failure := b.renew(t.Context(), b.app)
		b.Expect(failure).NotTo(BeNil(), name)
		b.Expect(failure.Class).To(Equal(ResultInvalid), "%s: %s", name, failure.Detail)
		b.Expect(failure.Unresolved).To(BeTrue(), name)
		b.Expect(failure.Detail).To(ContainSubstring(c.want), name)
		b.Flexctl = flexctl
	}
	b.script(`cp old/registration.yaml old/x.yaml`, `awk '/^---/{second=1; next} {print > (second ? "new/certificate.yaml" : "new/registration.yaml")}' old/registration.yaml`)
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil(), "a split registration")
}

// The deadline ends flexctl and its child, which holds flexctl's output open.
func TestRenewEndsFlexctlAndItsChildren(t *testing.T) {
	for name, supervisor := range map[string][]string{"alone": nil, "supervised": supervisorForTests(t)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Supervisor = supervisor
			pids := b.recordPIDs()
			b.platform.Inject(simulator.Fault{Kind: simulator.SpawnChild})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				for !pids.complete() {
					time.Sleep(5 * time.Millisecond)
				}
				cancel()
			}()
			start := time.Now()
			_, failure := b.renew(ctx, b.app)
			b.Expect(failure.Class).To(Equal(TimedOut))
			b.Expect(failure.Unresolved).To(BeTrue())
			b.Expect(time.Since(start)).To(BeNumerically("<", 20*time.Second))
			b.Eventually(pids.running).WithTimeout(10 * time.Second).WithPolling(10 * time.Millisecond).Should(BeEmpty())
		})
	}
}

// What flexctl leaves running when it succeeds does not hold up the operator, and does not stay.
func TestRenewEndsWhatFlexctlLeavesRunning(t *testing.T) {
	b := newBench(t)
	pids := b.recordPIDs(`sleep 600 &`, `echo $! > "$PIDS/child"`, `"$FLEXCTL" "$@"`, `exit 0`)
	start := time.Now()
	_, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil())
	b.Expect(time.Since(start)).To(BeNumerically("<", 20*time.Second))
	b.Eventually(pids.running).WithTimeout(10 * time.Second).WithPolling(10 * time.Millisecond).Should(BeEmpty())
}

// processes are those whose ids lie in a directory's files: flexctl and its child.
type processes string

// recordPIDs makes flexctl a script that leaves its process id and, where the platform makes it spawn a child, the
// child's.
func (b *bench) recordPIDs(lines ...string) processes {
	directory := b.t.TempDir()
	if len(lines) == 0 {
		lines = []string{`exec "$FLEXCTL" "$@"`}
	}
	b.script(append([]string{"PIDS=" + directory, `echo $$ > "$PIDS/flexctl"`, `export SIMULATOR_PID_FILE="$PIDS/child"`}, lines...)...)
	b.t.Cleanup(func() { // of a failed test
		for _, pid := range processes(directory).running() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return processes(directory)
}

func (p processes) pids() (found []int) {
	for _, name := range []string{"flexctl", "child"} {
		text, err := os.ReadFile(filepath.Join(string(p), name))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

func (p processes) complete() bool { return len(p.pids()) == 2 }

func (p processes) running() (found []int) {
	for _, pid := range p.pids() {
		if running(pid) {
			found = append(found, pid)
		}
	}
	return found
}

func TestSweep(t *testing.T) {
	g := NewWithT(t)
	e := &Exec{Directory: t.TempDir()}
	dead := exec.Command("true")
	g.Expect(dead.Run()).To(Succeed())
	living := exec.Command("sleep", "600")
	g.Expect(living.Start()).To(Succeed())
	defer func() { _ = living.Process.Kill(); _ = living.Wait() }()

	name := func(pid int) string { return fmt.Sprintf("%s%d-123", directoryPrefix, pid) }
	keep := []string{name(living.Process.Pid), name(1), "other", "x" + name(dead.Process.Pid), directoryPrefix + "x-1", directoryPrefix + "12"}
	remove := []string{name(dead.Process.Pid), name(dead.Process.Pid) + "4", name(os.Getpid())}
	for _, d := range append(append([]string{}, keep...), remove...) {
		g.Expect(os.MkdirAll(filepath.Join(e.Directory, d, "old"), 0o700)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(e.Directory, d, "old", "registration.yaml"), nil, 0o600)).To(Succeed())
	}
	file := name(dead.Process.Pid) + "5"
	g.Expect(os.WriteFile(filepath.Join(e.Directory, file), nil, 0o600)).To(Succeed())
	link := name(dead.Process.Pid) + "6"
	g.Expect(os.Symlink(filepath.Join(e.Directory, "other"), filepath.Join(e.Directory, link))).To(Succeed())

	g.Expect(e.Sweep()).To(Succeed())
	left, err := os.ReadDir(e.Directory)
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, entry := range left {
		names = append(names, entry.Name())
	}
	g.Expect(names).To(ConsistOf(append(keep, file, link)))
	g.Expect(filepath.Join(e.Directory, "other", "old", "registration.yaml")).To(BeAnExistingFile())

	e.Directory = filepath.Join(e.Directory, "missing")
	g.Expect(e.Sweep()).To(MatchError(os.ErrNotExist))
}

func TestDirectoryIsInMemoryByDefault(t *testing.T) {
	NewWithT(t).Expect((&Exec{}).directory()).To(BeADirectory())
}
