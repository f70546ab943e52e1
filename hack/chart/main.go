// Command chart writes what of the Helm chart is made from other files: copies of the generated CRD and of the roles in
// config/, from which its templates take the rules, and the description of its values.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

const chart = "charts/flex-registration-operator"

// copies are files of the chart, and where they come from.
var copies = map[string]string{
	"crd.yaml":                  "config/crd/bases/gateway.flexops.dev_flexregistrations.yaml",
	"crd-experience-hub.yaml":   "config/crd/bases/gateway.flexops.dev_experiencehubconnections.yaml",
	"rbac/role.yaml":            "config/rbac/role.yaml",
	"rbac/handoff.yaml":         "config/rbac/handoff/role.yaml",
	"rbac/observe-only.yaml":    "config/rbac/observe-only/role.yaml",
	"rbac/leader-election.yaml": "config/rbac/leader_election_role.yaml",
	"rbac/own-pod.yaml":         "config/rbac/own_pod_role.yaml",
	"rbac/metrics-auth.yaml":    "config/rbac/metrics/auth_role.yaml",
	"rbac/metrics-reader.yaml":  "config/rbac/metrics/reader_role.yaml",
	"rbac/viewer.yaml":          "config/rbac/users/viewer_role.yaml",
	"rbac/editor.yaml":          "config/rbac/users/editor_role.yaml",
	"rules.yaml":                "config/prometheus/rules.yaml",
	"dashboard.json":            "config/grafana/dashboard.json",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage, in the repository: go run ./hack/chart DIRECTORY\n\nwrites the generated files of "+chart+" into the directory, which may be the chart's own.")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(directory string) error {
	for to, from := range copies {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("copying into the chart: %w", err)
		}
		if err := write(filepath.Join(directory, "files", to), content); err != nil {
			return err
		}
	}
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return fmt.Errorf("describing the chart's values: %w", err)
	}
	description, err := describe(values)
	if err != nil {
		return fmt.Errorf("describing the chart's values, values.yaml: %w", err)
	}
	return write(filepath.Join(directory, "README.md"), description)
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the chart: %w", err)
	}
	return os.WriteFile(path, content, 0o644)
}

// describe makes a table of values and the comments above them. A value without a comment is an error.
func describe(values []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return nil, err
	}
	var table bytes.Buffer
	table.WriteString("# Values of the chart\n\nGenerated from values.yaml by `make generate`. [Installation](../../docs/installation.md) says what to do with them.\n\n| value | default | what it is |\n| --- | --- | --- |\n")
	err := rows(&table, "", document.Content[0])
	return table.Bytes(), err
}

func rows(table *bytes.Buffer, prefix string, node *yaml.Node) error {
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		comment := key.HeadComment
		if at := strings.LastIndex(comment, "\n\n"); at >= 0 { // What is above an empty line is about the file.
			comment = comment[at+2:]
		}
		comment = strings.Join(strings.Fields(strings.ReplaceAll("\n"+comment, "\n#", " ")), " ")
		name := prefix + key.Value
		grouped := value.Kind == yaml.MappingNode && len(value.Content) > 0 && name != "resources"
		if comment == "" && !grouped {
			return fmt.Errorf("%s has no comment that describes it", name)
		}
		if comment != "" {
			shown := ""
			if !grouped {
				flow := *value
				flow.HeadComment, flow.Style = "", yaml.FlowStyle
				if value.Kind == yaml.ScalarNode {
					flow.Style = value.Style
				}
				encoded, err := yaml.Marshal(&flow)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				shown = "`" + strings.TrimSpace(string(encoded)) + "`"
			}
			fmt.Fprintf(table, "| `%s` | %s | %s |\n", name, shown, comment)
		}
		if grouped {
			if err := rows(table, name+".", value); err != nil {
				return err
			}
		}
	}
	return nil
}
