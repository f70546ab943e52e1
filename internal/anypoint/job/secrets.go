package job

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// LabelFlexRegistration, on what a renewal makes, names the FlexRegistration that it is for.
const LabelFlexRegistration = "gateway.flexops.dev/flexregistration"

// labelHandedOver, on the handoff Secret, says that a pod has written it: that is seen without reading it.
const labelHandedOver = "gateway.flexops.dev/handed-over"

// The types of the Secrets of a renewal. A Secret's type can't be changed, so nobody's Secret turns into one of them.
const (
	// AttemptType is that of a Secret that holds what one attempt starts from.
	AttemptType corev1.SecretType = "gateway.flexops.dev/attempt"
	// HandoffType is that of the Secret in which a pod hands its result over.
	HandoffType corev1.SecretType = "gateway.flexops.dev/handoff"
)

// HandoffName names, for a FlexRegistration, the handoff Secret and the ServiceAccount, Role and RoleBinding by which
// pods may write it.
func HandoffName(flexRegistration string) string { return "flexreg-handoff-" + flexRegistration }

// meta is what everything has that a renewal makes.
func (a *attempt) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: a.fr.Namespace, Name: name,
		Labels: map[string]string{LabelFlexRegistration: a.fr.Name, labelManagedBy: managedBy},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "FlexRegistration", Name: a.fr.Name, UID: a.fr.UID, Controller: ptr.To(true),
		}},
	}
}

// attemptSecret holds what flexctl starts from.
func (a *attempt) attemptSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: a.meta(a.intent.Job), Type: AttemptType, Immutable: ptr.To(true), Data: data}
}

// handoffSecret is for the result.
func (a *attempt) handoffSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: a.meta(HandoffName(a.fr.Name)), Type: HandoffType}
}

// createHandoff makes the handoff Secret anew, so that a late pod of an earlier attempt, which knows it by another UID,
// is refused. What such a pod has handed over in time is returned instead: it can't be had again.
func (a *attempt) createHandoff(ctx context.Context, old *registration.Registration) (*corev1.Secret, *registration.Registration, error) {
	create := func() (*corev1.Secret, error) {
		secret := a.handoffSecret()
		return secret, a.handoffError("creating", a.Client.Create(ctx, secret, gateway.FieldOwner))
	}
	secret, err := create()
	if !apierrors.IsAlreadyExists(err) {
		return secret, nil, err
	}
	earlier, err := a.earlierHandoff(ctx)
	if err != nil {
		return nil, nil, err
	}
	if late, _ := handedOver(earlier); late != nil && late.AgentID() == old.AgentID() && late.Certificate().NewerThan(old.Certificate()) {
		return nil, late, nil
	}
	if err := a.Client.Delete(ctx, earlier, client.Preconditions{UID: &earlier.UID}); client.IgnoreNotFound(err) != nil {
		return nil, nil, a.handoffError("deleting", err)
	}
	secret, err = create()
	return secret, nil, err
}

// readHandoff reads the handoff Secret; an empty one, and an error, where there is none.
func (a *attempt) readHandoff(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := a.APIReader.Get(ctx, client.ObjectKey{Namespace: a.fr.Namespace, Name: HandoffName(a.fr.Name)}, secret)
	return secret, a.handoffError("reading", err)
}

// earlierHandoff reads the handoff Secret that is there.
func (a *attempt) earlierHandoff(ctx context.Context) (*corev1.Secret, error) {
	earlier, err := a.readHandoff(ctx)
	if err != nil {
		return nil, err
	}
	if earlier.Type != HandoffType {
		return nil, fmt.Errorf("there is a Secret %s/%s, in which the pod is to hand its result over, that was not made by the operator: rename it, or rename FlexRegistration %s", earlier.Namespace, earlier.Name, a.fr.Name)
	}
	return earlier, nil
}

func (a *attempt) handoffError(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s Secret %s/%s, in which the pod is to hand its result over: %w", doing, a.fr.Namespace, HandoffName(a.fr.Name), err)
}

// isHandedOver says whether the cache shows that a pod has handed its result over.
func (a *attempt) isHandedOver(ctx context.Context) bool {
	handoff := gateway.SecretMetadata()
	err := a.Cache.Get(ctx, client.ObjectKey{Namespace: a.fr.Namespace, Name: HandoffName(a.fr.Name)}, handoff)
	return err == nil && handoff.Labels[labelHandedOver] != ""
}

// handedOver reads a result; nil where there is none yet.
func handedOver(secret *corev1.Secret) (*registration.Registration, error) {
	if secret.Type != HandoffType || len(secret.Data) == 0 {
		return nil, nil
	}
	return registration.Parse(map[string][]byte{registration.DefaultKey: secret.Data[registration.DefaultKey]}, registration.DefaultKey)
}
