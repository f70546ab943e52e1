package node

import (
	"context"

	"github.com/flexops/flex-registration-operator/test/images"
)

// pauseImage is images.Pause by the name that containerd gives it.
var pauseImage = "docker.io/library/" + images.Pause.Name

func (n *Node) importPause(ctx context.Context) error {
	tarballs, err := images.Build(ctx, n.dir, images.Pause)
	if err != nil {
		return err
	}
	return n.Import(ctx, tarballs...)
}
