package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/images"
	"github.com/flexops/flex-registration-operator/test/node"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// Environment is a cluster that has container images.
type Environment struct {
	// Config connects as a cluster administrator, and so does Admin.
	Config *rest.Config
	Admin  client.WithWatch
	// Kubeconfig is what the environment variable KUBECONFIG of a program must be to connect as that administrator.
	Kubeconfig string
	// Kubectl is the path of the kubectl program.
	Kubectl string
	// ControlPlane and Node are nil if the cluster is an existing one.
	ControlPlane *controlplane.ControlPlane
	Node         *node.Node

	registry string
}

// Start starts a cluster with images available to its pods by the reference that Image returns. Stop ends it. Logs go to
// logDir.
func Start(ctx context.Context, logDir string, list ...images.Image) (*Environment, error) {
	e := &Environment{}
	if err := e.start(ctx, logDir, list); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Connect returns the existing cluster of a kubeconfig. Images are pushed to the registry E2E_REGISTRY (HOST or
// HOST/PREFIX); without it they must be on its nodes already. Nothing has to be stopped.
func Connect(ctx context.Context, kubeconfig string, list ...images.Image) (*Environment, error) {
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
	if err := e.connect(); err != nil {
		return nil, err
	}
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

// Image returns the reference by which a pod names an image of the environment.
func (e *Environment) Image(image images.Image) string {
	return images.Reference(e.registry, image.Name)
}

// RunKubectl runs kubectl as the administrator and returns what it prints.
func (e *Environment) RunKubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, e.Kubectl, args...)
	command.Env = append(command.Environ(), "KUBECONFIG="+e.Kubeconfig)
	out, err := command.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// Stop ends what Start has started. An existing cluster stays as it is.
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

func (e *Environment) start(ctx context.Context, logDir string, list []images.Image) error {
	tarballs, err := buildAll(ctx, list)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tarballs.dir) //nolint:errcheck // it is a temporary directory
	c, err := controlplane.Start(ctx, controlplane.Options{RealNode: true, LogDir: logDir})
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	e.ControlPlane, e.Config, e.Kubeconfig, e.Kubectl = c, c.Config, c.Kubeconfig, c.Kubectl
	if err := e.connect(); err != nil {
		return err
	}
	if e.Node, err = node.Start(ctx, c, node.Options{Images: tarballs.paths}); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	return nil
}

func (e *Environment) connect() (err error) {
	if e.Admin, err = client.NewWithWatch(e.Config, client.Options{Scheme: operator.Scheme()}); err != nil {
		return fmt.Errorf("make the administrator's client: %w", err)
	}
	return nil
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
