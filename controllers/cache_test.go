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
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("the cache", func() {
	It("has no Secrets of Helm's releases, of which there are ten for each", func(ctx context.Context) {
		s := newScene(ctx, 300*24*time.Hour)
		for name, kind := range map[string]corev1.SecretType{"opaque": corev1.SecretTypeOpaque, "typed": "example.com/any", "release": "helm.sh/release.v1"} {
			Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Type: kind})).To(Succeed())
		}
		options := controllers.Scope{Namespaces: []string{s.namespace}}.CacheOptions()
		options.Scheme = operator.Scheme()
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
		Expect(names).NotTo(ContainElement("release"))
	})
})
