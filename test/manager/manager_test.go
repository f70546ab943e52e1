// Package manager tests the operator as it is installed: the program, with the manifests of config/.
package manager

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const installed = "flex-registration-operator" // namespace, service account and lease

// build compiles the operator.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "manager")
	command := exec.Command("go", "build", "-o", program, ".")
	command.Dir = filepath.Join("..", "..")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the manager: %v\n%s", err, output)
	}
	return program
}

// process is a running manager.
type process struct {
	*exec.Cmd
	probe, metrics string
	mu             sync.Mutex
	log            bytes.Buffer
	done           chan error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func start(t *testing.T, program, kubeconfig string, environment []string, flags ...string) *process {
	t.Helper()
	p := &process{probe: freeAddress(t), metrics: freeAddress(t), done: make(chan error, 1)}
	flags = append(flags, "--leader-elect", "--leader-election-namespace="+installed, "--health-probe-bind-address="+p.probe, "--metrics-bind-address="+p.metrics)
	p.Cmd = exec.Command(program, flags...)
	p.Env = append(append(os.Environ(), "KUBECONFIG="+kubeconfig), environment...)
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-p.done:
			if err != nil {
				t.Errorf("the manager ended with: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("the manager did not stop within 20s: %v", p.Process.Kill())
		}
		if t.Failed() {
			t.Logf("%s", p.logged())
		}
	})
	return p
}

func get(url string) (int, string) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	return do(http.DefaultClient, request)
}

