package kubelet

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
)

// Image is what a container image contains.
type Image struct {
	// Programs are local programs, by their path in the image ("/manager") or by their bare name on its PATH
	// ("flexctl").
	Programs map[string]string
	// Entrypoint is run by a container without a command.
	Entrypoint []string
}

// images are those that can be pulled.
type images struct {
	mu      sync.Mutex
	known   map[string]Image
	changed chan struct{} // closed when an image is added
}

func newImages(known map[string]Image) *images {
	i := &images{known: map[string]Image{}, changed: make(chan struct{})}
	maps.Copy(i.known, known)
	return i
}

// find returns the image, or what is closed when there may be one.
func (i *images) find(name string) (Image, <-chan struct{}, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if image, ok := i.known[name]; ok {
		return image, nil, true
	}
	for _, pattern := range slices.Sorted(maps.Keys(i.known)) {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return i.known[pattern], nil, true
		}
	}
	return Image{}, i.changed, false
}

func (i *images) add(name string, image Image) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[name] = image
	close(i.changed)
	i.changed = make(chan struct{})
}

// imageID is made up.
func imageID(name string) string {
	return fmt.Sprintf("%s@sha256:%x", name, sha256.Sum256([]byte(name)))
}

// pullError is what containerd says of an image that isn't there.
func pullError(name string) string {
	return fmt.Sprintf("rpc error: code = NotFound desc = failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", name, name, name)
}
