package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// newFile is registration.yaml as a new registration leaves it.
func newFile(r registered, key string) []byte {
	return fmt.Appendf(nil, `apiVersion: gateway.mulesoft.com/v1alpha1
kind: Configuration
metadata:
    name: registration
spec:
    platformConnection:
        agentId: %[1]s
        region: us-east-1
        certificateRef:
            kind: Secret
            name: flex-registration
        assetName: %[2]s
        meteringSchemaId: %[3]s
        anypoint: %[4]s
        arm: wss://%[5]s/agent
        events: https://%[5]s/events
        logging: https://%[5]s/logging
        metering: https://%[5]s/metering
        monitoring: https://%[5]s/monitoring
---
apiVersion: gateway.mulesoft.com/v1alpha1
kind: Secret
metadata:
    name: flex-registration
spec:
    tls.crt: |
%[6]s    tls.key: |
%[7]s`, r.AgentID, r.Name, r.MeteringSchemaID, r.AnypointURL, strings.TrimPrefix(r.AnypointURL, "https://"),
		indent(r.Certificate), indent(key))
}

func indent(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString("        " + line)
	}
	return b.String()
}

// Split divides registration.yaml into the two files that --split=true makes:
// the gateway's Secret document moves into certificate.yaml.
func Split(file []byte) (registration, certificate []byte) {
	var rest, secrets [][]byte
	const separator = "\n---\n"
	for _, document := range bytes.Split(bytes.TrimSuffix(file, []byte("\n")), []byte(separator)) {
		if bytes.Contains(document, []byte("\nkind: Secret\n")) {
			secrets = append(secrets, document)
		} else {
			rest = append(rest, document)
		}
	}
	join := func(documents [][]byte) []byte {
		return append(bytes.Join(documents, []byte(separator)), '\n')
	}
	return join(rest), join(secrets)
}

// registrationFile is a registration.yaml that flexctl has read.
type registrationFile struct {
	documents  []yaml.Node
	connection *yaml.Node // spec.platformConnection
	secret     *yaml.Node // the spec of the Secret that it refers to, nil without one
}

func readFile(data []byte) (*registrationFile, error) {
	f := &registrationFile{}
	if err := yaml.Load(data, &f.documents, yaml.WithAllDocuments()); err != nil {
		return nil, err
	}
	secrets := map[string]*yaml.Node{}
	for i := range f.documents {
		if len(f.documents[i].Content) == 0 {
			continue
		}
		document := f.documents[i].Content[0]
		spec := field(document, "spec")
		switch kind := value(field(document, "kind")); {
		case kind == "Secret":
			secrets[value(field(field(document, "metadata"), "name"))] = spec
		case kind == "Configuration" && field(spec, "platformConnection") != nil:
			f.connection = field(spec, "platformConnection")
		}
	}
	if f.connection == nil {
		return nil, errors.New("the file holds no registration")
	}
	f.secret = secrets[value(field(field(f.connection, "certificateRef"), "name"))]
	return f, nil
}

func (f *registrationFile) bytes() ([]byte, error) {
	documents := make([]*yaml.Node, len(f.documents))
	for i := range f.documents {
		documents[i] = &f.documents[i]
	}
	return yaml.Dump(documents, yaml.WithAllDocuments(), yaml.WithIndent(4), yaml.WithLineWidth(-1))
}

// field finds a mapping's value, nil without one.
func field(mapping *yaml.Node, name string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func value(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// set sets a mapping's value, at the end if it is new.
func set(mapping *yaml.Node, name, text string) {
	n := field(mapping, name)
	if n == nil {
		n = &yaml.Node{}
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, n)
	}
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.Contains(text, "\n") {
		n.Style = yaml.LiteralStyle
	}
}
