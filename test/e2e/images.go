//go:build e2e

package e2e

import "github.com/flexops/flex-registration-operator/test/images"

// testpod is what pods run that show that the cluster works.
var testpod = images.Image{
	Name:       "testpod:e2e",
	Files:      map[string]string{"/testpod": "./test/images/testpod"},
	Entrypoint: []string{"/testpod"},
}

// allImages are the images that the environment makes available to pods.
var allImages = []images.Image{testpod}
