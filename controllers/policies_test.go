package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

var _ = Describe("Policy Manual", func() {
	manual := func(s *scene) { s.fr.Spec.Renewal.Policy = v1alpha1.RenewalManual }

	It("waits for the approval of this certificate, in the spec", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		manual(s)
		old := s.certificate().SerialNumber
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/AwaitingApproval")
		Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("to "+old), ContainSubstring("the pods of Deployment ingress are replaced")))
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("False/AwaitingApproval"))
		Eventually(s.events).Should(ContainElement(HavePrefix("AwaitingApproval: ")))

		By("refusing the approval of another certificate")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Approve = "ABC123" })
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("what was approved is another certificate: ABC123"))

		By("waiting also when it is urgent, and saying that somebody must act")
		clk.Step(9 * day)
		s.eventually(v1alpha1.ConditionReady, "False/AwaitingApproval")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/AwaitingApproval"))
		clk.Step(2 * day)
		s.eventually(v1alpha1.ConditionCertificateValid, "False/Expired")
		Consistently(s.renewals).Should(BeZero())

		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Approve = strings.ToLower(old) })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.certificate().SerialNumber).NotTo(Equal(old))
	})

	It("takes the approval by annotation, for one certificate only", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		manual(s)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/AwaitingApproval")
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationApprove: s.certificate().SerialNumber}
		})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Annotations[v1alpha1.AnnotationRenew] = "now" })
		s.eventually(v1alpha1.ConditionReady, "True/AwaitingApproval")
		Expect(s.renewals()).To(Equal(1))
	})
})

var _ = Describe("Policy Follow", func() {
	It("needs no credentials, rolls what arrives, warns where nothing does, and competes with nobody", func(ctx context.Context) {
		renewing := newScene(ctx, 10*day)
		copied := newScene(ctx, 300*day)
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": renewing.gateway.File})
		copied.fr.Spec.Renewal.Policy, copied.fr.Spec.CredentialsRef = v1alpha1.RenewalFollow, v1alpha1.LocalReference{}
		copied.create()
		copied.eventually(v1alpha1.ConditionReady, "True/Following")
		renewing.create()
		renewing.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(renewing.renewals()).To(Equal(1))
		Expect(copied.condition(v1alpha1.ConditionReady)).To(Equal("True/Following"))

		By("carrying it over, as docs/policies.md says")
		file := renewing.secret(operator.SecretName).Data["registration.yaml"]
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": file})
		copied.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(copied.rolledTo()).To(Equal(copied.certificate().Fingerprint + "-1"))

		By("telling, and not restoring, an older one that is put back")
		written := copied.lastWritten()
		Eventually(time.Now).Should(BeTemporally(">", written.Add(time.Second)))
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": renewing.gateway.File})
		copied.eventually(v1alpha1.ConditionReady, "False/Reverted")
		Consistently(func() string { return copied.certificate().Fingerprint }).Should(Equal(renewing.gateway.Fingerprint))
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": file})
		copied.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		By("warning before it is too late")
		clk.SetTime(copied.certificate().NotAfter.Add(-72*time.Hour + time.Minute))
		copied.eventually(v1alpha1.ConditionReady, "False/Following")
		Expect(renewing.renewals()).To(BeNumerically(">=", 1))
	})

	It("leaves a Secret to the one that renews, whoever was first, and never acts beside it", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, operator.GatewayName)}
		t.fr.Name = "green"
		t.fr.Spec.Renewal.Policy = v1alpha1.RenewalFollow
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		t.create()
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = s.certificate().SerialNumber })
		s.eventually(v1alpha1.ConditionReady, "True/Pinned")
		Consistently(func() int { return len(s.status().History) }).Should(Equal(1))
		Expect(s.rolledTo()).To(BeEmpty())
	})

	It("does not keep the one that renews from restoring what was put back there", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.secret(operator.SecretName).Data
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		newest := s.certificate()
		copied := newScene(ctx, 300*day)
		copied.put(operator.SecretName, map[string][]byte{"registration.yaml": s.gateway.File})
		copied.fr.Spec.Renewal.Policy, copied.fr.Spec.CredentialsRef = v1alpha1.RenewalFollow, v1alpha1.LocalReference{}
		copied.create()
		copied.eventually(v1alpha1.ConditionReady, "True/Following")
		copied.put(operator.SecretName, s.secret(operator.SecretName).Data)
		copied.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		s.put(operator.SecretName, old)
		Eventually(s.certificate).Should(Equal(newest))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("is refused without credentials where it renews", func(ctx context.Context) {
		fr := operator.FlexRegistration("default", "bare")
		fr.Spec.CredentialsRef = v1alpha1.LocalReference{}
		Expect(admin.Create(ctx, fr)).To(MatchError(ContainSubstring("set credentialsRef.name")))
	})
})

