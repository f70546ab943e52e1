package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

func (n *Node) startContainerd(ctx context.Context) error {
	plugins, err := findCNIPlugins()
	if err != nil {
		return err
	}
	v := configuration{Dir: n.dir, CNIPlugins: plugins, Pause: pauseImage, PodCIDR: PodCIDR}
	if err := os.Mkdir(n.path("cni"), 0o700); err != nil {
		return fmt.Errorf("make the directory of the CNI configuration: %w", err)
	}
	if err := configure(n.path("cni/bridge.conflist"), "cni.json", v); err != nil {
		return err
	}
	if err := configure(n.path("containerd.toml"), "containerd.toml", v); err != nil {
		return err
	}
	if n.containerd, err = startProcess("containerd", n.log("containerd"), "containerd", "--config", n.path("containerd.toml")); err != nil {
		return err
	}
	var answer error
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		_, answer = n.ctr(ctx, "version")
		return answer == nil, n.containerd.Died()
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("containerd did not answer: %w (%w)", answer, err)
	}
	return err
}

// Import makes the images of tarballs known to the node. A name without a registry stands for one at docker.io,
// here and in a pod.
func (n *Node) Import(ctx context.Context, tarballs ...string) error {
	for _, tarball := range tarballs {
		if _, err := n.ctr(ctx, "images", "import", tarball); err != nil {
			return fmt.Errorf("import the image of %s into the node: %w", tarball, err)
		}
	}
	return nil
}

// killContainers kills what runs in containers, also in those that hold the pods' namespaces.
func (n *Node) killContainers() error {
	if n.containerd == nil || n.containerd.Died() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	containers, err := n.ctr(ctx, "tasks", "ls", "--quiet")
	if err != nil {
		return fmt.Errorf("list the containers to kill: %w", err)
	}
	for _, container := range strings.Fields(containers) {
		// It may have ended already.
		_, _ = n.ctr(ctx, "tasks", "kill", "--signal", "SIGKILL", container)
	}
	return nil
}

func (n *Node) ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", n.path("containerd.sock"), "--namespace", "k8s.io"}, args...)
	out, err := exec.CommandContext(ctx, "ctr", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args[4:], " "), err, out)
	}
	return string(out), nil
}

func findCNIPlugins() (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("there are no CNI plugins in /usr/lib/cni or /opt/cni/bin: install containernetworking-plugins")
}
