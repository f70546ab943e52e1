package controllers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	anypointhttp "github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// asking lets the operator of the specs ask the platform over HTTP, which the one of the other specs does not.
func asking() {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "ca.crt")
	Expect(platform.WriteCA(path)).To(Succeed())
	ca, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	operatorOptions.Platform, err = anypointhttp.New(anypointhttp.Options{Hosts: operatorOptions.AnypointHosts, CA: ca, UserAgent: "test", Clock: clk})
	Expect(err).NotTo(HaveOccurred())
	restart()
	DeferCleanup(func() {
		operatorOptions.Platform = nil
		restart()
	})
}

// asked counts the requests of some calls that the platform has got.
func asked(calls ...simulator.Call) (n int) {
	for _, request := range platform.Requests() {
		for _, call := range calls {
			if request.Call == call {
				n++
			}
		}
	}
	return n
}

func tokens() int { return asked(simulator.CallToken) }

// newAskedScene is one whose gateway is in no earlier listing.
func newAskedScene(ctx context.Context, remaining time.Duration) *scene {
	GinkgoHelper()
	clk.Step(2 * time.Minute)
	return newScene(ctx, remaining)
}

// connect has the platform list the gateway's pods as replicas, with the newest certificate.
func (s *scene) connect(others ...simulator.Replica) {
	GinkgoHelper()
	for _, pod := range s.pods() {
		if pod.DeletionTimestamp.IsZero() {
			others = append(others, simulator.Replica{Name: pod.Name + "." + pod.Namespace})
		}
	}
	platform.SetReplicas(s.gateway.AgentID, others...)
}

// another is the FlexRegistration of one more gateway of the namespace, without a Deployment.
func (s *scene) another(name string, remaining time.Duration) *v1alpha1.FlexRegistration {
	GinkgoHelper()
	g, err := platform.Register(name, remaining)
	Expect(err).NotTo(HaveOccurred())
	Expect(admin.Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Data: map[string][]byte{"registration.yaml": g.File}})).To(Succeed())
	fr := operator.FlexRegistration(s.namespace, name)
	fr.Spec.TargetRef, fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: name}
	DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, fr)) })
	return fr
}

// annotateSelf sets an annotation of the FlexRegistration.
func (s *scene) annotateSelf(key, value string) {
	GinkgoHelper()
	s.change(func(fr *v1alpha1.FlexRegistration) { metav1.SetMetaDataAnnotation(&fr.ObjectMeta, key, value) })
}

// rehearse has everything checked now, and waits until that was done.
func (s *scene) rehearse() {
	GinkgoHelper()
	value := strconv.FormatInt(clk.Now().UnixNano(), 36)
	clk.Step(time.Second)
	s.annotateSelf(v1alpha1.AnnotationRehearse, value)
	Eventually(func() string { clk.Step(time.Second); return s.status().LastHandledRehearsal }).Should(Equal(value))
}

