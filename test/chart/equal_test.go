package chart

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

const installed = "flex-registration-operator"

// TestChartIsConfig compares what the chart makes with what kustomize makes of config/: the same objects, but for labels and
// annotations that tell releases apart, and the namespace, which Helm's user makes.
func TestChartIsConfig(t *testing.T) {
	for overlay, values := range map[string][]string{
		"default":      {"--set=scope=cluster,experienceHub.enabled=true"},
		"observe-only": {"--set=scope=cluster,observeOnly=true,experienceHub.enabled=true"},
	} {
		t.Run(overlay, func(t *testing.T) {
			g := NewWithT(t)
			ours := kustomize(t, overlay)
			g.Expect(ours).To(HaveKey("Namespace /" + installed))
			delete(ours, "Namespace /"+installed)
			for _, program := range []string{"helm3", "helm4"} {
				output, err := template(t, program, append(values, "--set=image.tag=latest")...)
				g.Expect(err).NotTo(HaveOccurred(), output)
				theirs := objects(t, []byte(output))
				for name, object := range ours {
					g.Expect(theirs).To(HaveKey(name), program)
					g.Expect(text(theirs[name])).To(Equal(text(object)), program)
				}
				for name := range theirs {
					g.Expect(ours).To(HaveKey(name), "%s makes more", program)
				}
			}
		})
	}
}

// TestInstallManifest makes the manifest for those who have neither Helm nor kustomize.
func TestInstallManifest(t *testing.T) {
	g := NewWithT(t)
	s := &suite{T: t, Gomega: g}
	manifest := filepath.Join(t.TempDir(), "install.yaml")
	s.command(root, "make", "-s", "install-manifest", "IMG=registry.example.com/operator:1.2.3", "MANIFEST="+manifest)
	content, err := os.ReadFile(manifest)
	g.Expect(err).NotTo(HaveOccurred())
	made, ours := objects(t, content), kustomize(t, "default")
	containers, _, err := unstructured.NestedSlice(made["Deployment "+installed+"/"+installed], "spec", "template", "spec", "containers")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(containers).To(ContainElement(HaveKeyWithValue("image", "registry.example.com/operator:1.2.3")))
	g.Expect(made).To(HaveLen(len(ours)))
}

// template renders the chart as a release in the namespace that config/ has.
func template(t *testing.T, program string, arguments ...string) (string, error) {
	t.Helper()
	return helm(t, program, "", append([]string{"template", installed, chart, "--namespace=" + installed}, arguments...)...)
}

// kustomize builds an overlay of config/ with the kustomize in kubectl.
func kustomize(t *testing.T, overlay string) map[string]map[string]any {
	t.Helper()
	s := &suite{T: t, Gomega: NewWithT(t)}
	return objects(t, []byte(s.command(root, kubectl(t), "kustomize", filepath.Join("config", overlay))))
}

// kubectl is that of the control plane, which is not needed here.
func kubectl(t *testing.T) string {
	t.Helper()
	if directory := os.Getenv("KUBEBUILDER_ASSETS"); directory != "" {
		return filepath.Join(directory, "kubectl")
	}
	return "kubectl"
}

// objects reads manifests, by kind, namespace and name, without what tells releases apart.
func objects(t *testing.T, manifests []byte) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		object := unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if object.Object == nil {
			continue
		}
		labels := object.GetLabels()
		for name := range labels {
			if strings.HasPrefix(name, "app.kubernetes.io/") || name == "helm.sh/chart" {
				delete(labels, name)
			}
		}
		if len(labels) == 0 {
			labels = nil
		}
		object.SetLabels(labels)
		annotations := object.GetAnnotations()
		delete(annotations, "helm.sh/resource-policy")
		if len(annotations) == 0 {
			annotations = nil
		}
		object.SetAnnotations(annotations)
		forget(object.Object, "app.kubernetes.io/instance")
		if object.GetKind() == "ClusterRole" || object.GetKind() == "Role" {
			object.Object["rules"] = flat(t, object.Object["rules"])
		}
		found[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object.Object
	}
}

func text(object map[string]any) string {
	encoded, err := sigsyaml.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

// forget removes a key everywhere.
func forget(in any, key string) {
	switch in := in.(type) {
	case map[string]any:
		delete(in, key)
		for _, value := range in {
			forget(value, key)
		}
	case []any:
		for _, value := range in {
			forget(value, key)
		}
	}
}

// flat splits rules, each into one for each resource: the same rights may be written down in more than one way.
func flat(t *testing.T, rules any) []any {
	t.Helper()
	var split []any
	for _, rule := range rules.([]any) {
		rule := rule.(map[string]any)
		resources, _, err := unstructured.NestedSlice(rule, "resources")
		if err != nil {
			t.Fatal(err)
		}
		if len(resources) == 0 {
			split = append(split, rule)
		}
		for _, resource := range resources {
			one := map[string]any{"resources": []any{resource}}
			for key, value := range rule {
				if key != "resources" {
					one[key] = value
				}
			}
			split = append(split, one)
		}
	}
	return split
}
