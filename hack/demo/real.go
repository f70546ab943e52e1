package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/world"
)

// real is everything that the story happens in where the node is a real one.
type real struct {
	*terminal
	environment *world.Environment
	platform    *world.Platform
	gateway     simulator.Gateway
}

// runReal brings everything up, tells the story, and leaves nothing behind but logs, in E2E_LOG_DIR.
func runReal(ctx context.Context, timeout time.Duration) (err error) {
	t, err := newTerminal()
	if err != nil {
		return err
	}
	r := &real{terminal: t}
	logs := os.Getenv("E2E_LOG_DIR")
	defer func() {
		failed := err != nil && !errors.Is(err, errInterrupted)
		if failed {
			r.explain()
		}
		err = errors.Join(err, r.tearDown())
		if failed {
			fmt.Fprintf(os.Stderr, "\nAll logs are in %s\n", logs)
		}
	}()
	began := time.Now()
	heading("Starting")
	start := func(ctx context.Context) error { return r.startCluster(ctx, logs) }
	if err := bringUp(ctx,
		part{"container images, a Kubernetes control plane, a real node", start},
		part{"a simulated Anypoint Platform, in a pod", r.startPlatform},
		part{"the operator, by config/default", r.installOperator},
		part{"kubectl's plugin", r.buildPlugin},
		part{"a gateway of three replicas, with an expired certificate", r.createGateway},
	); err != nil {
		return because(ctx, err)
	}
	if err := because(ctx, r.story(ctx, timeout)); err != nil {
		return err
	}
	heading("Renewed twice: an expired gateway came back, and a serving one never stopped (%.0fs)", time.Since(began).Seconds())
	return nil
}

func (r *real) startCluster(ctx context.Context, logs string) (err error) {
	r.environment, err = world.Start(ctx, logs, world.OperatorImage, world.GatewayImage, world.AnypointImage)
	if err != nil {
		return err
	}
	r.use(r.environment.Kubeconfig, r.environment.Kubectl)
	_, err = simulator.BuildFlexctl(r.dir) // for who sits at the terminal
	return err
}

func (r *real) startPlatform(ctx context.Context) (err error) {
	r.platform, err = r.environment.StartPlatform(ctx)
	return err
}

func (r *real) installOperator(ctx context.Context) error {
	return r.environment.InstallOperator(ctx, r.platform)
}

// createGateway makes a gateway whose certificate has expired, and waits until the platform has refused all replicas.
func (r *real) createGateway(ctx context.Context) (err error) {
	if err := r.environment.Admin.Create(ctx, world.RestrictedNamespace(metav1.ObjectMeta{Name: namespace})); err != nil {
		return fmt.Errorf("create the namespace %s: %w", namespace, err)
	}
	if _, err := r.environment.CreateCredentials(ctx, r.platform, namespace); err != nil {
		return err
	}
	if r.gateway, err = r.environment.CreateGateway(ctx, r.platform, world.GatewayOptions{
		Namespace: namespace, Image: world.GatewayImage, Replicas: replicas, Remaining: -time.Hour,
	}); err != nil {
		return err
	}
	return r.environment.WaitForPods(ctx, operator.Deployment(namespace, operator.GatewayName, operator.SecretName, replicas))
}

// explain shows what the operator has said last.
func (r *real) explain() {
	if r.platform == nil {
		return // there is no operator yet
	}
	lines, _ := r.environment.RunKubectl(context.Background(), "logs", "-n", world.OperatorNamespace,
		"-l", "app.kubernetes.io/name="+world.OperatorName, "--prefix", "--tail=20")
	fmt.Fprintf(os.Stderr, "\nThe operator's last lines:\n%s\n", lines)
}

func (r *real) tearDown() error {
	var err error
	if r.environment != nil {
		err = r.environment.Stop()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}