var _ = Describe("Policy External", func() {
	// externalSecrets makes the gateway's Secret from a source, as External Secrets does at each refresh.
	type externalSecrets struct {
		*scene
		source []byte
	}
	refresh := func(e *externalSecrets) {
		GinkgoHelper()
		secret := &corev1.Secret{}
		Expect(admin.Get(e.ctx, client.ObjectKey{Namespace: e.namespace, Name: operator.SecretName}, secret)).To(Succeed())
		secret.Data = map[string][]byte{"registration.yaml": e.source}
		secret.Labels = map[string]string{"reconcile.external-secrets.io/managed": "true"}
		secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "registration", UID: types.UID("1"), Controller: ptr.To(true)}}
		Expect(admin.Update(e.ctx, secret, client.FieldOwner("external-secrets"))).To(Succeed())
	}
	externalScene := func(ctx context.Context) *externalSecrets {
		GinkgoHelper()
		e := &externalSecrets{scene: newScene(ctx, 10*day)}
		e.source = e.gateway.File
		refresh(e)
		return e
	}
	published := func(e *externalSecrets) registration.Certificate {
		GinkgoHelper()
		r, err := registration.Parse(e.secret("renewed").Data, registration.DefaultKey)
		Expect(err).NotTo(HaveOccurred())
		return r.Certificate()
	}

	// publishedScene has a renewed registration published for somebody to carry.
	elsewhere := v1alpha1.PublishSpec{Policy: v1alpha1.PublishExternal, SecretRef: &v1alpha1.SecretKeyReference{Name: "renewed"}}
	publishedScene := func(ctx context.Context) *externalSecrets {
		GinkgoHelper()
		e := externalScene(ctx)
		e.fr.Spec.Publish = *elsewhere.DeepCopy()
		e.create()
		e.eventually(v1alpha1.ConditionReady, "True/AwaitingSync")
		return e
	}

	It("recognises that another controller makes the Secret before anything is renewed, and what to do about it", func(ctx context.Context) {
		e := externalScene(ctx)
		e.create()
		e.eventually(v1alpha1.ConditionReady, "False/SecretGenerated")
		Expect(e.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("ExternalSecret registration"), ContainSubstring("spec.publish.policy to External")))
		Consistently(e.renewals).Should(BeZero())
	})

	It("publishes for somebody to carry, never writes the gateway's Secret, and rolls what arrives", func(ctx context.Context) {
		e := publishedScene(ctx)
		renewed := published(e)
		Expect(renewed).NotTo(Equal(e.certificate()))
		Expect(e.secret("renewed").Labels).To(HaveLen(1), "nothing that a GitOps controller would prune it for")
		Expect(e.secret("renewed").OwnerReferences).To(BeEmpty())
		Expect(e.secret("renewed").Annotations).To(Equal(map[string]string{"gateway.flexops.dev/publication-of": operator.SecretName + "/registration.yaml"}))

		By("refreshing from the old source, again and again, which nobody fights")
		for range 3 {
			refresh(e)
			Consistently(func() string { return e.condition(v1alpha1.ConditionReady) }).WithTimeout(200 * time.Millisecond).Should(Equal("True/AwaitingSync"))
		}
		Expect(e.rolledTo()).To(BeEmpty())
		restart()
		By("being published again where it is lost before it was carried")
		Expect(admin.Delete(ctx, e.secret("renewed"))).To(Succeed())
		Eventually(func() error {
			return admin.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: "renewed"}, &corev1.Secret{})
		}).Should(Succeed())
		Expect(published(e)).To(Equal(renewed))

		By("arriving")
		e.source = e.secret("renewed").Data["registration.yaml"]
		refresh(e)
		e.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(e.rolledTo()).To(Equal(renewed.Fingerprint + "-1"))
		Expect(e.renewals()).To(Equal(1))

		By("being put back at its source, which is told, not fought")
		newest := e.source
		e.source = e.gateway.File
		refresh(e)
		Eventually(func() string { return e.condition(v1alpha1.ConditionReady) }).Should(HaveSuffix("/AwaitingSync"))
		Consistently(func() string { return e.certificate().Fingerprint }).Should(Equal(e.gateway.Fingerprint))
		e.source = newest
		refresh(e)
		e.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		for _, entry := range e.secret(operator.SecretName).ManagedFields {
			Expect(entry.Manager).NotTo(Equal(string(gateway.FieldOwner)))
		}
		Expect(e.renewals()).To(Equal(1))
	})

	It("publishes no registration that is not desired any more", func(ctx context.Context) {
		e := publishedScene(ctx)
		By("registering the gateway anew at its source")
		anew, err := platform.Register("anew", 400*day)
		Expect(err).NotTo(HaveOccurred())
		e.source = anew.File
		refresh(e)
		Eventually(func() string { return published(e).Fingerprint }).Should(Equal(anew.Fingerprint))
		e.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("does not mix up two gateways that name one Secret", func(ctx context.Context) {
		e := publishedScene(ctx)
		theirs := published(e)
		other, err := platform.Register("other", 10*day)
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "other"}, Data: map[string][]byte{"registration.yaml": other.File}})).To(Succeed())
		Expect(admin.Create(ctx, operator.Deployment(e.namespace, "other", "other", 1))).To(Succeed())
		t := &scene{ctx: ctx, namespace: e.namespace, gateway: other, fr: operator.FlexRegistration(e.namespace, "other")}
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		t.fr.Spec.Publish = e.fr.Spec.Publish
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/PublicationRefused")
		Expect(t.message(v1alpha1.ConditionReady)).To(ContainSubstring("is that of another gateway"))
		Expect(published(e)).To(Equal(theirs))
		Expect(t.renewals()).To(BeZero())
	})

	It("is not needed where somebody says that the Secret is written directly all the same", func(ctx context.Context) {
		e := externalScene(ctx)
		e.fr.Spec.Publish = v1alpha1.PublishSpec{Policy: v1alpha1.PublishDirect}
		e.create()
		e.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(e.renewals()).To(Equal(1))
	})

	It("touches no Secret that is somebody else's", func(ctx context.Context) {
		e := externalScene(ctx)
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "renewed"}, Data: map[string][]byte{"password": []byte("x")}})).To(Succeed())
		e.fr.Spec.Publish = *elsewhere.DeepCopy()
		e.create()
		e.eventually(v1alpha1.ConditionReady, "False/PublicationRefused")
		e.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Publish.SecretRef.Name = operator.SecretName })
		Eventually(func() string { return e.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("is the gateway's own"))
		Expect(e.renewals()).To(BeZero())
		By("taking one that an administrator has made for it")
		e.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Publish.SecretRef.Name = "renewed" })
		secret := e.secret("renewed")
		secret.Labels = map[string]string{"gateway.flexops.dev/component": "publication"}
		Expect(admin.Update(ctx, secret)).To(Succeed())
		e.eventually(v1alpha1.ConditionReady, "True/AwaitingSync")
		Expect(e.secret("renewed").Data).To(HaveKeyWithValue("password", []byte("x")))
	})
})

