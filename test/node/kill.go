package node

import (
	"context"
	"fmt"
	"strings"
)

// Kill kills what runs in a container, without a word to it, as a crash does. id is as in a pod's status. The kubelet
// starts the container again if its pod says so.
func (n *Node) Kill(ctx context.Context, id string) error {
	id = strings.TrimPrefix(id, "containerd://")
	if _, err := n.ctr(ctx, "tasks", "kill", "--all", "--signal", "SIGKILL", id); err != nil {
		return fmt.Errorf("kill the container %s: %w", id, err)
	}
	return nil
}
