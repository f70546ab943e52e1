package images

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestBuild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	some := Image{
		Name: "some:test", Entrypoint: []string{"/bin/pause"}, Env: []string{"A=b"},
		Files: map[string]string{"/bin/pause": "./test/images/pause", "/etc/some/file": file, "/LICENSE": "LICENSE"},
	}
	first, second := load(t, some), load(t, some)
	if a, b := digest(t, first), digest(t, second); a != b {
		t.Errorf("the same files give %s and %s", a, b)
	}
	config, err := first.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || !slices.Equal(c.Entrypoint, some.Entrypoint) || !slices.Equal(c.Env, some.Env) {
		t.Errorf("the configuration: %+v", c)
	}
	want := map[string]os.FileMode{
		"bin/pause": 0o755, "LICENSE": 0o644, "etc/some/file": 0o644,
		"bin": os.ModeDir | 0o755, "etc": os.ModeDir | 0o755, "etc/some": os.ModeDir | 0o755,
		"tmp": os.ModeDir | os.ModeSticky | 0o777,
	}
	files := filesOf(t, first)
	for path, mode := range want {
		if files[path] != mode {
			t.Errorf("%s has the mode %s, want %s", path, files[path], mode)
		}
	}
	if len(files) != len(want) {
		t.Errorf("the files are %v", files)
	}
}

func TestBuildFails(t *testing.T) {
	_, err := Build(t.Context(), t.TempDir(), Image{Name: "some:test", Files: map[string]string{"/some": "./no/such"}})
	if err == nil || !strings.Contains(err.Error(), "some:test") || !strings.Contains(err.Error(), "./no/such") {
		t.Errorf("%v, want an error that names the image and what can't be compiled", err)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	prefix := strings.TrimPrefix(server.URL, "http://") + "/some/prefix"
	paths, err := Build(t.Context(), t.TempDir(), Pause)
	if err != nil {
		t.Fatal(err)
	}
	if err := Push(t.Context(), prefix, Pause.Name, paths[0]); err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(Reference(prefix, Pause.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(reference); err != nil {
		t.Errorf("the image is not in the registry: %v", err)
	}
	server.Close()
	if err := Push(t.Context(), prefix, Pause.Name, paths[0]); err == nil || !strings.Contains(err.Error(), reference.String()) {
		t.Errorf("%v, want an error that names the image", err)
	}
}

func load(t *testing.T, image Image) v1.Image {
	t.Helper()
	paths, err := Build(t.Context(), t.TempDir(), image)
	if err != nil {
		t.Fatal(err)
	}
	content, err := tarball.ImageFromPath(paths[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func filesOf(t *testing.T, image v1.Image) map[string]os.FileMode {
	t.Helper()
	reader := mutate.Extract(image)
	defer reader.Close()
	files := map[string]os.FileMode{}
	for archive := tar.NewReader(reader); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = header.FileInfo().Mode()
	}
}
