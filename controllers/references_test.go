package controllers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// put replaces data of a Secret.
func (s *scene) put(name string, data map[string][]byte) {
	GinkgoHelper()
	Eventually(func() error {
		secret := s.secret(name)
		secret.Data = data
		return admin.Update(s.ctx, secret)
	}).Should(Succeed())
}

func (s *scene) recordName() string {
	return gateway.RecordName(operator.SecretName, registration.DefaultKey)
}

// editRecord changes the state in the record, as only a test may.
func (s *scene) editRecord(change func(map[string]any)) {
	GinkgoHelper()
	Eventually(func() error {
		record := s.secret(s.recordName())
		var state map[string]any
		Expect(json.Unmarshal(record.Data["state.json"], &state)).To(Succeed())
		change(state)
		var err error
		record.Data["state.json"], err = json.Marshal(state)
		Expect(err).NotTo(HaveOccurred())
		return admin.Update(s.ctx, record)
	}).Should(Succeed())
}

// lastWritten is when the gateway's Secret was written last, to the second.
func (s *scene) lastWritten() time.Time {
	GinkgoHelper()
	return gateway.Written(s.secret(operator.SecretName), registration.DefaultKey)
}

// recreated gives an object back to the API server.
func recreated[T client.Object](ctx context.Context, object T) {
	GinkgoHelper()
	object.SetResourceVersion("")
	object.SetUID("")
	Expect(admin.Create(ctx, object)).To(Succeed())
}

