package images

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Reference is what pods call the image imageName that Push has put under registry; with no registry, it is
// imageName itself.
func Reference(registry, imageName string) string {
	if registry == "" {
		return imageName
	}
	return registry + "/" + imageName
}

// Push puts the image of a tarball that Build has written under registry (HOST or HOST/PREFIX), with the
// credentials that "docker login" has stored.
func Push(ctx context.Context, registry, imageName, path string) error {
	target := Reference(registry, imageName)
	tag, err := name.NewTag(target)
	if err != nil {
		return fmt.Errorf("push the image %s: %w", target, err)
	}
	content, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		return fmt.Errorf("read the image %s from %s: %w", imageName, path, err)
	}
	if err := remote.Write(tag, content, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push the image %s (is the registry right, and are you logged in to it?): %w", target, err)
	}
	return nil
}
