package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flexops/flex-registration-operator/test/world"
)

// story is what the user sees. Every command is run as it is shown.
func (r *real) story(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	expired, err := look(ctx, r.environment.Admin)
	if err != nil {
		return err
	}
	if err := r.comeBack(ctx, expired, timeout); err != nil {
		return err
	}
	serving, err := look(ctx, r.environment.Admin)
	if err != nil {
		return err
	}
	pods, err := r.environment.RecordPods(ctx, namespace)
	if err != nil {
		return err
	}
	return r.goOnServing(ctx, serving, pods, timeout)
}

// comeBack renews the gateway whose certificate has expired.
func (r *real) comeBack(ctx context.Context, before *sight, timeout time.Duration) error {
	return tell(ctx,
		chapter("A gateway whose certificate has expired: its pods run, and the platform refuses them"),
		r.show("kubectl get pods -n gateway"),
		r.show("kubectl logs deployment/ingress -n gateway --tail=1 2>/dev/null"),
		r.show(inspect),
		r.showConnected,

		chapter("A FlexRegistration for it"),
		r.show("cat config/samples/gateway_v1alpha1_flexregistration.yaml"),
		r.show("kubectl apply -f config/samples/gateway_v1alpha1_flexregistration.yaml"),
		r.show(hurry),

		chapter("A Job renews the registration, and the operator rolls the gateway"),
		r.follow("kubectl get flexregistration -n gateway -o wide --watch", "RollingOut|Scheduled"),
		r.follow("kubectl rollout status deployment/ingress -n gateway", "successfully rolled out"),
		r.waitRolledOut(before, timeout),

		chapter("What it leaves: a gateway that is connected"),
		r.show("kubectl get pods -n gateway"),
		r.show(inspect),
		r.showConnected,
		r.show("kubectl get jobs -n gateway"),
		r.show("kubectl events -n gateway --for flexregistration/ingress"),
		func(ctx context.Context) error { return r.check(ctx, before, 1) },
	)
}

// goOnServing renews the gateway once more, while it serves.
func (r *real) goOnServing(ctx context.Context, before *sight, pods *world.History, timeout time.Duration) error {
	return tell(ctx,
		chapter("Another renewal, because somebody asks for it, while the gateway serves"),
		r.show("kubectl annotate flexregistration ingress -n gateway gateway.flexops.dev/renew=now"),
		r.show(fmt.Sprintf("kubectl wait flexregistration/ingress -n gateway --for=jsonpath='{.status.lastHandledRequest}'=now --timeout=%s", timeout)),
		r.follow("kubectl rollout status deployment/ingress -n gateway", "successfully rolled out"),
		r.waitRolledOut(before, timeout),
		r.show("kubectl get flexreg -n gateway"),
		r.show("kubectl get pods -n gateway"),
		r.showConnected,

		chapter("What Anypoint says to it: the credentials, the next renewal, and the replicas' certificates"),
		r.show(rehearse),
		r.show(proven),
		r.show(whatIs),
		func(ctx context.Context) error { return r.check(ctx, before, 2) },
		func(context.Context) error { return checkServed(pods) },
	)
}

// waitRolledOut waits until the pods of before have gone too: a rollout doesn't wait for those on their way out.
func (r *real) waitRolledOut(before *sight, timeout time.Duration) scene {
	wait := r.show(fmt.Sprintf("kubectl wait flexregistration/ingress -n gateway --for=condition=RolledOut --timeout=%s", timeout))
	return func(ctx context.Context) error {
		if err := wait(ctx); err != nil {
			return err
		}
		return r.quietly(ctx, "kubectl wait -n gateway --for=delete --timeout=1m "+before.podNames())
	}
}

// showConnected shows what the platform lists.
func (r *real) showConnected(ctx context.Context) error {
	connected, err := r.platform.Connected(ctx, r.gateway.AgentID)
	if err != nil {
		return err
	}
	fmt.Printf("\nConnected to the platform: %d replicas\n", len(connected))
	for _, name := range slices.Sorted(maps.Keys(connected)) {
		fmt.Printf("  %s   with a certificate that expires at %s\n", name, connected[name].UTC().Format(time.RFC3339))
	}
	return nil
}
