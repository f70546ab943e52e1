package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// startShard runs an operator that looks after what a selector matches, as a user of its own, whose name it returns.
func startShard(selector string) (user string) {
	GinkgoHelper()
	scenes++
	o := operatorOptions
	user = fmt.Sprintf("shard-%d", scenes)
	var err error
	o.Config, err = cluster.User(user, operator.Group)
	Expect(err).NotTo(HaveOccurred())
	o.Selector, err = labels.Parse(selector)
	Expect(err).NotTo(HaveOccurred())
	shard, err := operator.Start(o)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(shard.Stop()).To(Succeed()) })
	return user
}

// requestsOf are those of a user about the Secrets of the scene's namespace, as "verb name", and the lists of records.
func (s *scene) requestsOf(user string) (secrets, records []string) {
	GinkgoHelper()
	requests, err := cluster.Requests(user, time.Time{})
	Expect(err).NotTo(HaveOccurred())
	for _, q := range requests {
		switch {
		case q.Resource != "secrets":
		case q.Namespace == s.namespace:
			secrets = append(secrets, q.Verb+" "+q.Name)
		case q.Verb == "list" && strings.Contains(q.URI, "component%3Drecord"):
			records = append(records, q.URI)
		}
	}
	return secrets, records
}

// writesOf are those of requestsOf that write.
func (s *scene) writesOf(user string) []string {
	GinkgoHelper()
	secrets, _ := s.requestsOf(user)
	return slices.DeleteFunc(secrets, func(q string) bool {
		return !slices.Contains([]string{"create", "update", "patch", "delete"}, strings.Fields(q)[0])
	})
}

