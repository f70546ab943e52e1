//go:build e2e

package alerts

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	installed = "flex-registration-operator" // namespace, service account and lease
	day       = 24 * time.Hour
)

// scene is an installed operator on a control plane, with the objects of config/prometheus beside it.
type scene struct {
	*WithT
	*testing.T
	cluster  *controlplane.ControlPlane
	admin    client.Client
	platform *simulator.Platform
}

// crds are those of the Prometheus operator.
func crds(t *testing.T) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus-operator/prometheus-operator")
	command.Dir = filepath.Join(root, "hack", "prometheus", "crds")
	output, err := command.Output()
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	directory := strings.TrimSpace(string(output))
	g.Expect(directory).NotTo(BeEmpty(), "the module is not downloaded: run make test-alerts")
	directory = filepath.Join(directory, "example", "prometheus-operator-crd")
	return []string{filepath.Join(directory, "monitoring.coreos.com_prometheusrules.yaml"), filepath.Join(directory, "monitoring.coreos.com_servicemonitors.yaml")}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{WithT: NewWithT(t), T: t}
	s.SetDefaultEventuallyTimeout(60 * time.Second)
	s.SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	s.cluster, s.admin = operator.Cluster(t, controlplane.Options{CRDs: crds(t)})
	var err error
	s.platform, err = simulator.Start(simulator.Options{})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.platform.Close() })
	s.kubectl("apply", "-k", "config/default")
	s.kubectl("wait", "--for=condition=Established", "crd/flexregistrations.gateway.flexops.dev")
	s.kubectl("apply", "-k", "config/prometheus")
	s.kubectl("apply", "-k", "config/grafana")
	// What the ServiceMonitor selects leads to each replica. (The simulated node says that they run.)
	s.Eventually(func() string {
		labels := s.kubectl("get", "servicemonitor", installed, "-n", installed, "-o", "go-template={{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}")
		service := s.kubectl("get", "service", "-n", installed, "-l", strings.TrimSuffix(labels, ","), "-o", "jsonpath={.items[*].metadata.name}")
		port := s.kubectl("get", "servicemonitor", installed, "-n", installed, "-o", "jsonpath={.spec.endpoints[*].port}")
		return s.kubectl("get", "endpointslice", "-n", installed, "-l", "kubernetes.io/service-name="+service, "-o",
			"jsonpath={range .items[*]}{.ports[?(@.name=='"+port+"')].port} of {.endpoints[*].targetRef.kind}{end}")
	}).Should(Equal("8443 of Pod Pod"))
	// There is no image: the program runs here, as the service account.
	s.kubectl("scale", "deployment/"+installed, "-n", installed, "--replicas=0")
	s.kubectl("create", "namespace", "gateway")
	return s
}

func (s *scene) kubectl(arguments ...string) string {
	s.Helper()
	command := exec.CommandContext(s.Context(), s.cluster.Kubectl, append([]string{"--kubeconfig=" + s.cluster.Kubeconfig}, arguments...)...)
	command.Dir = root
	output, err := command.CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), string(output))
	return string(output)
}

// prometheusToken is that of a ServiceAccount which may scrape the operator.
func (s *scene) prometheusToken() string {
	s.Helper()
	s.kubectl("create", "namespace", "monitoring")
	s.kubectl("create", "serviceaccount", "prometheus", "-n", "monitoring")
	s.kubectl("create", "clusterrolebinding", "prometheus", "--clusterrole="+installed+"-metrics-reader", "--serviceaccount=monitoring:prometheus")
	return s.kubectl("create", "token", "prometheus", "-n", "monitoring")
}

