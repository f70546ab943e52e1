package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/flexops/flex-registration-operator/test/process"
)

const (
	// startTimeout bounds each step of the start. Two busy cores need a few seconds; it is generous because a
	// start that fails fails all tests of a suite.
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
	stopGrace    = 10 * time.Second
)

// Options say what a control plane is started with.
type Options struct {
	// CRDs are files, or directories with files, of CustomResourceDefinitions to install.
	CRDs []string
	// LogDir receives a log of each program and the audit log. Empty means a temporary directory.
	LogDir string
	// LeaveJobPods leaves the pods of Jobs scheduled but not run, for a caller that plays their kubelet itself.
	LeaveJobPods bool
	// RealNode leaves out the simulated node, for a real one to join (see test/node), and serves the API at
	// ServiceAddress, where pods look for it. The network namespace must have that address and its port 443 free;
	// hack/e2e/isolate.sh makes one that has.
	RealNode bool
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	// Config connects as a cluster administrator.
	Config *rest.Config
	// Kubeconfig is the path of a kubeconfig for the administrator.
	Kubeconfig string
	// Kubectl is the path of the kubectl program that belongs to the API server's version.
	Kubectl string
	// LogDir is where the logs are.
	LogDir string
	// Kubelet is, with Options.RealNode, the path of the kubelet program that belongs to the API server's version.
	Kubelet string
	// KubeletClientCA is, with Options.RealNode, the path of the PEM certificate by which a kubelet knows the API
	// server when that asks for logs.
	KubeletClientCA string

	dir      string // private files, removed by Stop
	env      *envtest.Environment
	watchdog *watchdog
	children []*process.Process
	users    sync.Mutex // envtest's certificate authority is not safe for concurrent use

	stop    sync.Once
	stopErr error
}

// Start starts a control plane and returns once it is usable: the simulated node is ready and the default
// service account exists. ctx bounds the start; a control plane that has started runs until Stop.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	var kubelet []string
	if o.RealNode {
		kubelet = []string{"kubelet"}
	}
	programs, err := findPrograms(ctx, kubelet...)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the control plane: %w", err)
	}
	c := &ControlPlane{dir: dir, LogDir: o.LogDir, Kubectl: filepath.Join(programs, "kubectl")}
	if o.RealNode {
		c.Kubelet = filepath.Join(programs, "kubelet")
	}
	if err := c.start(ctx, programs, o); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context, programs string, o Options) error {
	if c.LogDir == "" {
		c.LogDir = filepath.Join(c.dir, "logs")
	}
	if err := os.MkdirAll(c.LogDir, 0o755); err != nil {
		return fmt.Errorf("make the log directory: %w", err)
	}
	if err := writeLaunchers(c.dir, programs); err != nil {
		return err
	}
	var err error
	if c.watchdog, err = startWatchdog(c.dir); err != nil {
		return err
	}
	if err := c.startAPIServer(o); err != nil {
		return err
	}
	if c.Kubeconfig, err = c.kubeconfig("admin", "system:masters"); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	if err := c.startComponents(o); err != nil {
		return err
	}
	admin, err := client.New(c.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if !o.RealNode {
		if err := createNode(ctx, admin); err != nil {
			return err
		}
	}
	return c.waitUsable(ctx, admin, !o.RealNode)
}

// Stop ends the control plane and removes what it has written outside of Options.LogDir. Children go before
// the API server, and that before etcd: otherwise each waits for what has gone.
func (c *ControlPlane) Stop() error {
	c.stop.Do(func() {
		var errs []error
		for _, child := range c.children {
			child.Terminate()
		}
		for _, child := range c.children {
			errs = append(errs, child.Wait(stopGrace))
		}
		if c.env != nil {
			errs = append(errs, c.env.Stop())
		}
		if c.watchdog != nil {
			errs = append(errs, c.watchdog.dismiss())
		}
		errs = append(errs, os.RemoveAll(c.dir))
		c.stopErr = errors.Join(errs...)
	})
	return c.stopErr
}
