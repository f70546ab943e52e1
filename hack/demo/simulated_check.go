package main

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// check compares the end with the beginning, and with what the platform has issued.
func (w *simulated) check(ctx context.Context, before *sight) error {
	after, err := look(ctx, w.admin)
	if err != nil {
		return err
	}
	var problems findings
	expect := problems.expect
	was, is := before.registration.Certificate(), after.registration.Certificate()
	expect(after.registration.AgentID() == w.gateway.AgentID, "the Secret holds the registration of agent %s, not of %s", after.registration.AgentID(), w.gateway.AgentID)
	expect(is.NotAfter.After(was.NotAfter), "the certificate in the Secret expires at %s, which is not later than the old one's %s", is.NotAfter, was.NotAfter)
	renewals := w.platform.Renewals(w.gateway.AgentID)
	expect(len(renewals) == 1, "the platform has renewed the certificate %d times, not once", len(renewals))
	expect(len(renewals) > 0 && renewals[len(renewals)-1].NewFingerprint == is.Fingerprint, "the certificate in the Secret is not the one that the platform issued")

	expect(len(after.pods) == replicas, "there are %d pods, not %d", len(after.pods), replicas)
	for uid, pod := range after.pods {
		_, old := before.pods[uid]
		expect(!old, "pod %s was not replaced", pod.Name)
		expect(!pod.CreationTimestamp.Time.Before(after.written), "pod %s was created before the Secret was written", pod.Name)
	}

	fr := &v1alpha1.FlexRegistration{}
	if err := w.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: operator.GatewayName}, fr); err != nil {
		return errors.Join(append(problems, err)...)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionCredentialsValid, v1alpha1.ConditionRehearsed, v1alpha1.ConditionPlatformVerified} {
		expect(meta.IsStatusConditionTrue(fr.Status.Conditions, kind), "%s is not True", kind)
	}
	return errors.Join(problems...)
}