var _ = Describe("Checks", Ordered, func() {
	BeforeAll(asking)

	It("of credentials are made long before a renewal is due, once a day, and when they change", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.connect()
		s.create()
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		s.eventually(v1alpha1.ConditionPlatformVerified, "True/Verified")
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Expect(s.status().Gateway.EnvironmentID).To(Equal(platform.EnvironmentID()))
		Expect(s.status().Gateway.OrganizationID).To(Equal(platform.OrganizationID()))
		before := len(platform.Requests())
		clk.Step(23 * time.Hour)
		s.annotateSelf("a", "b")
		Consistently(func() int { return len(platform.Requests()) }).Should(Equal(before))
		restart()
		Consistently(func() int { return len(platform.Requests()) }).Should(Equal(before), "a restart asks nothing")

		By("telling that they are refused, which Ready does not depend on")
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong")})
		s.eventually(v1alpha1.ConditionCredentialsValid, "False/CredentialsRejected")
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		s.eventually(v1alpha1.ConditionPlatformVerified, "Unknown/NotChecked")
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Eventually(s.events).Should(ContainElements(
			And(HavePrefix("CredentialsRejected: "), Not(ContainSubstring("wrong"))),
			And(HavePrefix("WouldFail: "), ContainSubstring("refused the credentials"))))
		got := tokens()
		restart()
		Consistently(tokens).Should(Equal(got), "a refused credential is not tried again and again")

		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret)})
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		s.eventually(v1alpha1.ConditionPlatformVerified, "True/Verified")
		got = asked(simulator.CallGateway)
		clk.Step(27 * time.Hour)
		Eventually(func() int { return asked(simulator.CallGateway) }).Should(Equal(got + 1))
		Eventually(func() time.Time {
			for _, check := range s.status().Checks {
				if check.Type == v1alpha1.ConditionPlatformVerified {
					return check.NextTime.Time
				}
			}
			return time.Time{}
		}).Should(BeTemporally(">", clk.Now()))
	})

	It("share one token, and one listing of where gateways are", func(ctx context.Context) {
		first := newAskedScene(ctx, 300*day)
		second := newAskedScene(ctx, 300*day)
		clk.Step(2 * time.Hour) // The last listing is forgotten, and the token.
		got, listed := tokens(), asked(simulator.CallMe, simulator.CallEnvironments)
		first.create()
		second.create()
		first.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		second.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		Expect(tokens()).To(Equal(got + 1))
		Expect(asked(simulator.CallMe, simulator.CallEnvironments)).To(Equal(listed + 2))
	})

	It("are Unknown where the platform does not answer, and are repeated soon", func(ctx context.Context) {
		platform.Inject(simulator.Fault{Call: simulator.CallToken, Kind: simulator.Unavailable503, Times: -1})
		clk.Step(48 * time.Hour) // no token lives so long
		s := newAskedScene(ctx, 300*day)
		s.connect()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Eventually(func() string { clk.Step(time.Second); return s.condition(v1alpha1.ConditionCredentialsValid) }).Should(Equal("Unknown/PlatformUnavailable"))
		s.eventually(v1alpha1.ConditionRehearsed, "Unknown/Incomplete")
		platform.ClearFaults()
		clk.Step(16 * time.Minute)
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")
		s.eventually(v1alpha1.ConditionPlatformVerified, "True/Verified")
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
	})

	It("tell apart what keeps the gateway from being seen, none of which makes the credentials invalid", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		id, secret := platform.AddConnectedApp(simulator.ScopeViewOrganization)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(id), "client-secret": []byte(secret)})
		s.create()
		s.eventually(v1alpha1.ConditionCredentialsValid, "Unknown/MissingScope")
		Expect(s.message(v1alpha1.ConditionCredentialsValid)).To(ContainSubstring("Read Servers"))
		s.eventually(v1alpha1.ConditionRehearsed, "Unknown/Incomplete")

		platform.SetScopes(id, simulator.ScopeViewOrganization, simulator.ScopeReadServers)
		clk.Step(2 * time.Minute) // The listing that failed holds for one.
		s.rehearse()
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")

		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Anypoint = v1alpha1.AnypointSpec{OrganizationID: platform.OrganizationID(), EnvironmentID: "elsewhere"}
		})
		s.eventually(v1alpha1.ConditionCredentialsValid, "Unknown/GatewayNotFound")
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Anypoint = v1alpha1.AnypointSpec{OrganizationID: "nobody"}
		})
		s.eventually(v1alpha1.ConditionCredentialsValid, "Unknown/EnvironmentNotFound")
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Anypoint = v1alpha1.AnypointSpec{OrganizationID: platform.OrganizationID(), EnvironmentID: platform.EnvironmentID()}
		})
		s.eventually(v1alpha1.ConditionCredentialsValid, "True/Accepted")

		platform.DeleteGateway(s.gateway.AgentID)
		s.rehearse()
		s.eventually(v1alpha1.ConditionCredentialsValid, "Unknown/GatewayDeleted")
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))

		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		for _, kind := range []string{v1alpha1.ConditionCredentialsValid, v1alpha1.ConditionRehearsed, v1alpha1.ConditionPlatformVerified} {
			s.eventually(kind, "Unknown/Suspended")
		}
	})

	It("also tell the credentials invalid by which a renewal was refused", func(ctx context.Context) {
		s := newAskedScene(ctx, 10*day)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong-too")})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsRejected")
		s.eventually(v1alpha1.ConditionCredentialsValid, "False/CredentialsRejected")
	})

	It("wait after a rollout for the replicas, name those with the old certificate, and soon see that they are gone", func(ctx context.Context) {
		s := newAskedScene(ctx, 10*day)
		old := s.gateway.NotAfter
		s.connect()
		s.create()
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionRolledOut, "True/Complete")
		s.eventually(v1alpha1.ConditionPlatformVerified, "Unknown/AwaitingReplicas")
		pod := s.pods()[0].Name
		s.connect(
			simulator.Replica{Name: pod + ".default", ID: "x", CertificateExpirationDate: old},
			simulator.Replica{Name: "laptop.default", CertificateExpirationDate: old.Add(120 * time.Millisecond)},
			simulator.Replica{Name: "gone.default", Status: simulator.Disconnected, CertificateExpirationDate: old},
		)
		for range 6 {
			clk.Step(time.Minute)
		}
		s.eventually(v1alpha1.ConditionPlatformVerified, "False/ReplicasOutdated")
		Expect(s.message(v1alpha1.ConditionPlatformVerified)).To(And(
			ContainSubstring("2 of 4 connected replicas"), ContainSubstring(old.UTC().Format(time.RFC3339)),
			ContainSubstring("pods of this gateway: "+pod+".default"), ContainSubstring("elsewhere, started from the same registration: laptop.default")))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Eventually(s.events).Should(ContainElement(HavePrefix("ReplicasOutdated: ")))

		s.connect()
		Eventually(func() string { clk.Step(30 * time.Second); return s.condition(v1alpha1.ConditionPlatformVerified) }).WithPolling(100 * time.Millisecond).Should(Equal("True/Verified"))

		By("showing that the registration was renewed elsewhere")
		s.connect(simulator.Replica{Name: "other.default", CertificateExpirationDate: s.certificate().NotAfter.Add(time.Hour)})
		s.rehearse()
		s.eventually(v1alpha1.ConditionPlatformVerified, "False/ReplicasNewer")

		By("not taking a gateway without replicas for an alarm")
		platform.SetReplicas(s.gateway.AgentID)
		s.rehearse()
		s.eventually(v1alpha1.ConditionPlatformVerified, "Unknown/AwaitingReplicas")
	})

	It("ask soon after a rollout, however long nothing was known before", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.create() // Nothing is connected, as in Local Mode.
		s.eventually(v1alpha1.ConditionPlatformVerified, "Unknown/AwaitingReplicas")
		clk.Step(4 * day)
		s.annotateSelf(v1alpha1.AnnotationRenew, "now")
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionRolledOut, "True/Complete")
		s.connect(simulator.Replica{Name: "laptop.default", CertificateExpirationDate: s.gateway.NotAfter})
		Eventually(func() string { clk.Step(20 * time.Second); return s.condition(v1alpha1.ConditionPlatformVerified) }).WithPolling(50 * time.Millisecond).
			Should(Equal("False/ReplicasOutdated"))
		Expect(clk.Since(s.status().Rollout.CompletionTime.Time)).To(BeNumerically("<", 15*time.Minute))
	})

	It("send refused credentials once, also where a person asks about a whole fleet", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong-all")})
		var fleet []*scene
		for i := range 5 {
			one := *s
			one.fr = s.another(fmt.Sprintf("another-%d", i), 300*day)
			one.fr.Spec.Anypoint = v1alpha1.AnypointSpec{OrganizationID: platform.OrganizationID(), EnvironmentID: platform.EnvironmentID()}
			one.create()
			fleet = append(fleet, &one)
		}
		for _, one := range fleet {
			Eventually(func() string { clk.Step(time.Second); return one.condition(v1alpha1.ConditionCredentialsValid) }).Should(Equal("False/CredentialsRejected"))
		}
		got := tokens()
		for _, one := range fleet {
			one.rehearse()
		}
		Expect(tokens()).To(Equal(got))
		clk.Step(10 * time.Minute)
		for _, one := range fleet {
			one.rehearse()
		}
		Expect(tokens()).To(Equal(got + 1))
	})

	It("don't keep a renewal waiting that is due, while Anypoint does not answer", func(ctx context.Context) {
		s := newAskedScene(ctx, 10*day)
		platform.Inject(simulator.Fault{Call: simulator.CallMe, Kind: simulator.Hang, Times: -1})
		var hanging []*scene
		for i := range 6 {
			one := *s
			id, secret := platform.AddConnectedApp()
			one.fr = s.another(fmt.Sprintf("another-%d", i), 300*day)
			one.fr.Spec.CredentialsRef.Name = one.fr.Name + "-credentials"
			Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: one.fr.Spec.CredentialsRef.Name}, StringData: map[string]string{"client-id": id, "client-secret": secret}})).To(Succeed())
			one.create()
			hanging = append(hanging, &one)
		}
		for _, one := range hanging {
			one.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		}
		Eventually(func() int { return asked(simulator.CallMe) }).Should(BeNumerically(">", 0))
		s.create()
		Eventually(s.renewals).WithTimeout(10 * time.Second).Should(Equal(1))
		platform.ClearFaults()
	})
})

