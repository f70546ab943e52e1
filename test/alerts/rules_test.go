// Package alerts tests config/prometheus and config/grafana: with promtool, and with a Prometheus that scrapes the operator.
// What needs those two has the build tag e2e; "make test-alerts" runs it, and "make e2e" too.
package alerts

import (
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// root is the way to the repository's root.
const root = "../.."

// rules are what a file of rules for Prometheus has in it.
type rules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert         string            `json:"alert"`
	Expr          string            `json:"expr"`
	For           string            `json:"for,omitempty"`
	KeepFiringFor string            `json:"keep_firing_for,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// readRules reads the rules that are installed.
func readRules(t *testing.T) rules {
	t.Helper()
	g := NewWithT(t)
	manifest, err := os.ReadFile(root + "/config/prometheus/rules.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var object struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       rules          `json:"spec"`
	}
	g.Expect(yaml.UnmarshalStrict(manifest, &object)).To(Succeed())
	g.Expect(object.Spec.Groups).To(HaveLen(1))
	return object.Spec
}

func TestEachAlertHasARunbook(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(root + "/docs/alerts.md")
	g.Expect(err).NotTo(HaveOccurred())
	documented := map[string]string{}
	for _, section := range strings.Split(string(page), "\n## ") {
		if title, text, _ := strings.Cut(section, "\n"); strings.HasPrefix(title, "FlexRegistration") || strings.HasPrefix(title, "ExperienceHubConnection") {
			documented[title] = text
		}
	}
	alerts := map[string]bool{}
	for _, r := range readRules(t).Groups[0].Rules {
		alerts[r.Alert] = true
		g.Expect(documented).To(HaveKey(r.Alert))
		g.Expect(documented[r.Alert]).To(And(ContainSubstring("**Cause.**"), ContainSubstring("**Remedy.**"), ContainSubstring("`"+r.Labels["severity"]+"`")), r.Alert)
		g.Expect(r.Annotations["runbook_url"]).To(HaveSuffix("/blob/main/docs/alerts.md#"+strings.ToLower(r.Alert)), "GitHub's anchor of the heading")
		g.Expect(r.Annotations["summary"]).To(HaveSuffix("."))
		g.Expect(r.Annotations["description"]).To(HaveSuffix("."))
	}
	g.Expect(documented).To(HaveLen(len(alerts)), "what is documented exists")
}

// TestExpressionsNameWhatThereIs holds rules and dashboard against docs/metrics.md, which is held against the code.
func TestExpressionsNameWhatThereIs(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(root + "/docs/metrics.md")
	g.Expect(err).NotTo(HaveOccurred())
	dashboard, err := os.ReadFile(root + "/config/grafana/dashboard.json")
	g.Expect(err).NotTo(HaveOccurred())
	used := string(dashboard)
	for _, r := range readRules(t).Groups[0].Rules {
		used += "\n" + r.Expr
	}
	names := regexp.MustCompile(`\b(flex(registration|_gateway)|experiencehubconnection)_\w+`).FindAllString(used, -1)
	g.Expect(len(names)).To(BeNumerically(">", 20))
	for _, name := range names {
		g.Expect(string(page)).To(ContainSubstring("| `"+strings.TrimSuffix(name, "_bucket")+"` |"), name)
	}
}
