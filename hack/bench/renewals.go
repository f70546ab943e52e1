package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/test/kubelet"
	"github.com/flexops/flex-registration-operator/test/operator"
)

func (b *bench) renewalInProcess(ctx context.Context) error {
	const user = "exec"
	busy := &activity{}
	o, err := b.inProcess(user, user, busy)
	if err != nil {
		return err
	}
	return b.renewal(ctx, o, user, "with flexctl in the operator", busy, 12)
}

// The images of renewal Jobs.
const operatorImage, gatewayImage = "flex-registration-operator:bench", "mulesoft/flex-gateway:1.8.0" // that of operator.Deployment

func (b *bench) renewalInJob(ctx context.Context) error {
	const user = "jobs"
	pods := filepath.Join(b.directory, "pods")
	if err := os.Mkdir(pods, 0o700); err != nil {
		return err
	}
	k, err := kubelet.Start(ctx, kubelet.Options{
		Config: b.cluster.Config, Directory: pods,
		Images: map[string]kubelet.Image{
			operatorImage: {Programs: map[string]string{"/manager": filepath.Join(b.directory, "flex-registration-operator"), "/flexctl-runner": filepath.Join(b.directory, "flexctl-runner")}},
			gatewayImage:  {Programs: map[string]string{"flexctl": filepath.Join(b.directory, "flexctl")}},
		},
	})
	if err != nil {
		return err
	}
	defer k.Stop()
	ca, err := os.ReadFile(b.ca())
	if err != nil {
		return err
	}
	busy := &activity{}
	o, err := b.inProcess(user, user, busy)
	if err != nil {
		return err
	}
	o.Renewer = nil
	o.Jobs = &job.Config{OperatorImage: operatorImage, Hosts: []string{b.platform.Host()}, ManageRBAC: true,
		Network: anypoint.Network{CABundle: ca, Proxy: map[string]string{"NO_PROXY": "127.0.0.1"}}}
	return b.renewal(ctx, o, user, "in a Job", busy, 18)
}

// renewal renews a gateway with pods, which is settled and was renewed in this way before, and lists what the operator asks
// for. user is the name of the namespace too.
func (b *bench) renewal(ctx context.Context, o operator.Options, user, how string, busy *activity, budget float64) error {
	if err := b.makeNamespace(ctx, user); err != nil {
		return err
	}
	g, err := b.platform.Register(operator.GatewayName, remaining)
	if err != nil {
		return err
	}
	if err := b.makeGateway(ctx, gateway{user, operator.GatewayName, g}, 1); err != nil {
		return err
	}
	if err := b.admin.Create(ctx, operator.FlexRegistration(user, operator.GatewayName)); err != nil {
		return err
	}
	b.clock.SetTime(later(b.clock.Now(), time.Now().Add(operator.Ahead)))
	return within(o, func() error {
		var since time.Time
		for i := range 2 {
			if err := b.atRest(ctx, user, busy, i); err != nil {
				return err
			}
			// Two certificates that are made in one second are the same age. The pods of this node present none.
			b.clock.Step(20 * time.Minute)
			b.platform.SetReplicas(g.AgentID, simulator.Replica{})
			if err := busy.quiet(ctx, lull); err != nil {
				return err
			}
			since = time.Now()
			fr := operator.FlexRegistration(user, operator.GatewayName)
			ask := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.AnnotationRenew, i)
			if err := b.admin.Patch(ctx, fr, client.RawPatch("application/merge-patch+json", []byte(ask))); err != nil {
				return err
			}
		}
		if err := b.atRest(ctx, user, busy, 2); err != nil {
			return err
		}
		if made := len(b.platform.Renewals(g.AgentID)); made != 2 {
			return fmt.Errorf("it was renewed %d times and not twice", made)
		}
		requests, err := b.asked(user, "", since)
		if err != nil {
			return err
		}
		lines := make([]string, len(requests))
		for i, r := range requests {
			lines[i] = fmt.Sprintf("%s %s (%d)", describe(r), r.Name, r.Code)
		}
		b.report.renewal(how, lines)
		b.report.count("renewal "+how, byKind(requests), nil)
		b.report.limit("one renewal "+how+", with its rollout", "API requests", float64(len(requests)), "", budget)
		return nil
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// atRest waits until so many renewals were asked for and are done, the gateway is rolled, and everything is checked.
func (b *bench) atRest(ctx context.Context, namespace string, busy *activity, asked int) error {
	var fr v1alpha1.FlexRegistration
	err := until(ctx, 2*time.Minute, "the gateway is renewed and rolled", func() (bool, error) {
		if err := b.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: operator.GatewayName}, &fr); err != nil {
			return false, err
		}
		handled := asked == 0 || fr.Status.LastHandledRequest == fmt.Sprint(asked-1) && meta.IsStatusConditionTrue(fr.Status.Conditions, v1alpha1.ConditionRolledOut)
		return handled && settled(&fr) && meta.IsStatusConditionTrue(fr.Status.Conditions, v1alpha1.ConditionReady), nil
	})
	if err != nil {
		return fmt.Errorf("%w\nits conditions: %+v", err, fr.Status.Conditions)
	}
	return busy.quiet(ctx, lull)
}
