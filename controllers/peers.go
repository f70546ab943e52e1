package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// agentIndex finds FlexRegistrations by what the agent id of their gateway begins with. By all of it, it would take 0.6 KiB for each.
const agentIndex = "agent"

func indexAgent(object client.Object) []string {
	if fr, ok := object.(*v1alpha1.FlexRegistration); ok && agentID(fr) != "" {
		return []string{beginning(agentID(fr))}
	}
	return nil
}

// beginning is one of 256, as agent ids are hexadecimal.
func beginning(agent string) string { return agent[:min(2, len(agent))] }

// agentID is that of a FlexRegistration's gateway; "" where it is not known.
func agentID(fr *v1alpha1.FlexRegistration) string {
	return ptr.Deref(fr.Status.Gateway, v1alpha1.GatewayStatus{}).AgentID
}

// ofAgent lists the FlexRegistrations in the cache that have the gateway with an agent id. They are not to be written.
func (r *Reconciler) ofAgent(ctx context.Context, agent string) ([]*v1alpha1.FlexRegistration, error) {
	var some v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &some, client.MatchingFields{agentIndex: beginning(agent)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the FlexRegistrations of the same gateway: %w", err)
	}
	return slices.DeleteFunc(some.Items, func(fr *v1alpha1.FlexRegistration) bool { return agentID(fr) != agent }), nil
}

// observePeers looks for other FlexRegistrations of the same gateway, and for those whose credentials were refused and
// that share them. It reads their status; of those that other operators look after only in the same namespace.
func (r *Reconciler) observePeers(ctx context.Context, o *observation) error {
	self := o.flexRegistration
	agents, err := r.ofAgent(ctx, o.registration.AgentID())
	if err != nil {
		return err
	}
	others, err := r.otherShards(ctx, self.Namespace)
	if err != nil {
		return err
	}
	for _, other := range others {
		if agentID(other) == o.registration.AgentID() {
			agents = append(agents, other)
		}
	}
	for _, peer := range agents {
		if peer.UID == self.UID || o.Excluded != nil || o.Follow && !o.sharesSecret(peer) {
			continue
		}
		proven := peer.Namespace == self.Namespace
		if !proven && renewedCopy(peer, o) {
			if proven, err = r.hasRenewed(ctx, peer, o.Certificate.Fingerprint); err != nil {
				return err
			}
		}
		o.Excluded = o.duplicates(peer, proven)
	}
	var neighbours v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &neighbours, client.InNamespace(self.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the FlexRegistrations of namespace %s: %w", self.Namespace, err)
	}
	neighbours.Items = append(neighbours.Items, others...)
	o.Refused = nil
	refused := func(r refusal) {
		if r.by != self.Name && (o.Refused == nil || r.until.After(o.Refused.Until)) {
			o.Refused = &renewal.Refusal{Until: r.until, Finding: *renewal.NewFinding(r.state,
				"the credentials in Secret %s were refused when FlexRegistration %s tried them", self.Spec.CredentialsRef.Name, r.by)}
		}
	}
	if known := r.claims.refusal(o.Credentials); known != nil {
		refused(*known)
	}
	for _, peer := range neighbours.Items {
		state := renewal.State(reasonOf(peer, v1alpha1.ConditionRenewed))
		if peer.Status.RefusedCredentials != "" && peer.Status.RefusedCredentials == o.Credentials && peer.Status.NextAttemptTime != nil && refusesCredentials(state) {
			refused(refusal{peer.Name, state, peer.Status.NextAttemptTime.Time})
		}
	}
	return nil
}

// otherShards lists the FlexRegistrations of a namespace that other operators look after: the cache does not have them.
func (r *Reconciler) otherShards(ctx context.Context, namespace string) ([]*v1alpha1.FlexRegistration, error) {
	if r.Scope.Selector == nil {
		return nil, nil
	}
	var all v1alpha1.FlexRegistrationList
	if err := r.APIReader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the FlexRegistrations of namespace %s that other operators look after: %w", namespace, err)
	}
	return slices.DeleteFunc(all.Items, func(fr *v1alpha1.FlexRegistration) bool { return r.Scope.matches(fr.Labels) }), nil
}

