package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/process"
)

const (
	// Name is the name of the Node.
	Name = "node"
	// Address is the InternalIP of the Node. hack/e2e/namespace.sh gives it to the loopback interface.
	Address = "192.0.2.1"
	// PodCIDR is where the addresses of pods come from.
	PodCIDR = "10.244.0.0/24"

	// startTimeout bounds each step of the start. It takes seconds on an idle machine.
	startTimeout = time.Minute
)

// Options say what a node is started with.
type Options struct {
	// Images are the paths of image tarballs, as images.Build and "docker save" write them, to import before the
	// kubelet starts. More can be imported later.
	Images []string
	// LogDir receives the logs of containerd and the kubelet. Empty means that of the control plane.
	LogDir string
}

// Node is a running node.
type Node struct {
	dir    string
	logDir string
	cgroup string

	containerd, kubelet *process.Process

	stop    sync.Once
	stopErr error
}

// Start starts a node that joins c, which has been started with Options.RealNode, and returns once pods can run
// on it. ctx bounds the start; a node that has started runs until Stop.
func Start(ctx context.Context, c *controlplane.ControlPlane, o Options) (*Node, error) {
	cgroup, err := isolation()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "node-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the node: %w", err)
	}
	n := &Node{dir: dir, logDir: o.LogDir, cgroup: cgroup}
	if n.logDir == "" {
		n.logDir = c.LogDir
	}
	if err := n.start(ctx, c, o.Images); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, c *controlplane.ControlPlane, tarballs []string) error {
	if c.Kubelet == "" {
		return errors.New("the control plane is for a simulated node: start it with Options.RealNode")
	}
	if err := os.MkdirAll(n.logDir, 0o755); err != nil {
		return fmt.Errorf("make the log directory: %w", err)
	}
	if err := n.startContainerd(ctx); err != nil {
		return err
	}
	if err := n.importPause(ctx); err != nil {
		return err
	}
	if err := n.Import(ctx, tarballs...); err != nil {
		return err
	}
	if err := n.startKubelet(c); err != nil {
		return err
	}
	return n.waitReady(ctx, c.Config)
}

// Stop ends the kubelet, all containers at once, and containerd. The control plane goes after it: an API server
// waits for requests that pods have under way. The node's files vanish with the namespaces.
func (n *Node) Stop() error {
	n.stop.Do(func() { n.stopErr = errors.Join(stop(n.kubelet), n.killContainers(), stop(n.containerd)) })
	return n.stopErr
}

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }
func (n *Node) log(name string) string  { return filepath.Join(n.logDir, name+".log") }
