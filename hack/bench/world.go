package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	day = 24 * time.Hour
	// remaining is the time until the certificates of the fleet expire, and before for how long they are renewed.
	remaining, before = 300 * day, 30 * day
	operatorNamespace = "flex-registration-operator"
)

// bench is what everything is measured in.
type bench struct {
	size   size
	report report
	began  time.Time

	directory string // of programs
	cluster   *controlplane.ControlPlane
	admin     client.WithWatch
	// clock is the platform's, and that of operators in this process.
	clock         *clocktesting.FakeClock
	platform      *simulator.Platform
	appID, secret string
	fleet         []gateway
	first, broken gateway
	undo          []func() error
}

// gateway is one of the fleet.
type gateway struct {
	namespace, name string
	simulator.Gateway
}

func (b *bench) close() error {
	var errs []error
	for i := len(b.undo) - 1; i >= 0; i-- {
		errs = append(errs, b.undo[i]())
	}
	return errors.Join(errs...)
}

func (b *bench) start(ctx context.Context) (err error) {
	if b.directory, err = os.MkdirTemp("", "flex-registration-bench-"); err != nil {
		return err
	}
	b.undo = append(b.undo, func() error { return os.RemoveAll(b.directory) })
	for _, program := range []string{".", "./cmd/flexctl-runner"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.directory+"/", program)
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s, in the root of the repository: %w\n%s", program, err, output)
		}
	}
	if b.cluster, err = controlplane.Start(ctx, controlplane.Options{CRDs: operator.CRDs("."), LeaveJobPods: true}); err != nil {
		return err
	}
	b.undo = append(b.undo, b.cluster.Stop)
	if b.admin, err = client.NewWithWatch(b.cluster.Config, client.Options{Scheme: operator.Scheme()}); err != nil {
		return err
	}
	if err := operator.Grant(ctx, b.admin, operator.Roles(".")...); err != nil {
		return err
	}
	lease := metav1.ObjectMeta{Namespace: operatorNamespace, Name: "lease"}
	for _, object := range []client.Object{
		operator.Namespace(operatorNamespace),
		&rbacv1.Role{ObjectMeta: lease, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"*"}}}},
		&rbacv1.RoleBinding{ObjectMeta: lease, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "lease"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: operator.Group}}},
	} {
		if err := b.admin.Create(ctx, object); err != nil {
			return fmt.Errorf("preparing the operator's namespace: %w", err)
		}
	}
	b.clock = clocktesting.NewFakeClock(time.Now().Truncate(time.Second))
	if b.platform, err = simulator.Start(simulator.Options{Clock: b.clock}); err != nil {
		return err
	}
	b.undo = append(b.undo, b.platform.Close)
	b.appID, b.secret = b.platform.AddConnectedApp()
	if err := b.platform.WriteCA(b.ca()); err != nil {
		return err
	}
	if _, err = simulator.BuildFlexctl(b.directory); err != nil {
		return err
	}
	return b.register()
}

// register registers gateways, all before an operator lists them: it keeps the list. The certificates of the fleet expire
// within one hour, in another order than the one that they are made in.
func (b *bench) register() (err error) {
	b.first, b.broken = gateway{namespace: "first", name: "first"}, gateway{namespace: "broken", name: "broken"}
	if b.first.Gateway, err = b.platform.Register("first", remaining); err != nil {
		return err
	}
	if b.broken.Gateway, err = b.platform.Register("broken", -time.Hour); err != nil {
		return err
	}
	b.fleet = make([]gateway, b.size.N)
	for i := range b.fleet {
		later := time.Duration(i*7919%b.size.N) * time.Hour / time.Duration(b.size.N)
		name := fmt.Sprintf("gateway-%d", i)
		registered, err := b.platform.Register(name, remaining+later)
		if err != nil {
			return err
		}
		b.fleet[i] = gateway{fleetNamespace(i / b.size.PerNamespace), name, registered}
	}
	return nil
}

func (b *bench) ca() string { return filepath.Join(b.directory, "ca.crt") }

// namespaces are the fleet's.
func (b *bench) namespaces() int { return (b.size.N + b.size.PerNamespace - 1) / b.size.PerNamespace }

// ofFleet is what the names of the fleet's namespaces begin with.
const ofFleet = "fleet-"

func fleetNamespace(i int) string { return ofFleet + strconv.Itoa(i) }

func inFleet(namespace string) bool { return strings.HasPrefix(namespace, ofFleet) }

// makeFleet makes gateways without their FlexRegistrations. Their Deployments have no pods: those would be what is measured.
func (b *bench) makeFleet(ctx context.Context) error {
	for i := range b.namespaces() {
		if err := b.makeNamespace(ctx, fleetNamespace(i)); err != nil {
			return err
		}
	}
	return all(ctx, b.size.N, func(ctx context.Context, i int) error {
		if i < b.size.Deployments {
			return b.makeGateway(ctx, b.fleet[i], 0)
		}
		return b.admin.Create(ctx, b.registered(b.fleet[i]))
	})
}

// flexRegistration is that of a gateway of the fleet; of one without a Deployment it names the Secret.
func (b *bench) flexRegistration(i int) *v1alpha1.FlexRegistration {
	fr := operator.FlexRegistration(b.fleet[i].namespace, b.fleet[i].name)
	if i >= b.size.Deployments {
		fr.Spec.TargetRef, fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: secretName(b.fleet[i])}
	}
	return fr
}

func secretName(g gateway) string { return g.name + "-registration" }

func (b *bench) makeNamespace(ctx context.Context, name string) error {
	if err := b.admin.Create(ctx, operator.Namespace(name)); err != nil {
		return err
	}
	return b.admin.Create(ctx, operator.CredentialsSecret(name, b.appID, b.secret))
}

// registered is the Secret of a gateway, which the platform shows one replica of.
func (b *bench) registered(g gateway) *corev1.Secret {
	b.platform.SetReplicas(g.AgentID, simulator.Replica{})
	secret := operator.RegistrationSecret(g.namespace, g.File)
	secret.Name = secretName(g)
	return secret
}

// makeGateway makes the Secret and the Deployment of a gateway.
func (b *bench) makeGateway(ctx context.Context, g gateway, replicas int32) error {
	secret := b.registered(g)
	deployment := operator.Deployment(g.namespace, g.name, secret.Name, replicas)
	// As large as one that kubectl has applied: with the manifest in an annotation, and an environment.
	deployment.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: strings.Repeat("x", 2<<10)}
	app := &deployment.Spec.Template.Spec.Containers[0]
	for i := range 20 {
		app.Env = append(app.Env, corev1.EnvVar{Name: fmt.Sprintf("FLEX_SETTING_%d", i), Value: "a value of thirty-two characters"})
	}
	for _, object := range []client.Object{secret, deployment} {
		if err := b.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// settled says that everything about a FlexRegistration is known and checked, and nothing is to be done.
func settled(fr *v1alpha1.FlexRegistration) bool {
	made := slices.DeleteFunc(slices.Clone(fr.Status.Checks), func(c v1alpha1.Check) bool { return c.Version == "" })
	return fr.Status.Inspected != "" && len(made) == 3
}

// all does something for each of n, several at a time.
func all(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// until waits for a condition, for at most limit.
func until(ctx context.Context, limit time.Duration, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if done, err := is(); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}
