//go:build e2e

package alerts

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/test/process"
)

// prometheus is a running one.
type prometheus struct {
	*WithT
	url string
}

// address is one of the loopback that is free.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer l.Close() //nolint:errcheck // nothing has connected
	return l.Addr().String()
}

// run starts a program, and ends it with the test.
func run(t *testing.T, name string, cmd *exec.Cmd) *process.Process {
	t.Helper()
	p, err := process.Start(name, filepath.Join(t.TempDir(), name+".log"), cmd)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s", name, process.LastLines(p.Log))
		}
		p.Terminate()
		if err := p.Wait(20 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return p
}

// startPrometheus starts one that scrapes a target, as the Prometheus operator would have it do for a ServiceMonitor, and has
// these rules.
func startPrometheus(t *testing.T, target, token string, honorLabels bool, r rules) *prometheus {
	t.Helper()
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(60 * time.Second)
	g.SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	directory := t.TempDir()
	tokenFile := filepath.Join(directory, "token")
	g.Expect(os.WriteFile(tokenFile, []byte(token), 0o600)).To(Succeed())
	configuration, err := yaml.Marshal(map[string]any{
		"global":     map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{write(t, r, directory)},
		"scrape_configs": []any{map[string]any{
			"job_name": "flex-registration-operator-metrics", "honor_labels": honorLabels,
			"scheme": "https", "authorization": map[string]string{"credentials_file": tokenFile}, "tls_config": map[string]bool{"insecure_skip_verify": true},
			"static_configs": []any{map[string]any{"targets": []string{target}, "labels": map[string]string{
				"namespace": installed, "pod": installed + "-0", "container": "manager", "endpoint": "metrics", "service": installed + "-metrics",
			}}},
		}},
	})
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(directory, "prometheus.yaml")
	g.Expect(os.WriteFile(file, configuration, 0o600)).To(Succeed())
	promtool(t, "check", "config", file)

	listen := address(t)
	program, err := filepath.Abs(filepath.Join(root, "bin", "prometheus"))
	g.Expect(err).NotTo(HaveOccurred())
	running := run(t, "prometheus", exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(directory, "data"), "--web.listen-address="+listen, "--log.level=warn"))
	p := &prometheus{WithT: g, url: "http://" + listen}
	g.Eventually(func() (int, error) {
		if err := running.Died(); err != nil {
			return 0, StopTrying(err.Error())
		}
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		return response.StatusCode, nil
	}).Should(Equal(http.StatusOK))
	return p
}

// get asks the HTTP API.
func (p *prometheus) get(path string, query url.Values, data any) error {
	response, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", query, answer.Error)
	}
	return nil
}

// sample is a series with its value.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// query evaluates an expression now.
func (p *prometheus) query(expression string) ([]sample, error) {
	var data struct {
		Result []sample `json:"result"`
	}
	err := p.get("/api/v1/query", url.Values{"query": {expression}}, &data)
	return data.Result, err
}

// alert is one that is firing.
type alert struct {
	State       string            `json:"state"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// firing are the alerts that fire.
func (p *prometheus) firing() ([]alert, error) {
	var data struct {
		Alerts []alert `json:"alerts"`
	}
	err := p.get("/api/v1/alerts", nil, &data)
	return slices.DeleteFunc(data.Alerts, func(a alert) bool { return a.State != "firing" }), err
}

// fires names the alerts that fire, with their severities and what they are about.
func (p *prometheus) fires() ([]string, error) {
	alerts, err := p.firing()
	names := []string{}
	for _, a := range alerts {
		l := a.Labels
		names = append(names, l["alertname"]+" "+l["severity"]+" "+l["namespace"]+"/"+l["name"])
	}
	return names, err
}
