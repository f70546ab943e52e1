package images

// Image says what is in an image.
type Image struct {
	// Name is the image's name and tag, such as "flex-registration-operator:e2e", without a registry.
	Name string
	// Files maps absolute paths in the image to what is put there: a regular file of this machine, with its right
	// to be executed, or otherwise the import path of a Go program ("./cmd/some"), which is compiled. Relative ones
	// start at the directory of go.mod.
	Files map[string]string
	// Entrypoint is the program and its first arguments.
	Entrypoint []string
	// Env has entries of the form NAME=value.
	Env []string
	// User is numeric, UID or UID:GID, as runAsNonRoot wants it. Empty means 65532:65532.
	User string
}

// Pause is the image of the container that holds a pod's namespaces.
var Pause = Image{
	Name:       "pause:e2e",
	Files:      map[string]string{"/pause": "./test/images/pause"},
	Entrypoint: []string{"/pause"},
}

const defaultUser = "65532:65532"
