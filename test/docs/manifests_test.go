package docs

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	sigsyaml "sigs.k8s.io/yaml"
)

// Every FlexRegistration in the docs and samples, and every part of one, is what the API server would take.
func TestManifests(t *testing.T) {
	accept := definition(t)
	checked := 0
	check := func(where, content string) {
		t.Helper()
		for _, object := range objects(t, where, content) {
			if whole(object, accept) {
				checked++
				for _, complaint := range accept.complaints(object) {
					t.Errorf("%s: %s", where, complaint)
				}
			}
		}
	}
	for _, p := range pages(t) {
		for _, c := range commands(p) {
			check(c.where, c.input)
		}
		for _, b := range p.blocks {
			switch b.language {
			case "yaml":
				check(p.at(b), b.content)
			case "console":
				if _, manifest, found := strings.Cut(b.content, "\n---\n"); found {
					check(p.at(b), manifest)
				}
			}
		}
	}
	samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples {
		content, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		check(sample, string(content))
	}
	if checked < 5 {
		t.Errorf("only %d FlexRegistrations were found", checked)
	}
}

// whole says whether an object is a FlexRegistration, and adds to a part of a spec what every one needs.
func whole(object map[string]any, s *resourceSchema) bool {
	if object["kind"] != nil {
		return object["kind"] == "FlexRegistration"
	}
	spec, ok := object["spec"].(map[string]any)
	if !ok || len(object) != 1 {
		return false
	}
	fields := s.structural.Properties["spec"].Properties
	if !slices.ContainsFunc(slices.Collect(maps.Keys(spec)), func(field string) bool { _, known := fields[field]; return known }) {
		return false
	}
	object["apiVersion"], object["kind"], object["metadata"] = "gateway.flexops.dev/v1alpha1", "FlexRegistration", map[string]any{"name": "part"}
	for _, needed := range []string{"targetRef", "credentialsRef"} {
		if spec[needed] == nil {
			spec[needed] = map[string]any{"name": needed}
		}
	}
	return true
}

// objects are the documents of a YAML stream that are mappings.
func objects(t *testing.T, where, stream string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for reader := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(stream))); ; {
		document := make([]byte, 1<<20)
		n, err := reader.Read(document)
		if errors.Is(err, io.EOF) {
			return all
		}
		var object map[string]any
		if err == nil {
			err = sigsyaml.Unmarshal(document[:n], &object)
		}
		if err != nil {
			t.Errorf("%s: reading the YAML: %v", where, err)
			return all
		}
		if object != nil {
			all = append(all, object)
		}
	}
}

// resourceSchema is what the resource's definition asks of an object.
type resourceSchema struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

func definition(t *testing.T) *resourceSchema {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "config/crd/bases/gateway.flexops.dev_flexregistrations.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	published, internal := apiextensionsv1.CustomResourceDefinition{}, apiextensions.CustomResourceDefinition{}
	if err = sigsyaml.UnmarshalStrict(content, &published); err == nil {
		err = apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&published, &internal, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	// A definition with one version keeps its schema there.
	version := internal.Spec.Validation
	if version == nil {
		version = internal.Spec.Versions[0].Schema
	}
	s := &resourceSchema{}
	if s.structural, err = schema.NewStructural(version.OpenAPIV3Schema); err == nil {
		s.validator, _, err = validation.NewSchemaValidator(version.OpenAPIV3Schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return s
}

// complaints are the API server's: of unknown fields, of the schema, and of the rules in it.
func (s *resourceSchema) complaints(object map[string]any) []string {
	var all []string
	for _, unknown := range pruning.PruneWithOptions(object, s.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		all = append(all, "there is no field "+unknown)
	}
	problems := validation.ValidateCustomResource(nil, object, s.validator)
	broken, _ := s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, problem := range append(problems, broken...) {
		all = append(all, problem.Error())
	}
	return all
}
