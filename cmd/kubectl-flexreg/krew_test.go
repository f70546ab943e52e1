package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// TestKrewManifest renders the template as krew-release-bot does, which gives the URL a template of its own.
func TestKrewManifest(t *testing.T) {
	g := NewWithT(t)
	values := struct{ TagName string }{"v1.2.3"}
	content, err := os.ReadFile(filepath.Join("..", "..", "hack", "krew", "flexreg.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	addURIAndSha := func(url, _ string) (string, error) {
		var b strings.Builder
		u, err := template.New("url").Parse(url)
		if err == nil {
			err = u.Execute(&b, values)
		}
		return "uri: " + b.String() + "\n    sha256: 0000", err
	}
	manifest, err := template.New("flexreg.yaml").Funcs(template.FuncMap{"addURIAndSha": addURIAndSha}).Parse(string(content))
	g.Expect(err).NotTo(HaveOccurred())
	var rendered bytes.Buffer
	g.Expect(manifest.Execute(&rendered, values)).To(Succeed())
	var plugin struct {
		Metadata struct{ Name string }
		Spec     struct {
			Version, ShortDescription string
			Platforms                 []struct {
				Selector         struct{ MatchLabels map[string]string }
				URI, SHA256, Bin string
			}
		}
	}
	g.Expect(yaml.Unmarshal(rendered.Bytes(), &plugin)).To(Succeed())
	g.Expect(plugin.Metadata.Name).To(Equal("flexreg"))
	g.Expect(plugin.Spec.Version).To(Equal("v1.2.3"))
	g.Expect(len(plugin.Spec.ShortDescription)).To(BeNumerically("<=", 50), "as krew's index wants it")
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	g.Expect(err).NotTo(HaveOccurred())
	var platforms []string
	for _, p := range plugin.Spec.Platforms {
		platform := p.Selector.MatchLabels["os"] + "_" + p.Selector.MatchLabels["arch"]
		platforms = append(platforms, platform)
		g.Expect(p.URI).To(HaveSuffix("/releases/download/v1.2.3/kubectl-flexreg_v1.2.3_" + platform + ".tar.gz"))
		g.Expect(p.SHA256).NotTo(BeEmpty())
		g.Expect(strings.HasSuffix(p.Bin, ".exe")).To(Equal(p.Selector.MatchLabels["os"] == "windows"))
	}
	g.Expect(string(makefile)).To(ContainSubstring("for platform in "+strings.Join(platforms, " ")+";"), "make plugin-archives makes the same")
}
