package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// certificateIndex finds FlexRegistrations by the fingerprints of the certificate that they keep, and of the one
// that it replaced.
const certificateIndex = "certificate"

func indexCertificate(object client.Object) []string {
	fr, ok := object.(*v1alpha1.FlexRegistration)
	if !ok || fr.Status.Certificate == nil {
		return nil
	}
	return fingerprints(fr)
}

func fingerprints(fr *v1alpha1.FlexRegistration) []string {
	var found []string
	if c := fr.Status.Certificate; c != nil {
		for _, fingerprint := range []string{c.Fingerprint, c.PreviousFingerprint} {
			if fingerprint != "" {
				found = append(found, fingerprint)
			}
		}
	}
	return found
}

// observePeers looks for other FlexRegistrations that would renew the same certificate, and for those in the
// namespace whose credentials were refused. It reads their status.
func (r *Reconciler) observePeers(ctx context.Context, o *observation) error {
	self := o.flexRegistration
	var same, neighbours v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &same, client.MatchingFields{certificateIndex: o.Certificate.Fingerprint}); err != nil {
		return fmt.Errorf("listing the FlexRegistrations that share a certificate: %w", err)
	}
	for i := range same.Items {
		peer := &same.Items[i]
		if peer.UID == self.UID || !peer.DeletionTimestamp.IsZero() || o.Excluded != nil {
			continue
		}
		if message := duplicate(self, peer, o); message != "" {
			o.Excluded = finding(v1alpha1.ReasonDuplicate, "%s", message)
		}
	}
	if err := r.Client.List(ctx, &neighbours, client.InNamespace(self.Namespace)); err != nil {
		return fmt.Errorf("listing the FlexRegistrations of namespace %s: %w", self.Namespace, err)
	}
	var refusals []refusal
	if known, ok := r.refusals.Load(o.Credentials); ok {
		refusals = append(refusals, known.(refusal))
	}
	for i := range neighbours.Items {
		peer := &neighbours.Items[i]
		if peer.Status.RefusedCredentials != "" && peer.Status.RefusedCredentials == o.Credentials && peer.Status.NextAttemptTime != nil {
			refusals = append(refusals, refusal{peer.Name, renewal.State(reasonOf(peer, v1alpha1.ConditionRenewed)), peer.Status.NextAttemptTime.Time})
		}
	}
	o.Refused = nil
	for _, refusal := range refusals {
		if refusal.by != self.Name && (o.Refused == nil || refusal.until.After(o.Refused.Until)) {
			o.Refused = &renewal.Refusal{Until: refusal.until, Finding: *finding(string(refusal.state),
				"the credentials in Secret %s were refused when FlexRegistration %s tried them", self.Spec.CredentialsRef.Name, refusal.by)}
		}
	}
	return nil
}

// refusal says that a FlexRegistration of the namespace tried credentials that were refused.
type refusal struct {
	by    string
	state renewal.State
	until time.Time
}

// duplicate says why a peer, and not this FlexRegistration, is the one to renew the certificate; "" if it isn't.
func duplicate(self, peer *v1alpha1.FlexRegistration, o *observation) string {
	theirs := peer.Status.Certificate
	if theirs == nil {
		return ""
	}
	name := peer.Namespace + "/" + peer.Name
	sameSecret := peer.Namespace == self.Namespace && peer.Status.SecretRef != nil &&
		peer.Status.SecretRef.Name == o.gateway.SecretName && peer.Status.SecretRef.Key == o.gateway.Key
	switch {
	case theirs.Fingerprint == o.Certificate.Fingerprint && !peer.Spec.Suspend &&
		(older(peer, self) || meta.IsStatusConditionFalse(peer.Status.Conditions, v1alpha1.ConditionRenewed) && reasonOf(peer, v1alpha1.ConditionRenewed) == v1alpha1.ReasonRenewing):
		return fmt.Sprintf("FlexRegistration %s renews the same certificate (%s): delete one of the two; several Deployments that mount one Secret need only one FlexRegistration, with spec.secretRef",
			name, o.Certificate.SerialNumber)
	case theirs.PreviousFingerprint == o.Certificate.Fingerprint && !sameSecret:
		return fmt.Sprintf("FlexRegistration %s has already renewed this certificate (%s) in another Secret: copy the registration from Secret %s, key %s, to this one",
			name, o.Certificate.SerialNumber, peer.Namespace+"/"+peer.Status.SecretRef.Name, peer.Status.SecretRef.Key)
	default:
		return ""
	}
}

// older decides between two FlexRegistrations: the one made first, then the first by name.
func older(a, b *v1alpha1.FlexRegistration) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

func reasonOf(fr *v1alpha1.FlexRegistration, condition string) string {
	if c := meta.FindStatusCondition(fr.Status.Conditions, condition); c != nil {
		return c.Reason
	}
	return ""
}