func do(client *http.Client, request *http.Request) (int, string) {
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func TestInstalled(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	ctx := t.Context()
	cluster, _ := operator.Cluster(t, controlplane.Options{})
	kubectl := func(arguments ...string) string {
		t.Helper()
		command := exec.CommandContext(ctx, cluster.Kubectl, append([]string{"--kubeconfig=" + cluster.Kubeconfig}, arguments...)...)
		command.Dir = filepath.Join("..", "..")
		output, err := command.CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(output))
		return string(output)
	}
	kubectl("apply", "-k", "config/default")
	kubectl("apply", "--dry-run=server", "-k", "config/observe-only")
	kubectl("wait", "--for=condition=Established", "crd/flexregistrations.gateway.flexops.dev")
	// There is no image: the program runs here, as the service account.
	kubectl("scale", "deployment/"+installed, "-n", installed, "--replicas=0")
	kubeconfig, err := cluster.UserKubeconfig("system:serviceaccount:"+installed+":"+installed, "system:serviceaccounts", "system:serviceaccounts:"+installed, "system:authenticated")
	g.Expect(err).NotTo(HaveOccurred())
	admin, err := client.New(cluster.Config, client.Options{Scheme: operator.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())

	platform, err := simulator.Start(simulator.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = platform.Close() })
	directory := t.TempDir()
	flexctl, err := simulator.BuildFlexctl(directory)
	g.Expect(err).NotTo(HaveOccurred())
	ca := filepath.Join(directory, "ca.crt")
	g.Expect(platform.WriteCA(ca)).To(Succeed())
	program := build(t)
	environment := []string{"SSL_CERT_FILE=" + ca}
	flags := []string{"--flexctl=" + flexctl, "--anypoint-hosts=" + platform.Host()}

	first := start(t, program, kubeconfig, environment, flags...)
	holder := func() string {
		lease := &coordinationv1.Lease{}
		if err := admin.Get(ctx, client.ObjectKey{Namespace: installed, Name: installed}, lease); err != nil {
			return ""
		}
		return ptr.Deref(lease.Spec.HolderIdentity, "")
	}
	g.Eventually(holder).ShouldNot(BeEmpty())
	leader := holder()
	second := start(t, program, kubeconfig, environment, append(flags, "--metrics-secure")...)
	for _, p := range []*process{first, second} {
		g.Eventually(func() int { code, _ := get("http://" + p.probe + "/readyz"); return code }).Should(Equal(http.StatusOK))
		code, _ := get("http://" + p.probe + "/healthz")
		g.Expect(code).To(Equal(http.StatusOK))
	}
	_, metrics := get("http://" + first.metrics + "/metrics")
	g.Expect(metrics).To(ContainSubstring("leader_election_master_status"))

	// The other one serves them to whom the cluster lets.
	kubectl("create", "serviceaccount", "prometheus", "-n", installed)
	token := strings.TrimSpace(kubectl("create", "token", "prometheus", "-n", installed))
	secure := func(authorization string) (int, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+second.metrics+"/metrics", nil)
		g.Expect(err).NotTo(HaveOccurred())
		request.Header.Set("Authorization", authorization)
		return do(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, request) // It signs its certificate itself.
	}
	for authorization, want := range map[string]int{"": http.StatusUnauthorized, "Bearer nonsense": http.StatusUnauthorized, "Bearer " + token: http.StatusForbidden} {
		g.Eventually(func() int { code, _ := secure(authorization); return code }).Should(Equal(want))
	}
	kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole=flex-registration-operator-metrics-reader", "--serviceaccount="+installed+":prometheus")
	g.Eventually(func() string { // What was said of a token is remembered for a minute, so it is a new one each time.
		_, metrics := secure("Bearer " + strings.TrimSpace(kubectl("create", "token", "prometheus", "-n", installed)))
		return metrics
	}).Should(ContainSubstring("leader_election_master_status"))

	// The samples apply, and the smallest one works. Before, nothing covers the gateway.
	kubectl("create", "namespace", "gateway")
	kubectl("apply", "--dry-run=server", "-k", "config/samples")
	unmanaged := func() string {
		command := exec.Command(program, "unmanaged")
		command.Env = append(environment, "KUBECONFIG="+kubeconfig)
		output, err := command.Output()
		g.Expect(err).NotTo(HaveOccurred())
		return string(output)
	}
	scraped := func() string {
		_, metrics := get("http://" + first.metrics + "/metrics")
		return metrics
	}
	gateway, err := platform.Register(operator.GatewayName, -time.Hour)
	g.Expect(err).NotTo(HaveOccurred())
	id, secret := platform.AddConnectedApp()
	for _, object := range []client.Object{
		operator.RegistrationSecret("gateway", gateway.File),
		operator.CredentialsSecret("gateway", id, secret),
		operator.Deployment("gateway", operator.GatewayName, operator.SecretName, 1),
	} {
		g.Expect(admin.Create(ctx, object)).To(Succeed())
	}
	manifest := filepath.Join(t.TempDir(), "unmanaged.yaml")
	g.Expect(os.WriteFile(manifest, []byte(unmanaged()), 0o600)).To(Succeed())
	g.Expect(kubectl("apply", "--dry-run=server", "-f", manifest)).To(ContainSubstring("flexregistration.gateway.flexops.dev/ingress created"))
	g.Eventually(scraped).Should(ContainSubstring(`flex_gateway_unmanaged{deployment="ingress",namespace="gateway"} 1`))
	kubectl("apply", "-f", "config/samples/gateway_v1alpha1_flexregistration.yaml")
	g.Expect(unmanaged()).To(BeEmpty())
	g.Eventually(scraped).ShouldNot(ContainSubstring("flex_gateway_unmanaged{"))
	kubectl("patch", "-n", "gateway", "flexregistration/ingress", "--type=merge", "-p", `{"spec":{"rollout":{"settle":"1s"}}}`) // The test is in a hurry.
	kubectl("wait", "-n", "gateway", "flexregistration/ingress", "--for=condition=Ready", "--timeout=30s")
	g.Expect(platform.Renewals(gateway.AgentID)).To(HaveLen(1))
	g.Expect(kubectl("get", "flexregistration", "-n", "gateway")).To(MatchRegexp(`NAME +READY +EXPIRES +RENEWS +GATEWAY +AGE\s+ingress +True +20\S+Z +20\S+Z +ingress `))
	g.Expect(kubectl("get", "flexreg", "-n", "gateway", "-o", "wide")).To(MatchRegexp(`REASON +MESSAGE`))
	g.Eventually(scraped).Should(And(
		MatchRegexp(`flexregistration_certificate_not_after_timestamp_seconds\{name="ingress",namespace="gateway"\} \d{10}`),
		ContainSubstring(`flexregistration_condition{name="ingress",namespace="gateway",reason="Scheduled",status="True",type="Ready"} 1`),
		ContainSubstring(`flexregistration_suspended{name="ingress",namespace="gateway"} 0`),
	))

	// SIGTERM hands over at once: the lease would last for fifteen seconds.
	stopped := time.Now()
	g.Expect(first.Process.Signal(syscall.SIGTERM)).To(Succeed())
	g.Eventually(first.done).Should(Receive(BeNil()))
	first.done <- nil
	g.Eventually(holder).Should(And(Not(BeEmpty()), Not(Equal(leader))))
	t.Logf("the other replica led after %v", time.Since(stopped))
	kubectl("annotate", "flexregistration/ingress", "-n", "gateway", v1alpha1.AnnotationRenew+"=once")
	g.Eventually(func() int { return len(platform.Renewals(gateway.AgentID)) }).Should(Equal(2))

	for _, p := range []*process{first, second} {
		lines := bufio.NewScanner(strings.NewReader(p.logged()))
		for lines.Scan() {
			g.Expect(json.Valid(lines.Bytes())).To(BeTrue(), "not JSON: %s", lines.Text())
			g.Expect(lines.Text()).NotTo(Or(ContainSubstring(secret), ContainSubstring("PRIVATE KEY")))
		}
	}
	left, err := filepath.Glob(fmt.Sprintf("/dev/shm/flex-registration-operator-%d-*", first.Process.Pid))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty())
}

func TestCommandLine(t *testing.T) {
	g := NewWithT(t)
	program := build(t)
	help, err := exec.CommandContext(context.Background(), program, "--help").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred())
	for _, group := range []string{"Anypoint Platform flags:", "Renewing in Jobs flags:", "Controller flags:", "Observability flags:"} {
		g.Expect(string(help)).To(ContainSubstring(group))
	}
	for flags, complaint := range map[string]string{
		"--log-level=loud":              "write error, info or debug",
		"--no-such-flag":                "unknown flag: --no-such-flag",
		"--max-concurrent=":             "invalid argument",
		"--renewer=both":                "write job or exec",
		"--renewer=job":                 "needs --job-image",
		"--flexctl-images=[":            "is not a repository",
		"--selector=a=b=c":              `--selector="a=b=c" is no label selector: `,
		"--selector=-=b":                "write shard=a, shard in (a,b) or !shard",
		"--selector=a=b --leader-elect": "needs --leader-election-id",
	} {
		output, err := exec.CommandContext(context.Background(), program, strings.Fields(flags)...).CombinedOutput()
		g.Expect(err).To(HaveOccurred())
		g.Expect(string(output)).To(ContainSubstring(complaint))
	}
}
