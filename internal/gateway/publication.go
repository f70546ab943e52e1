package gateway

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

const (
	publicationComponent = "publication"
	// PublicationLabel is what Secrets have that registrations are published to beside the gateway's.
	PublicationLabel = recordLabel + "=" + publicationComponent
)

// Generator says which controller makes a Secret, and so overwrites what anybody else writes to it; "" where none does.
func Generator(secret *corev1.Secret) string {
	if owner := metav1.GetControllerOf(secret); owner != nil {
		return owner.Kind + " " + owner.Name
	}
	for label, name := range map[string]string{"reconcile.external-secrets.io/managed": "External Secrets", "secrets-store.csi.k8s.io/managed": "the Secrets Store CSI driver"} {
		if secret.Labels[label] == "true" {
			return name
		}
	}
	if i := slices.IndexFunc(secret.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "SealedSecret" }); i >= 0 {
		return "SealedSecret " + secret.OwnerReferences[i].Name
	}
	return ""
}

// Publication is where a FlexRegistration has renewed registrations published beside the gateway's Secret.
func (g *Gateway) Publication(fr *v1alpha1.FlexRegistration) *Gateway {
	at := &Gateway{Namespace: g.Namespace, SecretName: fr.Spec.Publish.SecretRef.Name, Key: fr.Spec.Publish.SecretRef.Key}
	if at.Key == "" {
		at.Key = g.Key
	}
	return at
}

// ReadPublication reads what is published; nil where there is nothing that can be read. It returns false where the Secret is
// not for publishing.
func ReadPublication(ctx context.Context, r client.Reader, at *Gateway) (published *registration.Registration, ours bool, err error) {
	secret := &corev1.Secret{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: at.Namespace, Name: at.SecretName}, secret); apierrors.IsNotFound(err) {
		return nil, true, nil
	} else if err != nil {
		return nil, false, fmt.Errorf("getting Secret %s/%s, which registrations are published to: %w", at.Namespace, at.SecretName, err)
	}
	if secret.Labels[recordLabel] != publicationComponent {
		return nil, false, nil
	}
	published, err = registration.Parse(secret.Data, at.Key)
	if err != nil {
		return nil, true, nil //nolint:nilerr // It is written anew.
	}
	return published, true, nil
}

// PublishTo writes the gateway's registration file, with the certificate and key of the newest registration in the place of
// those that the gateway's Secret holds, to another Secret, for somebody to carry it on.
func PublishTo(ctx context.Context, w client.Writer, r client.Reader, at *Gateway, of *corev1.Secret, key string, newest *registration.Registration) error {
	id := at.Namespace + "/" + at.SecretName
	merged, err := registration.Merge(of.Data, key, newest)
	if err != nil {
		return fmt.Errorf("merging the renewed registration for Secret %s: %w", id, err)
	}
	secret := &corev1.Secret{}
	err = r.Get(ctx, client.ObjectKey{Namespace: at.Namespace, Name: at.SecretName}, secret)
	missing := apierrors.IsNotFound(err)
	switch {
	case missing:
		secret.Namespace, secret.Name, secret.Labels = at.Namespace, at.SecretName, map[string]string{recordLabel: publicationComponent}
	case err != nil:
		return fmt.Errorf("getting Secret %s, which registrations are published to: %w", id, err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[at.Key] = merged[key]
	if split, ok := merged[registration.CertificateKey]; ok && key != registration.CertificateKey {
		secret.Data[registration.CertificateKey] = split
	}
	if missing {
		err = w.Create(ctx, secret, FieldOwner)
	} else {
		err = w.Update(ctx, secret, FieldOwner)
	}
	if err != nil {
		return fmt.Errorf("publishing the renewed registration to Secret %s: %w", id, err)
	}
	return nil
}
