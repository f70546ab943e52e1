package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("At rest", Ordered, func() {
	// disturb is done to each request to the API server.
	var disturb atomic.Pointer[func(*http.Request)]
	BeforeAll(func() {
		operatorOptions.Transport = func(next http.RoundTripper) http.RoundTripper {
			return transport(func(r *http.Request) (*http.Response, error) {
				if f := disturb.Load(); f != nil {
					(*f)(r)
				}
				return next.RoundTrip(r)
			})
		}
		DeferCleanup(func() { operatorOptions.Transport = nil })
		asking()
	})
	disturbing := func(f func(*http.Request)) {
		disturb.Store(&f)
		DeferCleanup(func() { disturb.Store(nil) })
	}
	// whileTold does something while the status of a scene's FlexRegistration is written for the first time.
	whileTold := func(s *scene, do func()) {
		var once sync.Once
		disturbing(func(r *http.Request) {
			if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, s.namespace+"/flexregistrations/ingress/status") {
				once.Do(func() {
					defer GinkgoRecover()
					do()
				})
			}
		})
	}

	It("a gateway is looked at again for what was asked while its status was written", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.connect()
		whileTold(s, func() { s.annotateSelf(v1alpha1.AnnotationRenew, "now") })
		s.create()
		Eventually(s.renewals).Should(Equal(1))
	})

	It("a gateway is looked at again whose Secret appears while it is being told that there is none", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		secret := s.secret(operator.SecretName)
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		whileTold(s, func() { recreated(ctx, secret) })
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("tells in time that a person's approval is awaited, although no window is open yet", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.connect()
		s.fr.Spec.Renewal.Policy = v1alpha1.RenewalManual
		s.create()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		due := s.status().RenewalTime.Time
		opens := due.Add(20 * time.Hour).UTC()
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{{Schedule: fmt.Sprintf("%d %d * * *", opens.Minute(), opens.Hour()), Duration: metav1.Duration{Duration: time.Hour}}}
		})
		Eventually(func() time.Time { return s.status().RenewalTime.Time }).Should(BeTemporally(">", due))
		clk.Step(due.Add(-time.Hour).Sub(clk.Now()))
		Eventually(func() bool {
			for _, check := range s.status().Checks {
				if !check.NextTime.After(clk.Now()) {
					return false
				}
			}
			return s.condition(v1alpha1.ConditionCredentialsValid) == "True/Accepted"
		}).Should(BeTrue())
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Eventually(func() string { clk.Step(10 * time.Minute); return s.condition(v1alpha1.ConditionReady) }).WithPolling(200 * time.Millisecond).Should(Equal("True/AwaitingApproval"))
		Expect(clk.Now()).To(BeTemporally("<", opens), "before the window opens")
	})

	It("asks for the replicas when somebody has restarted them", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.connect(simulator.Replica{Name: "laptop.default", CertificateExpirationDate: s.gateway.NotAfter.Add(-time.Hour)})
		s.create()
		s.eventually(v1alpha1.ConditionPlatformVerified, "False/ReplicasOutdated")
		s.connect()
		s.edit(func(d *appsv1.Deployment) {
			metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "kubectl.kubernetes.io/restartedAt", "now")
		})
		s.eventually(v1alpha1.ConditionPlatformVerified, "True/Verified")
	})

	It("reads nothing while it waits for somebody to be free to check", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		platform.Inject(simulator.Fault{Call: simulator.CallGateway, Kind: simulator.Hang, Times: -1})
		var reads atomic.Int64
		disturbing(func(r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, s.namespace+"/secrets/") {
				reads.Add(1)
			}
		})
		var waiting []*scene
		for i := range 8 {
			one := *s
			one.fr = s.another(fmt.Sprintf("another-%d", i), 300*day)
			one.fr.Spec.CredentialsRef.Name = one.fr.Name + "-credentials"
			id, secret := platform.AddConnectedApp()
			Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: one.fr.Spec.CredentialsRef.Name}, StringData: map[string]string{"client-id": id, "client-secret": secret}})).To(Succeed())
			one.create()
			waiting = append(waiting, &one)
		}
		for _, one := range waiting {
			one.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		}
		Eventually(func() int64 { return reads.Swap(0) }).WithPolling(500 * time.Millisecond).Should(BeZero())
		for range 20 {
			clk.Step(15 * time.Second)
			Consistently(reads.Load).WithTimeout(50 * time.Millisecond).Should(BeZero())
		}
		platform.ClearFaults()
	})
})

var _ = Describe("Without checks", func() {
	It("writes once a day that only what was looked at is new, so that a restart reads nothing", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		before := s.status().Inspected
		Expect(before).NotTo(BeEmpty())
		secret := s.secret(operator.SecretName)
		metav1.SetMetaDataLabel(&secret.ObjectMeta, "somebody", "labels-it")
		Expect(admin.Update(ctx, secret)).To(Succeed())
		Consistently(func() string { return s.status().Inspected }).Should(Equal(before), "it is worth no write of its own")
		clk.Step(27 * time.Hour)
		Eventually(func() string { return s.status().Inspected }).ShouldNot(Equal(before))
	})
})
