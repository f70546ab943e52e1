package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// newLayer makes a layer of files, their directories and a /tmp that everybody may write to. All belong to root
// and are from 1970, so that the same files make the same layer.
func newLayer(ctx context.Context, e environment, work string, files map[string]string) (v1.Layer, error) {
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	written := map[string]bool{}
	if err := addDirectory(archive, written, "/tmp", 0o1777); err != nil {
		return nil, err
	}
	for _, target := range slices.Sorted(maps.Keys(files)) {
		if !path.IsAbs(target) {
			return nil, fmt.Errorf("the path %s in the image is not absolute", target)
		}
		if err := addDirectory(archive, written, path.Dir(target), 0o755); err != nil {
			return nil, err
		}
		source, err := e.provide(ctx, work, files[target])
		if err != nil {
			return nil, err
		}
		if err := addFile(archive, target, source); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("write a layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("make a layer: %w", err)
	}
	return layer, nil
}

// addDirectory adds a directory and those above it, each once.
func addDirectory(archive *tar.Writer, written map[string]bool, dir string, mode int64) error {
	if dir == "/" || written[dir] {
		return nil
	}
	if err := addDirectory(archive, written, path.Dir(dir), 0o755); err != nil {
		return err
	}
	written[dir] = true
	header := &tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: mode, ModTime: time.Unix(0, 0)}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("add the directory %s: %w", dir, err)
	}
	return nil
}

func addFile(archive *tar.Writer, target, source string) error {
	file, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("add %s: %w", target, err)
	}
	defer file.Close() //nolint:errcheck // nothing is lost that was read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("add %s: %w", target, err)
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: target[1:], Mode: mode, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("add %s: %w", target, err)
	}
	if _, err := io.Copy(archive, file); err != nil {
		return fmt.Errorf("add %s: %w", target, err)
	}
	return nil
}
