package world

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// The names that config/ gives the operator, and its user.
const (
	OperatorName      = "flex-registration-operator"
	OperatorNamespace = "flex-registration-operator"
	OperatorUser      = "system:serviceaccount:" + OperatorNamespace + ":" + OperatorName
)

// InstallOperator applies an overlay of config/default, whose only changes are the image, the platform that credentials
// may go to, and the CA to trust. It returns when all replicas are ready. Nothing of it may be in the cluster yet.
func (e *Environment) InstallOperator(ctx context.Context, p *Platform) error {
	return e.withOverlay(ctx, p, func(overlay string) error {
		if _, err := e.RunKubectl(ctx, "apply", "-k", overlay); err != nil {
			return fmt.Errorf("install the operator: %w", err)
		}
		return e.WaitForOperator(ctx)
	})
}

// WaitForOperator waits until all of its replicas are ready.
func (e *Environment) WaitForOperator(ctx context.Context) error {
	if out, err := e.RunKubectl(ctx, "rollout", "status", "deployment/"+OperatorName, "-n", OperatorNamespace, "--timeout="+patience.String()); err != nil {
		pods, _ := e.RunKubectl(ctx, "describe", "pods", "-n", OperatorNamespace)
		return fmt.Errorf("wait for the operator to be ready: %w\n%s\n%s", err, out, pods)
	}
	return nil
}

// Remove removes the operator and the platform from an existing cluster. One of Start's goes with all that is in it.
func (e *Environment) Remove(ctx context.Context, p *Platform) error {
	if e.Node != nil || p == nil {
		return nil
	}
	return errors.Join(
		e.withOverlay(ctx, p, func(overlay string) error {
			_, err := e.RunKubectl(ctx, "delete", "-k", overlay, "--ignore-not-found", "--timeout="+patience.String())
			return err
		}),
		p.remove(ctx, e),
	)
}

func (e *Environment) withOverlay(ctx context.Context, p *Platform, do func(directory string) error) error {
	directory, err := os.MkdirTemp("", "overlay-")
	if err != nil {
		return fmt.Errorf("make a directory for the overlay of config/default: %w", err)
	}
	defer os.RemoveAll(directory) //nolint:errcheck // it is a temporary directory
	if err := writeOverlay(ctx, directory, e.Image(OperatorImage), p); err != nil {
		return err
	}
	return do(directory)
}
