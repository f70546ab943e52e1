// Command sbom writes a CycloneDX bill of materials of Go programs to standard output: the modules that the linker has put into
// them, as they say themselves, so nothing that only tests or tools need.
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	name := flag.String("name", "", "The name of what the programs belong to.")
	version := flag.String("version", "", "Its version.")
	epoch := flag.Int64("epoch", 0, "The time to give as that of its making, in seconds since 1970: the commit's, so that two are alike.")
	flag.Parse()
	if err := write(*name, *version, time.Unix(*epoch, 0), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(name, version string, made time.Time, programs []string) error {
	if name == "" || len(programs) == 0 {
		return errors.New("give a --name, and the programs to look into")
	}
	var main, goVersion string
	modules := map[string]string{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return fmt.Errorf("reading what %s was built from: %w", program, err)
		}
		main, goVersion = info.Main.Path, info.GoVersion
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			if before, seen := modules[module.Path]; seen && before != module.Version {
				return fmt.Errorf("%s has %s %s, and the program before it %s: build both from one commit", program, module.Path, module.Version, before)
			}
			modules[module.Path] = module.Version
		}
	}
	modules["std"] = strings.Fields(strings.TrimPrefix(goVersion, "go"))[0]

	self := purl(main, version)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: made.UTC().Format(time.RFC3339),
		Component: &cdx.Component{BOMRef: self, Type: cdx.ComponentTypeApplication, Name: name, Version: version, PackageURL: self},
	}
	components, references := []cdx.Component{}, []string{}
	for path, v := range modules {
		components = append(components, cdx.Component{BOMRef: purl(path, v), Type: cdx.ComponentTypeLibrary, Name: path, Version: v, PackageURL: purl(path, v)})
		references = append(references, purl(path, v))
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	slices.Sort(references)
	bom.Components, bom.Dependencies = &components, &[]cdx.Dependency{{Ref: self, Dependencies: &references}}
	return cdx.NewBOMEncoder(os.Stdout, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6) // which more programs read than 1.7
}

// purl is the package URL of a Go module. Build metadata in versions has a "+", which a package URL escapes.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}
