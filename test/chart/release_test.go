package chart

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/process"
)

// release is the chart, installed in a namespace that lets only restricted pods in, mostly one of its own.
type release struct {
	*suite
	helm      string
	name      string // of the release and, as it contains the chart's, of what is in it
	namespace string
	values    map[string]any
	since     time.Time
	metrics   string // the address of the operator that runs
}

// install installs the chart with a version of Helm.
func (s *suite) install(helm, suffix string, values map[string]any) *release {
	s.Helper()
	values["crd"] = map[string]any{"install": false} // It is there.
	return s.installFrom(chart, helm, suffix, values)
}

// installFrom installs a chart.
func (s *suite) installFrom(chart, helm, suffix string, values map[string]any, more ...string) *release {
	s.Helper()
	namespace := "flex-registration-operator-" + suffix
	s.prepare(namespace)
	return s.installIn(namespace, chart, helm, suffix, values, more...)
}

// prepare makes a namespace for releases.
func (s *suite) prepare(name string) {
	s.Helper()
	namespace := operator.Namespace(name)
	namespace.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	s.Expect(s.admin.Create(s.Context(), namespace)).To(Succeed())
	ca, err := os.ReadFile(s.ca)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(s.admin.Create(s.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "anypoint-ca"}, Data: map[string]string{"ca.crt": string(ca)}})).To(Succeed())
}

// installIn installs a chart in a namespace that is prepared.
func (s *suite) installIn(namespace, chart, helm, suffix string, values map[string]any, more ...string) *release {
	s.Helper()
	r := &release{suite: s, helm: helm, name: "flex-registration-operator-" + suffix, namespace: namespace, values: values, since: time.Now()}
	values["image"] = map[string]any{"repository": "flex-registration-operator", "tag": "test"}
	values["anypoint"] = map[string]any{"hosts": []string{s.platform.Host()}}
	values["caBundle"] = map[string]any{"configMap": "anypoint-ca"}
	values["proxy"] = map[string]any{"noProxy": "127.0.0.1"}
	if values["renewer"] == "exec" {
		values["extraArgs"] = []string{"--flexctl=" + s.flexctl}
	}
	r.apply(chart, "install", more...)
	s.Cleanup(func() {
		ctx := context.WithoutCancel(s.Context())
		if err := exec.CommandContext(ctx, s.cluster.Kubectl, "--kubeconfig="+s.cluster.Kubeconfig, "delete", "clusterrolebindings,rolebindings,deployments", "-A", "-l", "app.kubernetes.io/instance="+r.name).Run(); err != nil {
			s.Errorf("removing release %s: %v", r.name, err)
		}
	})
	return r
}

// apply installs or upgrades, and waits until the pods are ready.
func (r *release) apply(chart, command string, more ...string) {
	r.Helper()
	content, err := yaml.Marshal(r.values)
	r.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(r.TempDir(), "values.yaml")
	r.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	r.suite.helm(r.helm, append([]string{command, r.name, chart, "--namespace=" + r.namespace, "--values=" + file, "--wait", "--timeout=1m"}, more...)...)
}

// user is what the API server calls the operator.
func (r *release) user() string { return "system:serviceaccount:" + r.namespace + ":" + r.name }

// token is one of a ServiceAccount.
func (s *suite) token(namespace, account string) string {
	s.Helper()
	request := &authenticationv1.TokenRequest{}
	s.Expect(s.admin.SubResource("token").Create(s.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}, request)).To(Succeed())
	return request.Status.Token
}

// run runs the operator as its pod says, with a token of its ServiceAccount, and returns what stops it. The pod itself runs on a
// simulated node.
func (r *release) run() (stop func()) {
	r.Helper()
	pod := r.pod()
	container := pod.Spec.Containers[0]
	r.Expect(container.Image).To(Equal(image))
	kubeconfig, err := troubledKubeconfig(r.T, r.cluster.Config, r.token(r.namespace, pod.Spec.ServiceAccountName))
	r.Expect(err).NotTo(HaveOccurred())
	r.metrics = freeAddress(r.suite)
	command := exec.Command(r.manager, append(container.Args, "--metrics-bind-address="+r.metrics, "--health-probe-bind-address=0", "--leader-election-namespace="+r.namespace)...)
	// With API servers that don't stream lists yet, the operator lists what it watches.
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.TempDir(), "KUBECONFIG=" + kubeconfig, "KUBE_FEATURE_WatchListClient=false"}
	for _, e := range container.Env {
		switch {
		case e.Name == "SSL_CERT_FILE": // The ConfigMap, mounted.
			e.Value = r.ca
		case e.ValueFrom == nil:
		case e.ValueFrom.ResourceFieldRef != nil:
			r.Expect(e.ValueFrom.ResourceFieldRef.Resource).To(Equal("limits.memory"))
			e.Value = strconv.FormatInt(container.Resources.Limits.Memory().Value(), 10)
		case e.ValueFrom.FieldRef.FieldPath == "metadata.name":
			e.Value = pod.Name
		case e.ValueFrom.FieldRef.FieldPath == "metadata.namespace":
			e.Value = pod.Namespace
		}
		command.Env = append(command.Env, e.Name+"="+e.Value)
	}
	log := filepath.Join(r.TempDir(), "manager.log")
	p, err := process.Start("the operator", log, command)
	r.Expect(err).NotTo(HaveOccurred())
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			p.Terminate()
			if err := p.Wait(20 * time.Second); err != nil {
				r.Errorf("stopping the operator: %v", err)
			}
		}
	}
	r.Cleanup(func() {
		stop()
		content, _ := os.ReadFile(log) // Without it there is nothing to show.
		if r.Failed() {
			r.Logf("the end of the operator's log:\n%s", content[max(0, len(content)-8000):])
		}
		if strings.Contains(string(content), r.appSecret) || strings.Contains(string(content), "PRIVATE KEY") {
			r.Error("a secret is in the operator's log")
		}
	})
	return stop
}

// pod is one of the operator's.
func (r *release) pod() *corev1.Pod {
	r.Helper()
	var pods corev1.PodList
	r.Expect(r.admin.List(r.Context(), &pods, client.InNamespace(r.namespace), client.MatchingLabels{"app.kubernetes.io/instance": r.name})).To(Succeed())
	r.Expect(pods.Items).NotTo(BeEmpty())
	return &pods.Items[0]
}

func freeAddress(s *suite) string {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// scrape asks the operator for its metrics with a token.
func (r *release) scrape(token string) (string, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://"+r.metrics+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // Nobody has signed the certificate.
	response, err := c.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, body), err
}