var _ = Describe("References", func() {
	It("names a missing Deployment and goes on when it appears", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		d := s.deployment(operator.GatewayName)
		Expect(admin.Delete(ctx, d)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/TargetNotFound")
		Expect(s.condition(v1alpha1.ConditionReconciling)).To(Equal("True/TargetNotFound"))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("Deployment ingress does not exist"))
		recreated(ctx, d)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("names a missing Secret and goes on when it appears, keeping what it knew", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		secret := s.secret(operator.SecretName)
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		s.eventually(v1alpha1.ConditionReady, "False/SecretNotFound")
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("Unknown/Unknown"))
		Expect(s.status().Certificate.SerialNumber).NotTo(BeEmpty())
		recreated(ctx, secret)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("names missing and incomplete credentials before they are needed, and goes on when they are there", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		credentials := s.secret(operator.CredentialsName)
		complete := credentials.Data
		Expect(admin.Delete(ctx, credentials)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsNotFound")
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("True/UpToDate"))
		credentials.Data = map[string][]byte{"client-id": []byte("x")}
		recreated(ctx, credentials)
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsIncomplete")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/CredentialsIncomplete"))
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("client-secret"))
		s.put(operator.CredentialsName, complete)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("tells that a Deployment mounts no registration", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: operator.CredentialsName}
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/VolumeNotFound")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("does not mount Secret anypoint"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.SecretRef = nil })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("tells that a registration can't be used, never its content, and goes on when it can", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		file := s.secret(operator.SecretName).Data
		s.put(operator.SecretName, map[string][]byte{"registration.yaml": {}})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RegistrationInvalid")
		Expect(s.condition(v1alpha1.ConditionStalled)).To(Equal("True/RegistrationInvalid"))
		s.put(operator.SecretName, map[string][]byte{"registration.yaml": bytes.ReplaceAll(file["registration.yaml"], []byte("tls.key: |"), []byte("tls.key: [|"))})
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("line"))
		Expect(s.message(v1alpha1.ConditionReady)).NotTo(ContainSubstring("BEGIN"))
		s.put(operator.SecretName, file)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("never gives credentials to a control plane that is not allowed", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		file := s.secret(operator.SecretName).Data["registration.yaml"]
		s.put(operator.SecretName, map[string][]byte{"registration.yaml": bytes.ReplaceAll(file, []byte(platform.URL()), []byte("https://anypoint.evil.example"))})
		platform.ResetRequests()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/AnypointHostNotAllowed")
		Expect(s.condition(v1alpha1.ConditionRenewed)).To(Equal("False/AnypointHostNotAllowed"))
		Expect(platform.Requests()).To(BeEmpty())
	})

	It("tells before a renewal that the Secret is immutable", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		secret := s.secret(operator.SecretName)
		secret.Immutable = ptr.To(true)
		Expect(admin.Update(ctx, secret)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/SecretImmutable")
	})

	It("renews a registration that is split over two keys, in a key that the volume maps", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		one, two := simulator.Split(s.gateway.File)
		s.put(operator.SecretName, map[string][]byte{"gateway": one, "certificate.yaml": two})
		Eventually(func() error {
			d := s.deployment(operator.GatewayName)
			d.Spec.Template.Spec.Volumes[0].Secret.Items = []corev1.KeyToPath{{Key: "gateway", Path: "registration.yaml"}, {Key: "certificate.yaml", Path: "certificate.yaml"}}
			return admin.Update(ctx, d)
		}).Should(Succeed())
		s.create()
		Eventually(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
		after := s.secret(operator.SecretName).Data
		Expect(after["gateway"]).To(Equal(one))
		Expect(after["certificate.yaml"]).NotTo(Equal(two))
		Expect(s.renewals()).To(Equal(1))
		Expect(s.status().SecretRef.Key).To(Equal("gateway"))
	})

	It("refuses a Secret with the record's name that it did not write", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.recordName()}, StringData: map[string]string{"theirs": "x"}}
		Expect(admin.Create(ctx, foreign)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/RecordRefused")
		Expect(s.renewals()).To(BeZero())
		Expect(s.secret(s.recordName()).Data).To(HaveKey("theirs"))
		Expect(admin.Delete(ctx, foreign)).To(Succeed())
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("rebuilds a record that was deleted, without rolling or renewing on an old request again", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "monday"}
		s.create()
		Eventually(func() string { return s.status().LastHandledRequest }).Should(Equal("monday"))
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		generation := s.deployment(operator.GatewayName).Generation
		Expect(admin.Delete(ctx, s.secret(s.recordName()))).To(Succeed())
		Eventually(func() error {
			return admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.recordName()}, &corev1.Secret{})
		}).Should(Succeed())
		Consistently(s.renewals).Should(Equal(1))
		Expect(s.deployment(operator.GatewayName).Generation).To(Equal(generation))
	})

	It("waits for a person where the record is from another cluster, also when the certificate has expired", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		var here string
		s.editRecord(func(state map[string]any) {
			here = state["cluster"].(string)
			state["cluster"] = "kube-system/00000000-0000-0000-0000-000000000000"
		})
		clk.Step(301 * day)
		s.eventually(v1alpha1.ConditionReady, "False/ClusterChanged")
		Expect(s.condition(v1alpha1.ConditionCertificateValid)).To(Equal("False/Expired"))
		Expect(s.renewals()).To(BeZero())
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring(here))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationConfirmCluster: here}
		})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		By("not needing the confirmation any more")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Annotations = nil })
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
	})

	It("removes the record thirty days after the FlexRegistration, unless it is the only copy", func(ctx context.Context) {
		unused := func(s *scene) bool {
			return bytes.Contains(s.secret(s.recordName()).Data["state.json"], []byte("unusedSince"))
		}
		s, only := newScene(ctx, 10*day), newScene(ctx, 10*day)
		for _, s := range []*scene{s, only} {
			old := s.secret(operator.SecretName).Data
			s.create()
			s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
			if s == only {
				s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true }) // It would be restored.
				s.eventually(v1alpha1.ConditionReady, "True/Suspended")
				s.put(operator.SecretName, old)
			}
			Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		}
		// The cleaner looks once a day, and may look before its cache knows that they are gone.
		Eventually(func() bool { clk.Step(25 * time.Hour); return unused(s) && unused(only) }).WithPolling(time.Second).Should(BeTrue())

		By("counting anew when it was in use in between")
		clk.Step(20 * day)
		s.fr = operator.FlexRegistration(s.namespace, operator.GatewayName)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(unused(s)).To(BeFalse())
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		Eventually(func() bool { clk.Step(25 * time.Hour); return unused(s) }).WithPolling(time.Second).Should(BeTrue())
		secret := s.secret(operator.SecretName)
		clk.Step(29 * day)
		gone := func(s *scene) bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.recordName()}, &corev1.Secret{}))
		}
		Eventually(func() bool { clk.Step(25 * time.Hour); return gone(s) }).Should(BeTrue())
		Expect(gone(only)).To(BeFalse())
		Expect(s.secret(operator.SecretName)).To(Equal(secret))
	})

	It("reaches none of the operator's own Secrets through a reference", func(ctx context.Context) {
		s := newScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		record := s.secret(s.recordName())
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, "nosy")}
		t.fr.Spec.TargetRef, t.fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: record.Name, Key: "newest.yaml"}
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/RegistrationInvalid")
		Expect(t.message(v1alpha1.ConditionReady)).To(ContainSubstring("the operator's own"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.CredentialsRef.Name = record.Name })
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsIncomplete")
		Expect(s.secret(record.Name).UID).To(Equal(record.UID))
	})

	It("leaves nothing but the record behind, and no finalizer", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		before := s.secret(operator.SecretName)
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		Eventually(func() error { return admin.Get(ctx, client.ObjectKeyFromObject(s.fr), &v1alpha1.FlexRegistration{}) }).ShouldNot(Succeed())
		Consistently(func() string { return s.secret(operator.SecretName).ResourceVersion }).Should(Equal(before.ResourceVersion))
		Expect(s.secret(s.recordName()).OwnerReferences).To(BeEmpty())

		By("making it again: nothing is renewed or rolled a second time")
		generation := s.deployment(operator.GatewayName).Generation
		s.fr = operator.FlexRegistration(s.namespace, operator.GatewayName)
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.deployment(operator.GatewayName).Generation).To(Equal(generation))
	})
})