var _ = Describe("Operators that share a fleet", func() {
	BeforeEach(func() {
		Expect(running.Stop()).To(Succeed())
		DeferCleanup(func() {
			var err error
			running, err = operator.Start(operatorOptions)
			Expect(err).NotTo(HaveOccurred())
		})
	})
	in := func(shard string, s *scene) *scene {
		if s.fr.Labels = nil; shard != "" {
			s.fr.Labels = map[string]string{"shard": shard}
		}
		return s
	}
	// beside is a FlexRegistration of the same gateway whose Deployment mounts another Secret with a copy of the registration.
	beside := func(s *scene) *scene {
		GinkgoHelper()
		t := &scene{ctx: s.ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, "twin")}
		Expect(admin.Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "copy"}, Data: s.secret(operator.SecretName).Data})).To(Succeed())
		Expect(admin.Create(s.ctx, operator.Deployment(s.namespace, "twin", "copy", 1))).To(Succeed())
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		return t
	}

	It("look after their own, and leave what matches none of them", func(ctx context.Context) {
		a, b := startShard("shard=a"), startShard("shard in (b,c)")
		one, two, none := in("a", newScene(ctx, 10*day)), in("b", newScene(ctx, 10*day)), in("", newScene(ctx, 10*day))
		for _, s := range []*scene{one, two, none} {
			s.create()
		}
		one.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		two.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect([]int{one.renewals(), two.renewals(), none.renewals()}).To(Equal([]int{1, 1, 0}))
		Expect(none.status()).To(Equal(v1alpha1.FlexRegistrationStatus{}))
		for user, theirs := range map[string][]*scene{a: {two, none}, b: {one, none}} {
			for _, s := range theirs {
				secrets, _ := s.requestsOf(user)
				Expect(secrets).To(BeEmpty())
			}
		}
		By("listing what others have once in a daily look, and never at rest")
		lists := func() int {
			requests, err := cluster.Requests(a, time.Time{})
			Expect(err).NotTo(HaveOccurred())
			return len(slices.DeleteFunc(requests, func(q controlplane.Request) bool {
				return q.Resource != "flexregistrations" || q.Verb != "list" || q.Namespace != one.namespace
			}))
		}
		before := lists()
		Consistently(lists).Should(Equal(before))
		clk.Step(25 * time.Hour)
		Eventually(lists).Should(Equal(before + 1))
		Consistently(lists).Should(Equal(before + 1))
	})

	It("see the duplicates of others in the same namespace, and look again once a day", func(ctx context.Context) {
		startShard("shard=a")
		b := startShard("shard=b")
		s := in("a", newScene(ctx, 300*day))
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		t := in("b", beside(s))
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		By("not sharing a record")
		same := in("b", &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, "same")})
		same.fr.Spec.TargetRef.Name = operator.GatewayName
		same.create()
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, same.fr)) })
		same.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		same.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		})
		Consistently(s.renewals).Should(BeZero())
		Expect(s.writesOf(b)).NotTo(ContainElement(ContainSubstring(s.recordName())))
		Expect(admin.Delete(ctx, same.fr)).To(Succeed())
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		clk.Step(25 * time.Hour)
		t.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("try refused credentials once", func(ctx context.Context) {
		startShard("shard=a")
		startShard("shard=b")
		s := in("a", newScene(ctx, 10*day))
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("wrong")})
		platform.ResetRequests()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsRejected")
		other, err := platform.Register("twin", 10*day)
		Expect(err).NotTo(HaveOccurred())
		t := in("b", beside(s))
		t.gateway = other
		t.put("copy", map[string][]byte{"registration.yaml": other.File})
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/CredentialsRejected")
		Expect(platform.Requests()).To(HaveLen(1))
	})

	It("renew once where a FlexRegistration goes from one to another in the middle", func(ctx context.Context) {
		a, b := startShard("shard=a"), startShard("shard=b")
		s := in("a", newScene(ctx, 10*day))
		platform.Inject(simulator.Fault{Call: simulator.CallRenew, Hook: func() {
			defer GinkgoRecover()
			s.change(func(fr *v1alpha1.FlexRegistration) { fr.Labels["shard"] = "b" })
			Eventually(func() []string { secrets, _ := s.requestsOf(b); return secrets }).Should(ContainElement("get " + s.recordName()))
		}})
		s.create()
		Eventually(func() string { clk.Step(time.Second); return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
		Expect(s.renewals()).To(Equal(1))
		Expect(s.deployment(operator.GatewayName).Generation).To(BeEquivalentTo(2))
		By("the one recording the answer that it has got, the other publishing it")
		Expect(s.writesOf(a)).To(Equal([]string{"create " + s.recordName(), "update " + s.recordName(), "update " + s.recordName()}))
		Expect(s.writesOf(b)).To(ContainElement("update " + operator.SecretName))
		By("going back and forth at rest without a request but those of watches")
		patched := func() int {
			requests, err := cluster.Requests(a, time.Time{})
			Expect(err).NotTo(HaveOccurred())
			return len(slices.DeleteFunc(requests, func(q controlplane.Request) bool { return q.Verb == "watch" || q.Namespace != s.namespace }))
		}
		before := patched()
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Labels["shard"] = "a" })
		Consistently(patched).Should(Equal(before))
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Annotations = map[string]string{v1alpha1.AnnotationRenew: "now"}
		})
		Eventually(s.renewals).Should(Equal(2))
	})

	It("leave records to the one that looks after what has no labels, and it those of others", func(ctx context.Context) {
		a, rest := startShard("shard=a"), startShard("!shard")
		s, gone := in("a", newScene(ctx, 300*day)), in("a", newScene(ctx, 300*day))
		for _, one := range []*scene{s, gone} {
			one.create()
			one.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		}
		Expect(admin.Delete(ctx, gone.fr)).To(Succeed())
		Eventually(func() []string { clk.Step(25 * time.Hour); return gone.writesOf(rest) }).WithPolling(time.Second).Should(ContainElement("update " + gone.recordName()))
		Expect(string(gone.secret(gone.recordName()).Data["state.json"])).To(ContainSubstring("unusedSince"))
		Expect(s.writesOf(rest)).To(BeEmpty())
		_, lists := s.requestsOf(a)
		Expect(lists).To(BeEmpty(), "the other one looks for records")
		By("until another layout has another FlexRegistration use it")
		gone.fr = operator.FlexRegistration(gone.namespace, operator.GatewayName)
		in("", gone).create()
		gone.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(string(gone.secret(gone.recordName()).Data["state.json"])).NotTo(ContainSubstring("unusedSince"))
	})
})

var _ = Describe("Operators that share a fleet and renew in Jobs", func() {
	It("renew once where a FlexRegistration goes from one to another while its Job runs", func(ctx context.Context) {
		kubelets := jobsOperator(ctx)
		Expect(running.Stop()).To(Succeed())
		DeferCleanup(func() {
			var err error
			running, err = operator.Start(operatorOptions)
			Expect(err).NotTo(HaveOccurred())
		})
		a, b := startShard("shard=a"), startShard("shard=b")
		release := kubelets.holdFlexctl()
		defer release()
		s := newScene(ctx, 10*day)
		s.fr.Labels = map[string]string{"shard": "a"}
		s.create()
		made := s.job()
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Labels["shard"] = "b" })
		Eventually(func() []string { secrets, _ := s.requestsOf(b); return secrets }).Should(ContainElement("get " + s.recordName()))
		before := s.writesOf(a)
		Expect(s.jobs()).To(ConsistOf(HaveField("Name", made.Name)))
		release()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.writesOf(a)).To(Equal(before), "it has let go")
		Eventually(s.jobs).Should(BeEmpty())
	})
})