// startOperator starts the program, tells where it is scraped, and how to stop it.
func (s *scene) startOperator() (target string, stop func()) {
	s.Helper()
	directory := s.TempDir()
	flexctl, err := simulator.BuildFlexctl(directory)
	s.Expect(err).NotTo(HaveOccurred())
	ca := filepath.Join(directory, "ca.crt")
	s.Expect(s.platform.WriteCA(ca)).To(Succeed())
	program := filepath.Join(directory, "manager")
	build := exec.CommandContext(s.Context(), "go", "build", "-o", program, ".")
	build.Dir = root
	output, err := build.CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), string(output))
	kubeconfig, err := s.cluster.UserKubeconfig("system:serviceaccount:"+installed+":"+installed, "system:serviceaccounts", "system:serviceaccounts:"+installed, "system:authenticated")
	s.Expect(err).NotTo(HaveOccurred())
	target = address(s.T)
	command := exec.Command(program, "--leader-elect", "--leader-election-namespace="+installed, "--health-probe-bind-address=0", "--metrics-bind-address="+target, "--metrics-secure",
		"--flexctl="+flexctl, "--anypoint-hosts="+s.platform.Host(), "--anypoint-ca="+ca)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "SSL_CERT_FILE="+ca)
	running := run(s.T, "manager", command)
	anybody := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	s.Eventually(func() (int, error) {
		if err := running.Died(); err != nil {
			return 0, StopTrying(err.Error())
		}
		response, err := anybody.Get("https://" + target + "/metrics")
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		return response.StatusCode, nil
	}).Should(Equal(http.StatusUnauthorized), "not everybody may scrape it")
	return target, func() {
		running.Terminate()
		s.Expect(running.Wait(20 * time.Second)).To(Succeed())
	}
}

// gateway makes one whose certificate expires after a while, and whose pods run as an annotation says. It returns its Secret
// as it was.
func (s *scene) gateway(name, credentials, pods string, remaining time.Duration, change func(*v1alpha1.FlexRegistration)) *corev1.Secret {
	s.Helper()
	registered, err := s.platform.Register(name, remaining)
	s.Expect(err).NotTo(HaveOccurred())
	secret := operator.RegistrationSecret("gateway", registered.File)
	secret.Name = name + "-registration"
	before := secret.DeepCopy()
	deployment := operator.Deployment("gateway", name, secret.Name, 1)
	if pods != "" {
		deployment.Spec.Template.Annotations = map[string]string{controlplane.PodAnnotation: pods}
	}
	objects := []client.Object{secret, deployment}
	if change != nil {
		fr := operator.FlexRegistration("gateway", name)
		fr.Spec.CredentialsRef.Name = credentials
		fr.Spec.Rollout.Settle, fr.Spec.Rollout.Timeout = &metav1.Duration{Duration: time.Second}, &metav1.Duration{Duration: 10 * time.Second}
		change(fr)
		objects = append(objects, fr)
	}
	for _, o := range objects {
		s.Expect(s.admin.Create(s.Context(), o)).To(Succeed())
	}
	return before
}

func (s *scene) credentials(name, id, secret string) {
	s.Helper()
	c := operator.CredentialsSecret("gateway", id, secret)
	c.Name = name
	s.Expect(s.admin.Create(s.Context(), c)).To(Succeed())
}

// installedRules are the rules as the API server has them. They are evaluated without waiting, which their unit tests do.
func (s *scene) installedRules() rules {
	s.Helper()
	var object struct{ Spec rules }
	s.Expect(json.Unmarshal([]byte(s.kubectl("get", "prometheusrule", installed, "-n", installed, "-o", "json")), &object)).To(Succeed())
	for i := range object.Spec.Groups[0].Rules {
		object.Spec.Groups[0].Rules[i].For = ""
	}
	return object.Spec
}