var _ = Describe("An operator that only observes", func() {
	It("inspects and warns, with no right to write but the status", func(ctx context.Context) {
		Expect(running.Stop()).To(Succeed())
		DeferCleanup(func() {
			var err error
			running, err = operator.Start(operatorOptions)
			Expect(err).NotTo(HaveOccurred())
		})
		due, quiet := newScene(ctx, 10*day), newScene(ctx, 300*day)
		Expect(operator.GrantTo(ctx, admin, "observers", filepath.Join("..", "config", "rbac", "observe-only", "role.yaml"))).To(Succeed())
		user, err := cluster.User("observer", "observers")
		Expect(err).NotTo(HaveOccurred())
		options := operatorOptions
		options.Config, options.ObserveOnly = user, true
		observer, err := operator.Start(options)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(observer.Stop()).To(Succeed()) })

		began := time.Now()
		due.create()
		quiet.create()
		due.eventually(v1alpha1.ConditionReady, "False/Observing")
		quiet.eventually(v1alpha1.ConditionReady, "True/Observing")
		Expect(due.status().Certificate.Fingerprint).To(Equal(due.gateway.Fingerprint))
		due.put(operator.SecretName, map[string][]byte{"registration.yaml": []byte("not one")})
		due.eventually(v1alpha1.ConditionReady, "False/RegistrationInvalid")
		clk.Step(10 * day)
		quiet.put(operator.SecretName, map[string][]byte{"registration.yaml": due.gateway.File})
		quiet.eventually(v1alpha1.ConditionReady, "False/Observing")
		Expect(due.renewals() + quiet.renewals()).To(BeZero())
		Expect(due.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(1))
		requests, err := cluster.Requests("observer", began)
		Expect(err).NotTo(HaveOccurred())
		for _, r := range requests {
			Expect(r.Verb == "get" || r.Verb == "list" || r.Verb == "watch" || strings.Contains(r.URI, "/status")).To(BeTrue(), "%s %s", r.Verb, r.URI)
		}
	})
})

