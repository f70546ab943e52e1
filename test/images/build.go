package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Build writes images into dir, each as a tarball such as "docker save" writes, and returns their paths in the
// order of the images. They are for Linux and the architecture that Go compiles for (GOARCH). The same programs
// give the same images.
func Build(ctx context.Context, dir string, images ...Image) ([]string, error) {
	var paths []string
	for _, image := range images {
		path, err := build(ctx, dir, image)
		if err != nil {
			return nil, fmt.Errorf("build the image %s: %w", image.Name, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func build(ctx context.Context, dir string, image Image) (string, error) {
	tag, err := name.NewTag(image.Name)
	if err != nil {
		return "", err
	}
	content, err := assemble(ctx, image)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, strings.ReplaceAll(image.Name, ":", "-")+".tar")
	if err := tarball.WriteToFile(path, tag, content); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, nil
}

func assemble(ctx context.Context, image Image) (v1.Image, error) {
	environment, err := goEnvironment(ctx)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to compile into: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // it is a temporary directory
	layer, err := newLayer(ctx, environment, work, image.Files)
	if err != nil {
		return nil, err
	}
	user := image.User
	if user == "" {
		user = defaultUser
	}
	content, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: environment.arch,
		Created: v1.Time{Time: time.Unix(0, 0).UTC()},
		Config:  v1.Config{Entrypoint: image.Entrypoint, Env: image.Env, User: user, WorkingDir: "/"},
		RootFS:  v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("set its configuration: %w", err)
	}
	if content, err = mutate.AppendLayers(content, layer); err != nil {
		return nil, fmt.Errorf("add its files: %w", err)
	}
	return content, nil
}