// TestAlertsFire has a Prometheus scrape the operator, which has gateways in several states.
func TestAlertsFire(t *testing.T) {
	s := newScene(t)
	target, stop := s.startOperator()
	honorLabels := s.kubectl("get", "servicemonitor", installed, "-n", installed, "-o", "jsonpath={.spec.endpoints[0].honorLabels}") == "true"
	p := startPrometheus(t, target, s.prometheusToken(), honorLabels, s.installedRules())
	s.Eventually(func() ([]sample, error) { return p.query(`flexregistration_renewals_total{result="succeeded"}`) }).Should(HaveLen(1))

	id, secret := s.platform.AddConnectedApp()
	s.credentials("good", id, secret)
	s.credentials("refused", id, "not-the-secret")
	automatic := func(*v1alpha1.FlexRegistration) {}
	old := s.gateway("healthy", "good", "", 10*day, automatic)
	s.gateway("refused", "refused", "", -time.Hour, automatic)
	s.gateway("crashing", "good", controlplane.PodNotReady, 10*day, automatic)
	s.gateway("manual", "good", "", 10*day, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Policy = v1alpha1.RenewalManual })
	s.gateway("forgotten", "", "", 10*day, nil)

	s.Eventually(p.fires).Should(ConsistOf(
		"FlexRegistrationExpired critical gateway/refused",
		"FlexRegistrationRenewalFailing warning gateway/refused",
		"FlexRegistrationCredentialsInvalid warning gateway/refused",
		"FlexRegistrationRehearsalFailing warning gateway/refused",
		"FlexRegistrationExpiringSoon warning gateway/crashing",
		"FlexRegistrationRolloutFailed warning gateway/crashing",
		"FlexRegistrationExpiringSoon warning gateway/manual",
		"FlexRegistrationApprovalAwaited info gateway/manual",
	))
	alerts, err := p.firing()
	s.Expect(err).NotTo(HaveOccurred())
	for _, a := range alerts {
		s.Expect(a.Annotations["description"]).To(ContainSubstring("gateway/" + a.Labels["name"]))
		s.Expect(a.Annotations["description"]).NotTo(Or(ContainSubstring("error"), ContainSubstring("no value")))
		if a.Labels["alertname"] == "FlexRegistrationExpiringSoon" {
			s.Expect(a.Annotations["description"]).To(ContainSubstring("expires in 9d 23h"))
		}
	}

	// Somebody puts the old registration back, which does not go on.
	s.Expect(s.admin.Update(s.Context(), old)).To(Succeed())

	// What was done is counted once, and each first time is seen.
	for expression, want := range map[string]int{
		`flexregistration_renewals_total{result="succeeded"} == 2`:                                1,
		`flexregistration_renewals_total{result="failed", reason="CredentialsRejected"} == 1`:     1,
		`increase(flexregistration_renewals_total{reason="CredentialsRejected"}[5m]) > 0`:         1,
		`flexregistration_renewal_duration_seconds_count{result="succeeded"} == 2`:                1,
		`flexregistration_restorations_total == 1`:                                                1,
		`flexregistration_rollouts_total{result="failed"} == 1`:                                   1,
		`flexregistration_rollouts_total{result="succeeded"} > 0`:                                 1,
		`flexregistration_rollout_duration_seconds_sum{result="failed"} >= 10`:                    1,
		`flexregistration_anypoint_requests_total{call="token", code="200"} > 0`:                  1,
		`flex_gateway_unmanaged{namespace="gateway", deployment="forgotten"} == 1`:                1,
		`flexregistration_condition{namespace="gateway", name="healthy", reason="Scheduled"} > 0`: 1,
		// Pods of "crashing" may still run with the certificate before; those of "healthy" don't.
		`flexregistration_serving_certificate_not_after_timestamp_seconds{name="crashing"} < flexregistration_certificate_not_after_timestamp_seconds`: 1,
		`flexregistration_serving_certificate_not_after_timestamp_seconds{name="healthy"} == flexregistration_certificate_not_after_timestamp_seconds`: 1,
	} {
		s.Eventually(func() ([]sample, error) { return p.query(expression) }).Should(HaveLen(want), expression)
	}
	t.Run("dashboard", func(t *testing.T) { testDashboard(t, p) })

	stop()
	s.Eventually(p.fires).Should(ContainElement("FlexRegistrationOperatorDown warning /"))
}
