package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// sight is what the cluster holds of the gateway at a moment.
type sight struct {
	registration *registration.Registration
	written      time.Time // when the Secret was
	pods         map[types.UID]corev1.Pod
}

func (w *world) look(ctx context.Context) (*sight, error) {
	secret := &corev1.Secret{}
	if err := w.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: operator.SecretName}, secret); err != nil {
		return nil, err
	}
	s := &sight{written: gateway.Changed(secret), pods: map[types.UID]corev1.Pod{}}
	var err error
	if s.registration, err = registration.Parse(secret.Data, registration.DefaultKey); err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := w.admin.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		s.pods[pod.UID] = pod
	}
	return s, nil
}

// podNames are arguments for kubectl.
func (s *sight) podNames() string {
	var names []string
	for _, pod := range s.pods {
		names = append(names, "pod/"+pod.Name)
	}
	return strings.Join(names, " ")
}

// check compares the end with the beginning, and with what the platform has issued.
func (w *world) check(ctx context.Context, before *sight) error {
	after, err := w.look(ctx)
	if err != nil {
		return err
	}
	var problems []error
	expect := func(ok bool, format string, arguments ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, arguments...))
		}
	}
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
	expect(meta.IsStatusConditionTrue(fr.Status.Conditions, v1alpha1.ConditionReady), "Ready is not True")
	return errors.Join(problems...)
}
