package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

var (
	copied    = regexp.MustCompile(`(?m)^COPY ((?:[^-\s]\S* )+)(\S+)$`)
	goVersion = regexp.MustCompile(`(?m)^ARG GO_VERSION=(\S+)$`)
	needsGo   = regexp.MustCompile(`(?m)^go (\S+)$`)
)

// No container engine builds the Dockerfile here. So what it copies is laid out as it says, without what .dockerignore leaves out, and
// must be all that the programs are made from.
func TestDockerfile(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}

	image := t.TempDir()
	instructions := copied.FindAllStringSubmatch(string(dockerfile), -1)
	if len(instructions) == 0 {
		t.Fatal("the Dockerfile copies nothing")
	}
	for _, instruction := range instructions {
		for _, source := range strings.Fields(instruction[1]) {
			if !lay(t, ignore, source, filepath.Join(image, instruction[2])) {
				t.Errorf("the Dockerfile copies %s, of which .dockerignore leaves nothing", source)
			}
		}
	}
	list := exec.Command("go", "list", "-deps", ".", "./cmd/flexctl-runner")
	list.Dir, list.Env = image, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	var complaints bytes.Buffer
	list.Stderr = &complaints
	if err := list.Run(); err != nil {
		t.Errorf("the programs can't be built from what the Dockerfile copies: %v\n%s", err, complaints.String())
	}
}

// The image is built with a Go that go.mod takes.
func TestDockerfileHasAGoThatSuffices(t *testing.T) {
	read := func(path string, pattern *regexp.Regexp) string {
		content, err := os.ReadFile(filepath.Join(root, path))
		match := pattern.FindSubmatch(content)
		if err != nil || match == nil {
			t.Fatalf("%s names no version of Go: %v", path, err)
		}
		return string(match[1])
	}
	has, needs := read("Dockerfile", goVersion), read("go.mod", needsGo)
	if series := needs[:strings.LastIndex(needs, ".")+1]; !strings.HasPrefix(has, series) {
		t.Errorf("the Dockerfile builds with Go %s, and go.mod asks for %s", has, needs)
	}
}

// lay copies a file or directory of the repository as COPY does, and says whether there was any.
func lay(t *testing.T, ignore *patternmatcher.PatternMatcher, source, to string) bool {
	t.Helper()
	any := false
	err := filepath.WalkDir(filepath.Join(root, source), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		left, err := ignore.MatchesOrParentMatches(name)
		if err != nil || left {
			return err
		}
		inside, err := filepath.Rel(source, name)
		if err != nil {
			return err
		}
		if inside == "." {
			inside = filepath.Base(name)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		any = true
		target := filepath.Join(to, inside)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
	if err != nil {
		t.Error(err)
	}
	return any
}
