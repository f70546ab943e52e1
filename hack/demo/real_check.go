package main

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/world"
)

// check compares the end of a renewal with its beginning, and with what the platform has issued and lists.
func (r *real) check(ctx context.Context, before *sight, renewals int) error {
	after, err := look(ctx, r.environment.Admin)
	if err != nil {
		return err
	}
	issued, err := r.platform.Renewals(ctx, r.gateway.AgentID)
	if err != nil {
		return err
	}
	connected, err := r.platform.Connected(ctx, r.gateway.AgentID)
	if err != nil {
		return err
	}
	var jobs batchv1.JobList
	if err := r.environment.Admin.List(ctx, &jobs, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list the Jobs of namespace %s: %w", namespace, err)
	}
	var problems findings
	is := after.registration.Certificate()
	problems.expect(is.Fingerprint != before.registration.Certificate().Fingerprint, "the Secret holds the old certificate")
	problems.expect(len(issued) == renewals, "the platform has renewed the certificate %d times, not %d", len(issued), renewals)
	problems.expect(len(issued) > 0 && issued[len(issued)-1].NewFingerprint == is.Fingerprint, "the certificate in the Secret is not the one that the platform issued last")
	problems.expect(len(jobs.Items) == 0, "%d Jobs are left", len(jobs.Items))
	problems.expect(len(after.pods) == replicas, "there are %d pods, not %d", len(after.pods), replicas)
	problems.expect(len(connected) == replicas, "%d replicas are connected, not %d", len(connected), replicas)
	for uid, pod := range after.pods {
		_, old := before.pods[uid]
		problems.expect(!old, "pod %s was not replaced", pod.Name)
		problems.expect(world.Ready(&pod), "pod %s is not ready", pod.Name)
		problems.expect(connected[pod.Name+"."+pod.Namespace].Equal(is.NotAfter), "pod %s is not connected with the new certificate", pod.Name)
	}
	return errors.Join(problems...)
}

// checkServed tells how many pods served at the worst moment, and whether these were all that there should be.
func checkServed(pods *world.History) error {
	moments, err := pods.Moments()
	if err != nil {
		return err
	}
	least := replicas
	for _, m := range moments {
		least = min(least, m.Serving())
	}
	fmt.Printf("\nAt least %d of %d replicas were ready at every moment, in %d changes of pods.\n", least, replicas, len(moments)-1)
	if least < replicas {
		return fmt.Errorf("only %d of %d replicas were ready at some moment", least, replicas)
	}
	return nil
}