var _ = Describe("The resource", func() {
	It("refuses what can't work, with a sentence that says what to write", func(ctx context.Context) {
		namespace := "resource"
		Expect(admin.Create(ctx, operator.Namespace(namespace))).To(Succeed())
		duration := func(s string) *metav1.Duration {
			d := &metav1.Duration{}
			Expect(json.Unmarshal([]byte(`"`+s+`"`), d)).To(Succeed())
			return d
		}
		for want, change := range map[string]func(*v1alpha1.FlexRegistration){
			"set targetRef.name to its Deployment, or secretRef.name": func(fr *v1alpha1.FlexRegistration) { fr.Spec.TargetRef = nil },
			"at most 52 characters":                                   func(fr *v1alpha1.FlexRegistration) { fr.Name = strings.Repeat("x", 53) },
			"write a duration from 1h to":                             func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Before = duration("59m") },
			"such as 720h for thirty days":                            func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Before = duration("-720h") },
			"write a duration from 10s to 24h":                        func(fr *v1alpha1.FlexRegistration) { fr.Spec.Rollout.Timeout = duration("25h") },
			"write the name of a key": func(fr *v1alpha1.FlexRegistration) {
				fr.Spec.SecretRef = &v1alpha1.SecretKeyReference{Name: "s", Key: "a b"}
			},
			"write a duration from 10m to 168h": func(fr *v1alpha1.FlexRegistration) {
				fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{{Schedule: "0 2 * * *", Duration: *duration("5m")}}
			},
			"let the freeze begin (from) before it ends (to)": func(fr *v1alpha1.FlexRegistration) {
				now := metav1.Now()
				fr.Spec.Renewal.Freezes = []v1alpha1.RenewalFreeze{{From: now, To: now}}
			},
			"write a duration from 1h to 17520h in hours, minutes and seconds, such as 72h": func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.UrgentBefore = duration("1m") },
			`"Proceed", "Wait"`:             func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.UrgentPolicy = "Sometimes" },
			`supported values: "Automatic"`: func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Policy = "Sometimes" },
			`"Never"`:                       func(fr *v1alpha1.FlexRegistration) { fr.Spec.Rollout.Policy = "Sometimes" },
			"spec.targetRef.kind":           func(fr *v1alpha1.FlexRegistration) { fr.Spec.TargetRef.Kind = "StatefulSet" },
			"set credentialsRef.name":       func(fr *v1alpha1.FlexRegistration) { fr.Spec.CredentialsRef.Name = "" },
			"write a duration up to 1h":     func(fr *v1alpha1.FlexRegistration) { fr.Spec.Rollout.Settle = duration("61m") },
			"spec.pin: Invalid value":       func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = "6F:27" },
			"spec.renewal.approve: Invalid": func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Approve = "yes" },
			"set publish.secretRef.name":    func(fr *v1alpha1.FlexRegistration) { fr.Spec.Publish.Policy = v1alpha1.PublishExternal },
		} {
			fr := operator.FlexRegistration(namespace, "refused")
			change(fr)
			Expect(admin.Create(ctx, fr)).To(MatchError(ContainSubstring(want)))
		}
	})

	It("refuses a duration that Go could not read, which would blind every reader of the resource", func(ctx context.Context) {
		for _, before := range []string{"720", "1d", "99999h99999h99999h99999h", "1e3h", "720 h", "", "1.5h"} {
			raw := []byte(`{"apiVersion":"gateway.flexops.dev/v1alpha1","kind":"FlexRegistration","metadata":{"name":"x","namespace":"default"},
				"spec":{"targetRef":{"name":"x"},"credentialsRef":{"name":"x"},"renewal":{"before":"` + before + `"}}}`)
			object := &unstructured.Unstructured{}
			Expect(json.Unmarshal(raw, object)).To(Succeed())
			Expect(admin.Create(ctx, object)).To(MatchError(ContainSubstring("spec.renewal.before: ")), before)
		}
	})
})