// hasRenewed says that a peer's record holds a certificate, with its key, as the one before its newest. Whoever makes up
// a registration with this gateway's agent id, to keep it from being renewed, does not have the key.
func (r *Reconciler) hasRenewed(ctx context.Context, peer *v1alpha1.FlexRegistration, fingerprint string) (bool, error) {
	at := peer.Status.SecretRef
	record, refused, err := gateway.LoadRecord(ctx, r.APIReader, &gateway.Gateway{Namespace: peer.Namespace, SecretName: at.Name, Key: at.Key})
	if err != nil || refused != nil {
		return false, err
	}
	return record.Previous != nil && record.Previous.Certificate().Fingerprint == fingerprint, nil
}

// renewedCopy says that a peer shows a newer certificate of the same gateway in another Secret.
func renewedCopy(peer *v1alpha1.FlexRegistration, o *observation) bool {
	theirs, at := peer.Status.Certificate, peer.Status.SecretRef
	return theirs != nil && at != nil && theirs.Fingerprint != o.Certificate.Fingerprint && (theirs.NotAfter.After(o.Certificate.NotAfter) ||
		theirs.NotAfter.Time.Equal(o.Certificate.NotAfter) && theirs.NotBefore.After(o.Certificate.NotBefore))
}

// duplicates says why a peer, and not this FlexRegistration, is the one to renew the gateway's certificate; nil if it
// isn't. Of two copies of a registration only the newer one is ever renewed, where it is proven to be one: the older
// has been renewed already.
func (o *observation) duplicates(peer *v1alpha1.FlexRegistration, proven bool) *renewal.Finding {
	theirs, at, self := peer.Status.Certificate, peer.Status.SecretRef, o.flexRegistration
	if theirs == nil || at == nil {
		return nil
	}
	name := peer.Namespace + "/" + peer.Name
	sameSecret := o.sharesSecret(peer)
	sameCertificate := theirs.Fingerprint == o.Certificate.Fingerprint
	switch {
	case !sameSecret && proven && renewedCopy(peer, o) && theirs.Fingerprint != o.Record.Newest.Fingerprint:
		return renewal.NewFinding(v1alpha1.ReasonDuplicate, "FlexRegistration %s has already renewed this registration in another Secret: copy it from there (Secret %s/%s, key %s) to Secret %s, or delete this FlexRegistration",
			name, peer.Namespace, at.Name, at.Key, o.gateway.SecretName)
	case !sameSecret && o.Unpublished():
		return nil // It has renewed the certificate before the peer could; the peer is the one that is left with a copy.
	case (sameSecret || sameCertificate) && (works(peer) && (o.Follow || older(peer, self)) || isRenewing(peer)),
		sameSecret && o.Follow && active(peer) && older(peer, self):
		return renewal.NewFinding(v1alpha1.ReasonDuplicate, "FlexRegistration %s renews the same certificate (%s): delete this one; several Deployments that mount one Secret need only one FlexRegistration, with spec.secretRef",
			name, o.Certificate.SerialNumber)
	default:
		return nil
	}
}

// sharesSecret says that a peer's registration is in the same Secret. Two of those share a record, so only one may act.
func (o *observation) sharesSecret(peer *v1alpha1.FlexRegistration) bool {
	at := peer.Status.SecretRef
	return at != nil && peer.Namespace == o.gateway.Namespace && at.Name == o.gateway.SecretName && at.Key == o.gateway.Key
}

// active says that a FlexRegistration does something: one that is suspended, or can't read its registration, doesn't.
func active(fr *v1alpha1.FlexRegistration) bool {
	return fr.DeletionTimestamp.IsZero() && !fr.Spec.Suspend &&
		!meta.IsStatusConditionPresentAndEqual(fr.Status.Conditions, v1alpha1.ConditionCertificateValid, metav1.ConditionUnknown)
}

// works says that a FlexRegistration would renew.
func works(fr *v1alpha1.FlexRegistration) bool {
	return active(fr) && fr.Spec.Renewal.Policy != v1alpha1.RenewalFollow
}

// older decides between two FlexRegistrations: the one made first, then the first by name.
func older(a, b *v1alpha1.FlexRegistration) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name)) < 0
}

// isRenewing says that a renewal was started and not finished.
func isRenewing(fr *v1alpha1.FlexRegistration) bool {
	reason := reasonOf(fr, v1alpha1.ConditionRenewed)
	return reason == v1alpha1.ReasonRenewing || reason == v1alpha1.ReasonJobPending
}

func reasonOf(fr *v1alpha1.FlexRegistration, condition string) string {
	if c := meta.FindStatusCondition(fr.Status.Conditions, condition); c != nil {
		return c.Reason
	}
	return ""
}
