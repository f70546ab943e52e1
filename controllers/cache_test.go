package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/flexops/flex-registration-operator/controllers"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

var _ = Describe("the cache", func() {
	It("has no Secrets of Helm's releases, nor tokens of ServiceAccounts", func(ctx context.Context) {
		s := newScene(ctx, 300*24*time.Hour)
		Expect(admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "somebody"}})).To(Succeed())
		for name, kind := range map[string]corev1.SecretType{
			"opaque": corev1.SecretTypeOpaque, "typed": "example.com/any", "release": "helm.sh/release.v1", "token": corev1.SecretTypeServiceAccountToken,
		} {
			Expect(admin.Create(ctx, &corev1.Secret{Type: kind, ObjectMeta: metav1.ObjectMeta{
				Namespace: s.namespace, Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: "somebody"},
			}})).To(Succeed())
		}
		options := controllers.Scope{Namespaces: []string{s.namespace}}.CacheOptions()
		options.Scheme = gateway.NewScheme()
		has, err := cache.New(cluster.Config, options)
		Expect(err).NotTo(HaveOccurred())
		ctx, stop := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- has.Start(ctx) }()
		DeferCleanup(func() {
			stop()
			Expect(<-ended).To(Succeed())
		})
		secrets := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}}
		Eventually(func() error { return has.List(ctx, secrets) }).Should(Succeed(), "once it is started")
		var names []string
		for _, secret := range secrets.Items {
			names = append(names, secret.Name)
		}
		Expect(names).To(ContainElements("opaque", "typed"))
		Expect(names).NotTo(ContainElement(BeElementOf("release", "token")))
	})
})
