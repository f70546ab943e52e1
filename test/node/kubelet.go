package node

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/process"
)

func (n *Node) startKubelet(c *controlplane.ControlPlane) error {
	kubeconfig, err := c.UserKubeconfig("system:node:"+Name, "system:nodes")
	if err != nil {
		return err
	}
	v := configuration{Dir: n.dir, Address: Address, Cgroup: n.cgroup, KubeletClientCA: c.KubeletClientCA}
	if err := configure(n.path("kubelet.yaml"), "kubelet.yaml", v); err != nil {
		return err
	}
	n.kubelet, err = startProcess("kubelet", n.log("kubelet"), c.Kubelet,
		"--config="+n.path("kubelet.yaml"), "--kubeconfig="+kubeconfig, "--root-dir="+n.path("kubelet"),
		"--cert-dir="+n.path("kubelet/pki"), "--hostname-override="+Name, "--node-ip="+Address)
	return err
}

// waitReady waits until pods can run on the node.
func (n *Node) waitReady(ctx context.Context, config *rest.Config) error {
	admin, err := client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	var missing error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		missing = controlplane.NodeReady(ctx, admin, Name)
		return missing == nil, n.kubelet.Died()
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("the node did not become ready: %w (%w); the kubelet's last lines were:\n%s", missing, err, process.LastLines(n.kubelet.Log))
	}
	return err
}
