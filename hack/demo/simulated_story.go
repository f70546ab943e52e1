package main

import (
	"context"
	"fmt"
	"time"
)

const inspect = `kubectl get secret ingress-registration -n gateway -o go-template='{{index .data "registration.yaml" | base64decode}}' | flexctl registration inspect --file=/dev/stdin`

// story is what the user sees. Every command is run as it is shown.
func (w *simulated) story(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	before, err := look(ctx, w.admin)
	if err != nil {
		return err
	}
	return tell(ctx,
		chapter("A gateway, ten days before its certificate expires"),
		w.show("kubectl get pods -n gateway"),
		w.show(inspect),

		chapter("A FlexRegistration for it"),
		w.show("cat config/samples/gateway_v1alpha1_flexregistration.yaml"),
		w.show("kubectl apply -f config/samples/gateway_v1alpha1_flexregistration.yaml"),
		w.show(hurry),

		chapter("The operator renews the registration and rolls the gateway"),
		w.follow("kubectl get flexregistration -n gateway -o wide --watch", "RollingOut|Scheduled"),
		w.follow("kubectl rollout status deployment/ingress -n gateway", "successfully rolled out"),
		w.show(fmt.Sprintf("kubectl wait flexregistration/ingress -n gateway --for=condition=RolledOut --timeout=%s", timeout)),
		// A rollout doesn't wait for pods that are on their way out.
		func(ctx context.Context) error {
			return w.quietly(ctx, "kubectl wait -n gateway --for=delete --timeout=1m "+before.podNames())
		},

		chapter("What Anypoint says to it: the credentials, the next renewal, and the replicas' certificates"),
		w.connect,
		w.show(rehearse),
		w.show(proven),
		w.show(whatIs),

		chapter("What it leaves"),
		w.show("kubectl events -n gateway --for flexregistration/ingress"),
		w.show("kubectl get flexreg -n gateway"),
		w.show("kubectl get pods -n gateway"),
		w.show(inspect),
		func(ctx context.Context) error { return w.check(ctx, before) },
	)
}

// explore says how to look around in what is left running.
func (w *simulated) explore() {
	heading("Everything goes on running until Ctrl-C. In another terminal, in this directory:")
	fmt.Printf(`export KUBECONFIG=%s
export PATH=%s:$PATH
kubectl get flexreg -n gateway -o wide --watch
kubectl annotate flexreg ingress -n gateway --overwrite gateway.flexops.dev/renew="$(date +%%s)"    # renew now
kubectl patch flexreg ingress -n gateway --type=merge -p '{"spec":{"suspend":true}}'
kubectl delete flexreg ingress -n gateway        # and apply it again: nothing is renewed or rolled
kubectl get secrets -n gateway                   # flexreg-record-… is the operator's memory
tail -f %s
`, w.cluster.Kubeconfig, w.path, w.log("manager"))
}
