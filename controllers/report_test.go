package controllers

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// What is not looked at, since something before it could not be read, is not told of as if there were nothing.
func TestDeploymentsThatWereNotLookedAtStayAsTheyWere(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	platform, err := simulator.Start(simulator.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(platform.Close()).To(Succeed()) })
	registered, err := platform.Register("ingress", 300*24*time.Hour)
	g.Expect(err).NotTo(HaveOccurred())
	id := metav1.ObjectMeta{Namespace: "n", Name: "ingress"}
	secret := &corev1.Secret{ObjectMeta: id, Data: map[string][]byte{registration.DefaultKey: registered.File}}
	newest, err := registration.Parse(secret.Data, registration.DefaultKey)
	g.Expect(err).NotTo(HaveOccurred())

	d := &appsv1.Deployment{ObjectMeta: id}
	d.Spec.Template.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret.Name}}}}
	fr := &v1alpha1.FlexRegistration{ObjectMeta: id}
	fr.Spec.SecretRef, fr.Spec.CredentialsRef.Name = &v1alpha1.SecretKeyReference{Name: secret.Name}, "credentials"
	rolledOut := metav1.Condition{Type: v1alpha1.ConditionRolledOut, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonComplete, Message: "as it was", LastTransitionTime: metav1.Now()}
	fr.Status.Conditions = []metav1.Condition{rolledOut}
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), fr.Spec.CredentialsRef.Name, nil)
	c := fake.NewClientBuilder().WithScheme(gateway.NewScheme()).WithStatusSubresource(fr).WithObjects(fr, secret, gateway.NewDeployment(d)).
		WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if key.Name == fr.Spec.CredentialsRef.Name {
				return forbidden
			}
			return c.Get(ctx, key, object, options...)
		}}).Build()
	record := (&gateway.Record{}).With(newest)
	record.Record = renewal.Record{}.Seen(renewal.Certificate(newest.Certificate()), "")
	g.Expect(record.Save(ctx, c, &gateway.Gateway{Namespace: "n", SecretName: secret.Name, Key: registration.DefaultKey})).To(Succeed())

	r := &Reconciler{Client: c, Cache: c, APIReader: c, Recorder: events.NewFakeRecorder(1), Clock: clocktesting.NewFakeClock(time.Now())}
	o, err := r.observe(ctx, fr.DeepCopy())
	g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	g.Expect(r.fail(ctx, o, err)).To(Equal(err))
	g.Expect(c.Get(ctx, client.ObjectKeyFromObject(fr), fr)).To(Succeed())
	g.Expect(meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonForbidden))
	g.Expect(meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionRolledOut).Message).To(Equal("as it was"))
}
