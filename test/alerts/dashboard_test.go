//go:build e2e

package alerts

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// testDashboard asks a Prometheus for what each panel of the dashboard shows, in which nothing may be missing.
func testDashboard(t *testing.T, p *prometheus) {
	g := NewWithT(t)
	content, err := os.ReadFile(root + "/config/grafana/dashboard.json")
	g.Expect(err).NotTo(HaveOccurred())
	var dashboard struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Annotations struct {
			List []struct {
				Name string `json:"name"`
				Expr string `json:"expr"`
			} `json:"list"`
		} `json:"annotations"`
		Templating struct {
			List []struct {
				Name  string          `json:"name"`
				Type  string          `json:"type"`
				Query json.RawMessage `json:"query"`
			} `json:"list"`
		} `json:"templating"`
	}
	g.Expect(json.Unmarshal(content, &dashboard)).To(Succeed())
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*") // as Grafana fills them in
	ask := func(what, expression string) {
		t.Helper()
		expression = variables.Replace(expression)
		g.Expect(expression).NotTo(ContainSubstring("$"), what)
		g.Expect(p.query(expression)).NotTo(BeEmpty(), "%s: %s", what, expression)
	}
	asked, ids := 0, map[int]bool{}
	for _, panel := range dashboard.Panels {
		g.Expect(ids).NotTo(HaveKey(panel.ID), "ids are unique")
		ids[panel.ID] = true
		g.Expect(panel.Targets == nil).To(Equal(panel.Type == "row"), panel.Title)
		for _, target := range panel.Targets {
			ask(panel.Title, target.Expr)
			asked++
		}
	}
	g.Expect(asked).To(BeNumerically(">", 20))
	for _, annotation := range dashboard.Annotations.List {
		ask(annotation.Name, annotation.Expr)
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type != "query" {
			continue
		}
		of := regexp.MustCompile(`label_values\((\w+), (\w+)\)`).FindStringSubmatch(string(variable.Query))
		g.Expect(of).NotTo(BeNil(), variable.Name)
		samples, err := p.query(of[1])
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(samples).NotTo(BeEmpty())
		g.Expect(samples[0].Metric).To(HaveKey(of[2]))
	}
}
