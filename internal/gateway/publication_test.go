package gateway

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/registrations"
)

// A webhook may put something else in the place of what is published, or nothing.
func TestWhatIsPublishedIsReadBack(t *testing.T) {
	newest, another := registrations.New(t), registrations.New(t)
	for name, c := range map[string]struct {
		stores []byte
		says   string
	}{
		"as it is": {newest.Marshal(), ""},
		"another":  {another.Marshal(), "something has replaced the registration"},
		"nothing":  {nil, "reading the registration in Secret gateway/published back"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			api := interceptor.NewClient(fake.NewClientBuilder().WithScheme(NewScheme()).Build(), interceptor.Funcs{
				Create: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.CreateOption) error {
					o.(*corev1.Secret).Data[registration.DefaultKey] = c.stores //nolint:forcetypeassert // It is what is published.
					return api.Create(ctx, o, options...)
				},
			})
			of := &Gateway{Namespace: "gateway", SecretName: "s", Key: registration.DefaultKey}
			fr := &v1alpha1.FlexRegistration{Spec: v1alpha1.FlexRegistrationSpec{Publish: v1alpha1.PublishSpec{SecretRef: &v1alpha1.SecretKeyReference{Name: "published"}}}}
			p, refused, err := ReadPublication(t.Context(), api, of, fr)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(refused).To(BeEmpty())
			from := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "s"}, Data: map[string][]byte{registration.DefaultKey: newest.Marshal()}}
			err = p.Publish(t.Context(), api, from, of.Key, newest)
			if c.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.says)))
				g.Expect(p.Published).To(BeNil())
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(p.Published.Certificate().Fingerprint).To(Equal(newest.Certificate().Fingerprint))
		})
	}
}