var _ = Describe("History", func() {
	It("tells the last renewals and rollouts, why and by whom, and logs each once", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		first := s.certificate().SerialNumber
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		second := s.certificate().SerialNumber
		clk.Step(time.Minute)
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "ticket 7"}
		})
		Eventually(s.renewals).Should(Equal(2))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		third := s.certificate().SerialNumber
		s.renewByHand()
		fourth := s.certificate().SerialNumber
		Eventually(func() string { return s.status().Certificate.SerialNumber }).Should(Equal(s.certificate().SerialNumber))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		var told []string
		for _, e := range s.status().History {
			told = append(told, fmt.Sprintf("%s %s %s>%s %s", e.Action, e.Cause, e.From, e.To, e.Outcome))
			Expect(e.Time.Time).To(BeTemporally("~", clk.Now(), 2*time.Minute))
		}
		Expect(told).To(HaveLen(6))
		Expect(told).To(HaveExactElements(
			"Renewal Due "+first+">"+second+" Succeeded", "Rollout  "+first+">"+second+" Succeeded",
			"Renewal Requested: ticket 7 "+second+">"+third+" Succeeded", "Rollout  "+second+">"+third+" Succeeded",
			HavePrefix("Adoption "), "Rollout  "+third+">"+fourth+" Succeeded",
		))
		audited := map[string]int{}
		for line := range strings.Lines(logs.String()) {
			var l struct{ Logger, Namespace, Msg, From, To, Outcome, Cause string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Namespace == s.namespace && strings.HasSuffix(l.Logger, "audit") {
				audited[l.Msg+" "+l.Cause+" "+l.From+">"+l.To+" "+l.Outcome]++
			}
		}
		for _, line := range told {
			Expect(audited).To(HaveKeyWithValue(line, 1))
		}
		Expect(audited).To(HaveLen(6))
	})
})

var _ = Describe("Objects of the operator", func() {
	It("carry nothing by which a GitOps controller takes them for its own", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		tracking := map[string]string{"argocd.argoproj.io/instance": "gateways", "app.kubernetes.io/instance": "gateways", "kustomize.toolkit.fluxcd.io/name": "gateways"}
		s.fr.Labels = tracking
		s.fr.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "gateways:gateway.flexops.dev/FlexRegistration:gateway/ingress"}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		record := s.secret(s.recordName())
		Expect(record.Labels).To(Equal(map[string]string{"gateway.flexops.dev/component": "record"}))
		Expect(record.Annotations).To(BeEmpty())
		Expect(record.OwnerReferences).To(BeEmpty())
	})
})
