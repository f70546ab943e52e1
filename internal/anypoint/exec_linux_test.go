package anypoint

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// What the test program is when it runs itself.
const (
	superviseArgument = "supervise-for-tests"
	operatorArgument  = "operate-for-tests"
)

func supervisorForTests(t *testing.T) []string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Supervisor(executable, superviseArgument)
}

// helper is what the program does in the place of tests, where one of them runs it.
func helper() (status int, helped bool) {
	if len(os.Args) < 2 {
		return 0, false
	}
	switch os.Args[1] {
	case superviseArgument:
		return Supervise(os.Args[2:]), true
	case operatorArgument:
		return operate(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]), true
	}
	return 0, false
}

// operate renews as an operator does.
func operate(flexctl, host, directory, file, credentials string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 3
	}
	old, err := registration.Parse(map[string][]byte{registration.DefaultKey: content}, registration.DefaultKey)
	if err != nil {
		return 4
	}
	id, secret, _ := strings.Cut(credentials, ":")
	c, err := ParseCredentials(map[string][]byte{keyClientID: []byte(id), keyClientSecret: []byte(secret)})
	if err != nil {
		return 5
	}
	executable, err := os.Executable()
	if err != nil {
		return 6
	}
	e := &Exec{Flexctl: flexctl, Hosts: []string{host}, Directory: directory, Supervisor: Supervisor(executable, superviseArgument)}
	if _, err := e.Renew(context.Background(), old, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// running says whether a process runs. One that has ended may stay as a zombie, where nobody waits for orphans.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(fields) > 0 && fields[0][0] != 'Z' && fields[0][0] != 'X'
}

func TestSupervisedRenewal(t *testing.T) {
	b := newBench(t)
	b.Supervisor = supervisorForTests(t)
	renewed, failure := b.renew(t.Context(), b.app)
	b.Expect(failure).To(BeNil())
	b.Expect(registration.Verify(b.old, renewed, time.Now())).To(BeEmpty())

	_, failure = b.renew(t.Context(), parseCredentials(t, "username", "nobody", "password", testPassword))
	b.Expect(failure.Class).To(Equal(CredentialsRejected))

	b.platform.Inject(simulator.Fault{Kind: simulator.Crash})
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure.Detail).To(ContainSubstring("exit status 2"))

	flexctl := b.Flexctl
	b.script("kill -9 $$")
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure.Detail).To(ContainSubstring("exit status 137"))
	b.Expect(failure.Unresolved).To(BeTrue())

	b.Flexctl = filepath.Join(t.TempDir(), "flexctl")
	b.Expect(os.WriteFile(b.Flexctl, []byte("\x7fELF of another machine"), 0o755)).To(Succeed())
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(FlexctlUnusable), failure.Detail)
	b.Expect(failure.Unresolved).To(BeFalse())
	b.Expect(failure.Detail).To(ContainSubstring("exec format error"))

	b.Flexctl, b.Supervisor = flexctl, []string{filepath.Join(t.TempDir(), "missing")}
	_, failure = b.renew(t.Context(), b.app)
	b.Expect(failure.Class).To(Equal(FlexctlUnusable), failure.Detail)
	b.Expect(failure.Unresolved).To(BeFalse())
}

func TestSuperviseNothing(t *testing.T) {
	err := exec.Command(supervisorForTests(t)[0], superviseArgument).Run()
	NewWithT(t).Expect(err).To(MatchError("exit status 2"))
}

func TestSupervisorTakesFlexctlWithIt(t *testing.T) {
	g := NewWithT(t)
	pids := processes(t.TempDir())
	line := append(supervisorForTests(t)[1:], "sh", "-c", `echo $$ > "$0/flexctl"; exec sleep 600`, string(pids))
	supervisor := exec.Command(os.Args[0], line...)
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g.Expect(supervisor.Start()).To(Succeed())
	g.Eventually(pids.running).WithTimeout(10 * time.Second).WithPolling(10 * time.Millisecond).Should(HaveLen(1))
	g.Expect(supervisor.Process.Kill()).To(Succeed())
	_ = supervisor.Wait()
	g.Eventually(pids.running).WithTimeout(10 * time.Second).WithPolling(10 * time.Millisecond).Should(BeEmpty())
}

// An operator that is killed takes its flexctl with it, and what flexctl has started; so does one of which only the
// supervisor is asked to stop.
func TestNothingOutlivesTheOperator(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		child  bool // is what the signal goes to the supervisor?
	}{
		"operator killed":    {syscall.SIGKILL, false},
		"operator stopped":   {syscall.SIGTERM, false},
		"supervisor stopped": {syscall.SIGTERM, true},
		"supervisor killed":  {syscall.SIGKILL, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			pids := b.recordPIDs(`echo $PPID > "$PIDS/supervisor"`, `exec "$FLEXCTL" "$@"`)
			b.platform.Inject(simulator.Fault{Kind: simulator.SpawnChild})
			file := filepath.Join(t.TempDir(), "registration.yaml")
			b.Expect(os.WriteFile(file, b.gateway.File, 0o600)).To(Succeed())
			secrets := b.app.secrets()
			operator := exec.Command(os.Args[0], operatorArgument, b.Flexctl, b.platform.Host(), b.Directory, file, secrets[0]+":"+secrets[1])
			var output strings.Builder
			operator.Stdout, operator.Stderr = &output, &output
			operator.WaitDelay = 10 * time.Second
			b.Expect(operator.Start()).To(Succeed())
			ended := make(chan error, 1)
			go func() { ended <- operator.Wait() }()
			defer func() { _ = operator.Process.Kill() }()
			b.Eventually(pids.complete).WithTimeout(20*time.Second).WithPolling(10*time.Millisecond).Should(BeTrue(), "flexctl has a child")
			b.Expect(pids.running()).To(HaveLen(2))

			victim := operator.Process.Pid
			if c.child {
				text, err := os.ReadFile(filepath.Join(string(pids), "supervisor"))
				b.Expect(err).NotTo(HaveOccurred())
				_, err = fmt.Sscan(string(text), &victim)
				b.Expect(err).NotTo(HaveOccurred())
				b.Expect(victim).NotTo(Equal(operator.Process.Pid))
			}
			b.Expect(syscall.Kill(victim, c.signal)).To(Succeed())
			b.Eventually(pids.running).WithTimeout(10 * time.Second).WithPolling(10 * time.Millisecond).Should(BeEmpty())
			var err error
			b.Eventually(ended).WithTimeout(20 * time.Second).Should(Receive(&err))
			b.Expect(err).To(HaveOccurred(), output.String())

			// What a killed operator leaves behind, its successor removes.
			b.Expect(b.Sweep()).To(Succeed())
			b.Expect(os.ReadDir(b.Directory)).To(BeEmpty())
		})
	}
}