// policy makes an admission policy for one namespace.
func policy(ctx context.Context, s *scene, action admissionv1.ValidationAction, resources []string, groups []string, expression, message string) {
	GinkgoHelper()
	name := s.namespace + "-" + resources[0]
	p := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.OperationAll},
			Rule:       admissionv1.Rule{APIGroups: groups, APIVersions: []string{"v1"}, Resources: resources},
		}}}},
		Validations: []admissionv1.Validation{{Expression: expression, Message: message}},
	}}
	b := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{action},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.namespace}}},
	}}
	Expect(admin.Create(ctx, p)).To(Succeed())
	Expect(admin.Create(ctx, b)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(admin.Delete(ctx, b)).To(Succeed())
		Expect(admin.Delete(ctx, p)).To(Succeed())
	})
}

var _ = Describe("A rehearsal", Ordered, func() {
	BeforeAll(asking)

	// until has the rehearsal repeated until what it says is as it should be: policies take effect with some delay.
	until := func(s *scene, want string) {
		GinkgoHelper()
		Eventually(func() string { s.rehearse(); return s.condition(v1alpha1.ConditionRehearsed) }).WithPolling(200*time.Millisecond).
			Should(Equal(want), func() string { return s.message(v1alpha1.ConditionRehearsed) })
	}

	It("changes nothing, tells what would fail, and follows what it looks at", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("can't be rehearsed"))
		versions := func() []string {
			return []string{s.secret(operator.SecretName).ResourceVersion, s.secret(s.recordName()).ResourceVersion, strconv.FormatInt(s.deployment(operator.GatewayName).Generation, 10)}
		}
		before := versions()
		s.rehearse()
		Expect(versions()).To(Equal(before))

		s.edit(func(d *appsv1.Deployment) {
			d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		})
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("its strategy is Recreate"))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
		Eventually(s.events).Should(ContainElement(HavePrefix("WouldFail: ")))
		s.edit(func(d *appsv1.Deployment) {
			d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType}
		})
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")

		By("looking ahead to when the renewal is due")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = s.certificate().SerialNumber })
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("spec.pin"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin, fr.Spec.Renewal.Policy = "", v1alpha1.RenewalManual })
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("approval"))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Renewal.Policy, fr.Spec.Renewal.UrgentPolicy = "", v1alpha1.UrgentWait
			fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{{Schedule: "0 0 30 2 *", Duration: metav1.Duration{Duration: time.Hour}}}
		})
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		late := s.gateway.NotAfter.Add(20 * day).UTC()
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{{Schedule: fmt.Sprintf("0 0 %d %d *", late.Day(), int(late.Month())), Duration: metav1.Duration{Duration: 4 * time.Hour}}}
		})
		s.eventually(v1alpha1.ConditionReady, "False/NoWindowInTime")
		Expect(s.condition(v1alpha1.ConditionRehearsed)).To(Equal("False/WouldFail"))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal = v1alpha1.RenewalSpec{} })
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")

		By("writing something that differs, since what is immutable takes what it has")
		record := s.secret(s.recordName())
		record.Immutable = ptr.To(true)
		Expect(admin.Update(ctx, record)).To(Succeed())
		s.rehearse()
		s.eventually(v1alpha1.ConditionRehearsed, "False/WouldFail")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("immutable"))
	})

	It("takes no notice of the Pod Security of the gateway's own pods", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		namespace := operator.Namespace(s.namespace)
		namespace.Labels = map[string]string{"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/enforce": "baseline"}
		Expect(admin.Update(ctx, namespace)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		s.rehearse()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
	})

	It("tells who would refuse a write, in the order of the writes, and who only refuses to have it tried", func(ctx context.Context) {
		s := newAskedScene(ctx, 300*day)
		s.create()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		policy(ctx, s, admissionv1.Deny, []string{"deployments"}, []string{"apps"}, "!request.dryRun", "there are no dry runs here")
		until(s, "Unknown/Incomplete")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("rolling Deployment ingress"))

		policy(ctx, s, admissionv1.Deny, []string{"secrets"}, []string{""}, `request.userInfo.username != "`+operatorUser+`"`, "Secrets are written by people")
		until(s, "False/WouldFail")
		// The policy may have come to count between two writes.
		Eventually(func() string { s.rehearse(); return s.message(v1alpha1.ConditionRehearsed) }).WithPolling(200 * time.Millisecond).Should(MatchRegexp(
			`would fail: \(1\) storing the record: .*Secrets are written by people.*let the operator through; \(2\) writing Secret ingress-registration: .*not known is also: rolling Deployment`))
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("True/Scheduled"))
	})

	It("of a Job tells quotas, pull secrets and what the API server warns of", func(ctx context.Context) {
		jobsOperator(ctx)
		s := newAskedScene(ctx, 300*day)
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "from-the-flag"}})).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionRehearsed, "True/Passed")
		Expect(s.jobs()).To(BeEmpty())
		Expect(s.secretsOfRenewal()).To(BeEmpty())

		policy(ctx, s, admissionv1.Warn, []string{"jobs"}, []string{"batch"}, "false", "Jobs are frowned upon")
		Eventually(func() string { s.rehearse(); return s.message(v1alpha1.ConditionRehearsed) }).WithPolling(200 * time.Millisecond).Should(And(HavePrefix("a renewal would go through"), ContainSubstring("frowned upon")))

		Expect(admin.Delete(ctx, s.secret("from-the-flag"))).To(Succeed())
		s.rehearse()
		s.eventually(v1alpha1.ConditionRehearsed, "Unknown/Incomplete")
		Expect(s.message(v1alpha1.ConditionRehearsed)).To(ContainSubstring("pull secret from-the-flag does not exist"))

		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			"count/jobs.batch": resource.MustParse("0"), "limits.memory": resource.MustParse("100Mi"),
		}}}
		Expect(admin.Create(ctx, quota)).To(Succeed())
		until(s, "False/WouldFail")
		Eventually(func() string { s.rehearse(); return s.message(v1alpha1.ConditionRehearsed) }).WithPolling(200 * time.Millisecond).Should(And(
			ContainSubstring("creating Job"), ContainSubstring("exceeded quota: few, requested: count/jobs.batch=1"),
			ContainSubstring("exceeded quota: few, requested: limits.memory=512Mi")))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Flexctl.Image = "example.com/somebody/elses:1" })
		s.eventually(v1alpha1.ConditionReady, "False/FlexctlImageNotAllowed")
		Eventually(func() string { return s.message(v1alpha1.ConditionRehearsed) }).Should(ContainSubstring("spec.flexctl.image"))
	})
})
