//go:build e2e

package alerts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// write writes rules into a directory, as a file for Prometheus, and gives its path.
func write(t *testing.T, r rules, directory string) string {
	t.Helper()
	g := NewWithT(t)
	content, err := json.Marshal(r) // which is YAML, too
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(directory, "rules.json")
	g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "promtool"), arguments...).CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(output))
}

func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", "--lint=duplicate-rules", "--lint-fatal", write(t, readRules(t), t.TempDir()))
}

// TestRulesWithoutThePrometheusOperator makes a file of rules as docs/metrics.md says.
func TestRulesWithoutThePrometheusOperator(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(root + "/docs/metrics.md")
	g.Expect(err).NotTo(HaveOccurred())
	shell := regexp.MustCompile(`(?m)^(sed .*) > rules\.yaml$`).FindStringSubmatch(string(page))
	g.Expect(shell).NotTo(BeNil())
	command := exec.CommandContext(t.Context(), "sh", "-c", shell[1])
	command.Dir = root
	output, err := command.Output()
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(t.TempDir(), "rules.yaml")
	g.Expect(os.WriteFile(path, output, 0o600)).To(Succeed())
	promtool(t, "check", "rules", path)
	var r rules
	g.Expect(yaml.UnmarshalStrict(output, &r)).To(Succeed())
	g.Expect(r).To(Equal(readRules(t)))
}

// TestRules runs the unit tests, which are those of each alert: that it fires, and that it does not.
func TestRules(t *testing.T) {
	g := NewWithT(t)
	directory, r := t.TempDir(), readRules(t)
	for i := range r.Groups[0].Rules {
		r.Groups[0].Rules[i].Annotations = nil
	}
	write(t, r, directory)
	tests, err := os.ReadFile(filepath.Join("testdata", "unit.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(directory, "unit.yaml")
	g.Expect(os.WriteFile(path, tests, 0o600)).To(Succeed())
	promtool(t, "test", "rules", path)

	var tested struct {
		Tests []struct {
			Alerts []struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	g.Expect(yaml.Unmarshal(tests, &tested)).To(Succeed())
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tested.Tests {
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				silent[a.Name] = true
			}
		}
	}
	for _, rule := range r.Groups[0].Rules {
		g.Expect(fires).To(HaveKey(rule.Alert), "no test sees it fire")
		g.Expect(silent).To(HaveKey(rule.Alert), "no test sees it silent")
	}
}
