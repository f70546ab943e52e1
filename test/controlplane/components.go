package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const nodeName = "node"

type component struct {
	name, user string
	args       []string
}

// startComponents starts the controller manager, the scheduler and, unless the node is real, kwok.
func (c *ControlPlane) startComponents(o Options) error {
	server := c.env.ControlPlane.APIServer
	ca := filepath.Join(c.dir, "ca.crt")
	if err := os.WriteFile(ca, server.CA, 0o600); err != nil {
		return fmt.Errorf("write the API server's CA: %w", err)
	}
	components := []component{
		{"kube-controller-manager", "system:kube-controller-manager", []string{
			"--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1",
			"--service-account-private-key-file=" + filepath.Join(server.CertDir, "sa-signer.key"),
			"--root-ca-file=" + ca,
			"--kube-api-qps=500", "--kube-api-burst=1000",
			// A machine that is too busy to renew the node's lease in time must not evict its pods.
			"--node-monitor-grace-period=10m",
		}},
		{"kube-scheduler", "system:kube-scheduler", []string{
			"--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1",
			"--kube-api-qps=500", "--kube-api-burst=1000",
		}},
	}
	if !o.RealNode {
		stages, err := writeStages(c.dir, !o.LeaveJobPods)
		if err != nil {
			return err
		}
		components = append(components, component{"kwok", "kwok", []string{
			"--config=" + stages, "--manage-single-node=" + nodeName, "--node-lease-duration-seconds=40",
			"--node-ip=127.0.0.1", "--cidr=10.244.0.0/16", "--server-address=127.0.0.1:0",
		}})
	}
	for _, component := range components {
		kubeconfig, err := c.kubeconfig(component.user, "system:masters")
		if err != nil {
			return err
		}
		child, err := startChild(c.dir, component.name, c.log(component.name), append(component.args, "--kubeconfig="+kubeconfig)...)
		if err != nil {
			return err
		}
		c.children = append(c.children, child)
	}
	return nil
}

// createNode makes the node that kwok simulates.
func createNode(ctx context.Context, admin client.Client) error {
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1k"), corev1.ResourceMemory: resource.MustParse("1Ti"), corev1.ResourcePods: resource.MustParse("10k"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{
			corev1.LabelHostname: nodeName, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Status: corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
	if err := admin.Create(ctx, node); err != nil {
		return fmt.Errorf("make the node: %w", err)
	}
	return nil
}

// waitUsable waits until pods can be created, and run if the node is the simulated one.
func (c *ControlPlane) waitUsable(ctx context.Context, admin client.Client, simulated bool) error {
	missing := errors.New("nothing has been looked at")
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		for _, child := range c.children {
			if err := child.Died(); err != nil {
				return false, err
			}
		}
		missing = admin.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "default"}, &corev1.ServiceAccount{})
		if missing == nil && simulated {
			missing = NodeReady(ctx, admin, nodeName)
		}
		return missing == nil, nil
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("the control plane did not become usable: %w (%w)", missing, err)
	}
	return err
}

// NodeReady tells what keeps pods from running on a node.
func NodeReady(ctx context.Context, admin client.Client, name string) error {
	node := &corev1.Node{}
	if err := admin.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return err
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node has taints: %v", node.Spec.Taints)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready: %v", node.Status.Conditions)
}
