package gateway

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

const (
	publicationComponent = "publication"
	// PublicationLabel is what Secrets have that registrations are published to beside the gateway's.
	PublicationLabel = recordLabel + "=" + publicationComponent
	// publicationOf is the annotation that names the gateway's Secret and key of a publication.
	publicationOf = "gateway.flexops.dev/publication-of"
)

// generators are labels by which controllers mark the Secrets that they make without owning them.
var generators = []struct{ label, controller string }{
	{"reconcile.external-secrets.io/managed", "External Secrets"},
	{"secrets-store.csi.k8s.io/managed", "the Secrets Store CSI driver"},
	{"secrets.hashicorp.com/vso-ownerRefUID", "the Vault Secrets Operator"},
}

// Generator says which controller makes a Secret, and so overwrites what anybody else writes to it; "" where none does. A
// workload that owns a Secret only has it removed with itself.
func Generator(secret *corev1.Secret) string {
	for _, owner := range secret.OwnerReferences {
		group, _, _ := strings.Cut(owner.APIVersion, "/")
		harmless := group == "apps" || group == "batch" || group == "v1" || group == v1alpha1.GroupVersion.Group
		if !harmless && (ptr.Deref(owner.Controller, false) || owner.Kind == "SealedSecret") {
			return owner.Kind + " " + owner.Name
		}
	}
	for _, g := range generators {
		if _, has := secret.Labels[g.label]; has {
			return g.controller
		}
	}
	return ""
}

// Publication is where a FlexRegistration has renewed registrations published beside the gateway's Secret.
type Publication struct {
	SecretName, Key string
	// of names the gateway's Secret and key.
	of string
	// Published is what is there; nil where there is nothing that can be read.
	Published *registration.Registration

	secret corev1.Secret // as it was read or written last, or is to be made
}

// ReadPublication reads what is published. It says why the Secret is not for publishing; "" where it is.
func ReadPublication(ctx context.Context, r client.Reader, g *Gateway, fr *v1alpha1.FlexRegistration) (p *Publication, refused string, err error) {
	ref := fr.Spec.Publish.SecretRef
	p = &Publication{SecretName: ref.Name, Key: cmp.Or(ref.Key, g.Key), of: g.SecretName + "/" + g.Key}
	p.secret.ObjectMeta = metav1.ObjectMeta{Namespace: g.Namespace, Name: ref.Name, Labels: map[string]string{recordLabel: publicationComponent}}
	switch {
	case p.SecretName == g.SecretName:
		return p, "is the gateway's own", nil
	case strings.HasPrefix(p.SecretName, "flexreg-"):
		return p, "has a name that the operator keeps for itself", nil
	case p.Key == registration.CertificateKey:
		return p, "has the key of the second file of a registration", nil
	}
	secret := corev1.Secret{}
	err = r.Get(ctx, client.ObjectKeyFromObject(&p.secret), &secret)
	of, published := secret.Annotations[publicationOf]
	switch {
	case apierrors.IsNotFound(err):
		return p, "", nil
	case err != nil:
		return p, "", fmt.Errorf("getting Secret %s/%s, which registrations are published to: %w", g.Namespace, p.SecretName, err)
	case secret.Labels[recordLabel] != publicationComponent:
		return p, "is somebody else's", nil
	case published && of != p.of:
		return p, "is that of another gateway", nil
	}
	p.secret = secret
	p.Published, _ = registration.Parse(secret.Data, p.Key) // What can't be read is written anew.
	return p, "", nil
}

// Version is the UID and resourceVersion of the Secret; "" where there is none.
func (p *Publication) Version() string { return Version(&p.secret) }

// Publish writes the gateway's registration file, with the certificate and key of the newest registration in the place of
// those that the gateway's Secret holds, for somebody to carry it on.
func (p *Publication) Publish(ctx context.Context, w client.Writer, from *corev1.Secret, key string, newest *registration.Registration) error {
	id := client.ObjectKeyFromObject(&p.secret)
	merged, err := registration.Merge(from.Data, key, newest)
	if err != nil {
		return fmt.Errorf("merging the renewed registration for Secret %s: %w", id, err)
	}
	secret := p.secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, publicationOf, p.of)
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[p.Key] = merged[key]
	delete(secret.Data, registration.CertificateKey)
	if _, err = registration.Parse(secret.Data, p.Key); err != nil { // It is split over two files.
		secret.Data[registration.CertificateKey] = merged[registration.CertificateKey]
		_, err = registration.Parse(secret.Data, p.Key)
	}
	if err == nil {
		err = write(ctx, w, secret)
	}
	if err != nil {
		return fmt.Errorf("publishing the renewed registration to Secret %s: %w", id, err)
	}
	p.secret = *secret
	p.Published, err = readBack(secret, p.Key, newest)
	return err
}
