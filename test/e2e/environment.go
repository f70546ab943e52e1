//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/images"
	"github.com/flexops/flex-registration-operator/test/node"
)

// Environment is a cluster that has the images of the tests.
type Environment struct {
	// Config connects as a cluster administrator.
	Config *rest.Config
	// Kubeconfig is what the environment variable KUBECONFIG of a program must be to connect as that administrator.
	Kubeconfig string
	// Kubectl is the path of the kubectl program.
	Kubectl string
	// ControlPlane and Node are nil if the cluster isn't the tests' own.
	ControlPlane *controlplane.ControlPlane
	Node         *node.Node

	registry string
}

// StartEnvironment returns the cluster of KUBECONFIG, or starts one, with images available to its pods by the
// reference that Image returns. On an existing cluster they are pushed to the registry E2E_REGISTRY (HOST or
// HOST/PREFIX); without it they must be on its nodes already. Stop ends what has been started. Logs go to
// E2E_LOG_DIR.
func StartEnvironment(ctx context.Context, list ...images.Image) (*Environment, error) {
	if kubeconfig := os.Getenv("KUBECONFIG"); kubeconfig != "" {
		return existingCluster(ctx, kubeconfig, list)
	}
	e := &Environment{}
	if err := e.start(ctx, list); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Image returns the reference by which a pod names an image of the environment.
func (e *Environment) Image(image images.Image) string {
	return images.Reference(e.registry, image.Name)
}

// Stop ends what StartEnvironment has started. An existing cluster stays as it is.
func (e *Environment) Stop() error {
	var errs []error
	if e.Node != nil {
		errs = append(errs, e.Node.Stop())
	}
	if e.ControlPlane != nil {
		errs = append(errs, e.ControlPlane.Stop())
	}
	return errors.Join(errs...)
}

func (e *Environment) start(ctx context.Context, list []images.Image) error {
	tarballs, err := buildAll(ctx, list)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tarballs.dir) //nolint:errcheck // it is a temporary directory
	c, err := controlplane.Start(ctx, controlplane.Options{RealNode: true, LogDir: os.Getenv("E2E_LOG_DIR")})
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	e.ControlPlane, e.Config, e.Kubeconfig, e.Kubectl = c, c.Config, c.Kubeconfig, c.Kubectl
	if e.Node, err = node.Start(ctx, c, node.Options{Images: tarballs.paths}); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	return nil
}

func existingCluster(ctx context.Context, kubeconfig string, list []images.Image) (*Environment, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read KUBECONFIG=%s: %w", kubeconfig, err)
	}
	// client-go's default of five requests a second would be what tests measure.
	config.QPS, config.Burst = 1000, 2000
	kubectl, err := exec.LookPath(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"))
	if err != nil {
		return nil, fmt.Errorf("find kubectl (KUBEBUILDER_ASSETS names its directory, otherwise it is looked for on the PATH): %w", err)
	}
	e := &Environment{Config: config, Kubeconfig: kubeconfig, Kubectl: kubectl, registry: os.Getenv("E2E_REGISTRY")}
	if e.registry == "" {
		return e, nil
	}
	tarballs, err := buildAll(ctx, list)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tarballs.dir) //nolint:errcheck // it is a temporary directory
	for i, image := range list {
		if err := images.Push(ctx, e.registry, image.Name, tarballs.paths[i]); err != nil {
			return nil, err
		}
	}
	return e, nil
}

type tarballs struct {
	dir   string
	paths []string
}

func buildAll(ctx context.Context, list []images.Image) (tarballs, error) {
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		return tarballs{}, fmt.Errorf("make a directory for images: %w", err)
	}
	paths, err := images.Build(ctx, dir, list...)
	if err != nil {
		return tarballs{}, errors.Join(err, os.RemoveAll(dir))
	}
	return tarballs{dir: dir, paths: paths}, nil
}
