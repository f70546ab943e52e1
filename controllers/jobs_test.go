package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/kubelet"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	operatorImage = "flex-registration-operator:test"
	gatewayImage  = "mulesoft/flex-gateway:1.8.0" // that of operator.Deployment
	oldImage      = "mulesoft/flex-gateway:0.9.0"
)

// pods plays the kubelet for renewal Jobs. hold, where set, keeps containers from starting.
type pods struct {
	*kubelet.Kubelet
	mu   sync.Mutex
	hold func(ctx context.Context, pod *corev1.Pod, container string)
}

func (p *pods) holding(hold func(ctx context.Context, pod *corev1.Pod, container string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hold
}

// holdFlexctl keeps flexctl from being run until the returned function is called.
func (p *pods) holdFlexctl() (release func()) {
	released := make(chan struct{})
	p.holding(func(ctx context.Context, _ *corev1.Pod, container string) {
		if container != "flexctl" {
			return
		}
		select {
		case <-released:
		case <-ctx.Done():
		}
	})
	return sync.OnceFunc(func() { close(released) })
}

// jobsOperator replaces the suite's operator by one that renews in Jobs.
func jobsOperator(ctx context.Context) *pods {
	GinkgoHelper()
	directory := GinkgoT().TempDir()
	for _, program := range []string{".", "./cmd/flexctl-runner"} {
		command := exec.CommandContext(ctx, "go", "build", "-o", directory+string(filepath.Separator), program)
		command.Dir = ".."
		output, err := command.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(output))
	}
	manager := filepath.Join(directory, "flex-registration-operator")
	runner := filepath.Join(directory, "flexctl-runner")
	flexctl, err := simulator.BuildFlexctl(directory)
	Expect(err).NotTo(HaveOccurred())
	old := filepath.Join(directory, "old-flexctl")
	Expect(os.WriteFile(old, []byte("#!/bin/sh\necho '[flexctl][error] unknown command \"renew\" for \"flexctl registration\"' >&2\nexit 1\n"), 0o755)).To(Succeed())

	p := &pods{}
	p.Kubelet, err = kubelet.Start(context.WithoutCancel(ctx), kubelet.Options{
		Config: cluster.Config, Directory: GinkgoT().TempDir(), Log: GinkgoWriter,
		Images: map[string]kubelet.Image{
			operatorImage: {Programs: map[string]string{"/manager": manager, "/flexctl-runner": runner}},
			gatewayImage:  {Programs: map[string]string{"flexctl": flexctl}},
			oldImage:      {Programs: map[string]string{"flexctl": old}},
		},
		Hold: func(ctx context.Context, pod *corev1.Pod, container string) {
			p.mu.Lock()
			hold := p.hold
			p.mu.Unlock()
			if hold != nil {
				hold(ctx, pod, container)
			}
		},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(p.Stop)

	bundle := filepath.Join(directory, "ca.crt")
	Expect(platform.WriteCA(bundle)).To(Succeed())
	ca, err := os.ReadFile(bundle)
	Expect(err).NotTo(HaveOccurred())
	execOptions := operatorOptions
	DeferCleanup(func() {
		operatorOptions = execOptions
		restart()
	})
	operatorOptions.Renewer = nil
	operatorOptions.Jobs = &job.Config{
		OperatorImage: operatorImage, Hosts: []string{platform.Host()}, ManageRBAC: true,
		Images: []string{"registry.example.com/mirror/*"}, PullSecrets: []string{"from-the-flag"}, Labels: map[string]string{"egress": "anypoint"},
		Network: anypoint.Network{CABundle: ca, Proxy: map[string]string{"NO_PROXY": "127.0.0.1"}},
	}
	restart()
	return p
}

// jobs are the scene's, the newest first.
func (s *scene) jobs() []batchv1.Job {
	GinkgoHelper()
	var list batchv1.JobList
	Expect(admin.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	slices.SortFunc(list.Items, func(a, b batchv1.Job) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	return list.Items
}

// withinAMinute steps the clock until a Job is told to wait.
func withinAMinute(s *scene) {
	GinkgoHelper()
	began := clk.Now()
	Eventually(func() string {
		if clk.Since(began) < time.Minute {
			clk.Step(time.Second)
		}
		return s.condition(v1alpha1.ConditionReady)
	}).Should(Equal("True/JobPending"))
}

// job waits for one.
func (s *scene) job() *batchv1.Job {
	GinkgoHelper()
	Eventually(s.jobs).Should(HaveLen(1), func() string { return fmt.Sprintf("status: %+v", s.status()) })
	return &s.jobs()[0]
}

// pod waits for that of a Job.
func (s *scene) pod(j *batchv1.Job) *corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Eventually(func() ([]corev1.Pod, error) {
		err := admin.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{batchv1.JobNameLabel: j.Name})
		return list.Items, err
	}).Should(HaveLen(1))
	return &list.Items[0]
}

// secretsOfRenewal names those that a renewal makes and removes.
func (s *scene) secretsOfRenewal() []string {
	GinkgoHelper()
	var list corev1.SecretList
	Expect(admin.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	var names []string
	for _, secret := range list.Items {
		if secret.Type == job.AttemptType || secret.Type == job.HandoffType {
			names = append(names, secret.Name)
		}
	}
	return names
}

var _ = Describe("Renewing in Jobs", Ordered, ContinueOnFailure, func() {
	var kubelets *pods
	var execRenewer anypoint.Renewer

	BeforeAll(func(ctx context.Context) {
		execRenewer = operatorOptions.Renewer
		kubelets = jobsOperator(ctx)
	})
	AfterEach(func() { kubelets.holding(nil) })

	It("renews in a Job, rolls the gateway and leaves nothing but the right to hand over", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.certificate()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.certificate().NewerThan(old)).To(BeTrue())
		Expect(s.deployment(operator.GatewayName).Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRegistration, s.certificate().Fingerprint+"-1"))
		Eventually(s.secretsOfRenewal).Should(BeEmpty())
		Eventually(s.jobs).Should(BeEmpty())

		By("owning the rights, so that they go with the FlexRegistration")
		for _, object := range []client.Object{&corev1.ServiceAccount{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}} {
			Expect(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: job.HandoffName(s.fr.Name)}, object)).To(Succeed())
			Expect(object.GetOwnerReferences()).To(ConsistOf(And(HaveField("Kind", "FlexRegistration"), HaveField("UID", s.fr.UID))))
		}
	})

	It("makes a pod that fits where gateways run, and shows no secret", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		namespace := operator.Namespace(s.namespace)
		Expect(admin.Patch(ctx, namespace, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)))).To(Succeed())
		Expect(admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "gateways"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "of-the-account"}}})).To(Succeed())
		d := s.deployment(operator.GatewayName)
		d.Spec.Paused = true // Its pods are not what this is about.
		template := &d.Spec.Template.Spec
		template.ServiceAccountName = "gateways"
		template.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "of-the-pod"}}
		template.Tolerations = []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists}}
		template.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"}
		template.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"anypoint.example.com"}}}
		template.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](4711), RunAsNonRoot: ptr.To(true)}
		Expect(admin.Update(ctx, d)).To(Succeed())
		node := &corev1.NodeList{}
		Expect(admin.List(ctx, node)).To(Succeed())
		Expect(admin.Patch(ctx, &node.Items[0], client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"kubernetes.io/os":"linux"}}}`)))).To(Succeed())

		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		made := s.job()
		pod := s.pod(made)
		Expect(pod.Spec.NodeSelector).To(Equal(template.NodeSelector))
		Expect(pod.Spec.Tolerations).To(ContainElement(template.Tolerations[0]))
		Expect(pod.Spec.HostAliases).To(Equal(template.HostAliases))
		Expect(pod.Spec.ImagePullSecrets).To(ConsistOf(corev1.LocalObjectReference{Name: "of-the-pod"}, corev1.LocalObjectReference{Name: "of-the-account"}, corev1.LocalObjectReference{Name: "from-the-flag"}))
		Expect(pod.Spec.SecurityContext.RunAsUser).To(HaveValue(BeEquivalentTo(4711)))
		Expect(pod.Spec.InitContainers).To(HaveLen(2))
		Expect(pod.Spec.InitContainers[1].Image).To(Equal(gatewayImage))
		Expect(pod.Spec.Containers[0].Image).To(Equal(operatorImage))

		By("staying away from the gateway's Service and from service meshes")
		Expect(pod.Labels).To(And(HaveKeyWithValue("egress", "anypoint"), HaveKeyWithValue("sidecar.istio.io/inject", "false")))
		Expect(pod.Annotations).To(HaveKeyWithValue("linkerd.io/inject", "disabled"))
		for key := range d.Spec.Selector.MatchLabels {
			Expect(pod.Labels).NotTo(HaveKey(key))
		}

		By("mounting a token, and secrets, only where they are needed")
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			mounts := func(name string) bool {
				return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
			}
			Expect(mounts("access")).To(Equal(c.Name == "prepare" || c.Name == "handoff"), c.Name)
			Expect(mounts("attempt")).To(Equal(c.Name == "flexctl"), c.Name)
			Expect(c.Resources.Limits).To(HaveKey(corev1.ResourceMemory))
			Expect(c.Resources.Requests).To(HaveKey(corev1.ResourceCPU))
		}
		for _, v := range pod.Spec.Volumes {
			Expect(v.EmptyDir == nil || v.EmptyDir.Medium == corev1.StorageMediumMemory).To(BeTrue(), v.Name)
		}
		for _, object := range []any{made, pod} {
			encoded, err := json.Marshal(object)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(encoded)).NotTo(Or(ContainSubstring(appSecret), ContainSubstring(appID), ContainSubstring("PRIVATE KEY")))
		}
		release()
		Eventually(s.renewals).Should(Equal(1))
		s.eventually(v1alpha1.ConditionRenewed, "True/UpToDate")
	})

	It("lets the pod update its handoff Secret and nothing else, and pull what the gateway's pods can", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		Eventually(func() error { // The gateway's pods have those of the account that they run as.
			return admin.Patch(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "default"}},
				client.RawPatch(types.MergePatchType, []byte(`{"imagePullSecrets":[{"name":"of-the-default"}]}`)))
		}).Should(Succeed())
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		made := s.job()
		Expect(made.Spec.Template.Spec.ImagePullSecrets).To(ContainElement(corev1.LocalObjectReference{Name: "of-the-default"}))
		handoff := s.secret(job.HandoffName(s.fr.Name))
		account := fmt.Sprintf("system:serviceaccount:%s:%s", s.namespace, made.Spec.Template.Spec.ServiceAccountName)
		config, err := cluster.User(account, "system:serviceaccounts", "system:serviceaccounts:"+s.namespace, "system:authenticated")
		Expect(err).NotTo(HaveOccurred())
		pod, err := client.New(config, client.Options{Scheme: operator.Scheme()})
		Expect(err).NotTo(HaveOccurred())

		refused := func(err error) {
			GinkgoHelper()
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		}
		for _, name := range []string{handoff.Name, made.Name, operator.SecretName, operator.CredentialsName, s.recordName()} {
			key := client.ObjectKey{Namespace: s.namespace, Name: name}
			refused(pod.Get(ctx, key, &corev1.Secret{}))
			refused(pod.Delete(ctx, s.secret(name)))
			refused(pod.Patch(ctx, s.secret(name), client.RawPatch("application/merge-patch+json", []byte(`{"data":{}}`))))
			if name != handoff.Name {
				refused(pod.Update(ctx, s.secret(name)))
			}
		}
		refused(pod.List(ctx, &corev1.SecretList{}, client.InNamespace(s.namespace)))
		refused(pod.List(ctx, &corev1.PodList{}, client.InNamespace(s.namespace)))
		refused(pod.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "x"}}))
		refused(pod.Get(ctx, client.ObjectKeyFromObject(s.fr), &v1alpha1.FlexRegistration{}))
		refused(pod.Get(ctx, client.ObjectKeyFromObject(made), &batchv1.Job{}))
		refused(pod.Update(ctx, s.deployment(operator.GatewayName)))

		By("refusing a pod that knows the Secret by the UID of an earlier attempt")
		stale := handoff.DeepCopy()
		stale.UID, stale.ResourceVersion = "11111111-1111-1111-1111-111111111111", ""
		stale.Data = map[string][]byte{registration.DefaultKey: s.gateway.File}
		Expect(apierrors.IsConflict(pod.Update(ctx, stale))).To(BeTrue())
		Expect(s.secret(handoff.Name).Data).To(BeEmpty())
	})

	It("goes on with the Job of an operator that died", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		made := s.job()
		running.Kill()
		_ = running.Wait()
		By("while nobody is there, it renews")
		release()
		Eventually(func() []batchv1.JobCondition { return s.jobs()[0].Status.Conditions }).Should(ContainElement(HaveField("Type", batchv1.JobComplete)))
		Expect(s.renewals()).To(Equal(1))
		Expect(s.status().LastRenewalTime).To(BeNil())
		var err error
		running, err = operator.Start(operatorOptions)
		Expect(err).NotTo(HaveOccurred())
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
		Expect(s.certificate().Fingerprint).To(Equal(platform.Renewals(s.gateway.AgentID)[0].NewFingerprint))
		Expect(made.Name).To(HavePrefix(s.fr.Name + "-renew-"))
		Eventually(s.jobs).Should(BeEmpty())
		Eventually(s.secretsOfRenewal).Should(BeEmpty())
	})

	It("records the result although it was suspended meanwhile, and publishes it afterwards", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old := s.certificate()
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		s.job()
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true })
		release()
		Eventually(func() *metav1.Time { return s.status().LastRenewalTime }).ShouldNot(BeNil())
		Eventually(s.jobs).Should(BeEmpty())
		Expect(s.condition(v1alpha1.ConditionReady)).To(Equal("False/Suspended"))
		Expect(s.certificate()).To(Equal(old))
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = false })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells at once why a Job can't start, gives it up, and tries again when the image changes", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.fr.Spec.Flexctl.Image = "mulesoft/flex-gateway:none"
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/JobPending")
		Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("mulesoft/flex-gateway:none"), ContainSubstring("ImagePull")))
		clk.Step(5*time.Minute + 59*time.Second)
		Consistently(func() string { return s.condition(v1alpha1.ConditionReady) }).Should(Equal("True/JobPending"))
		clk.Step(2 * time.Second)
		s.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("ImagePull"))
		Eventually(s.jobs).Should(BeEmpty())
		Eventually(s.secretsOfRenewal).Should(BeEmpty())
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Flexctl.Image = "mulesoft/flex-gateway:1.8.0" })
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells within a minute what its pods and Events say", func(ctx context.Context) {
		unschedulable := newScene(ctx, 10*day)
		d := unschedulable.deployment(operator.GatewayName)
		d.Spec.Paused = true
		d.Spec.Template.Spec.NodeSelector = map[string]string{"no": "such-node"}
		Expect(admin.Update(ctx, d)).To(Succeed())
		unschedulable.createSeen()
		unschedulable.eventually(v1alpha1.ConditionReady, "True/JobPending")
		Expect(unschedulable.message(v1alpha1.ConditionReady)).To(ContainSubstring("Unschedulable"))

		full := newScene(ctx, 10*day)
		Expect(admin.Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: full.namespace, Name: "full"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}}})).To(Succeed())
		Eventually(func() (corev1.ResourceList, error) {
			quota := &corev1.ResourceQuota{}
			err := admin.Get(ctx, client.ObjectKey{Namespace: full.namespace, Name: "full"}, quota)
			return quota.Status.Used, err
		}).Should(HaveKeyWithValue(corev1.ResourcePods, resource.MustParse("2")))
		full.create()
		full.job()
		Eventually(func() (n int) {
			var events corev1.EventList
			Expect(admin.List(ctx, &events, client.InNamespace(full.namespace), client.MatchingFields{"reason": "FailedCreate"})).To(Succeed())
			return len(events.Items)
		}).Should(BeNumerically(">", 0))
		withinAMinute(full)
		Expect(full.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("FailedCreate"), ContainSubstring("exceeded quota")))

		By("coming to its end when there is room")
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: full.namespace, Name: "full"}}
		Expect(admin.Delete(ctx, quota)).To(Succeed())
		clk.Step(6 * time.Minute)
		full.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		clk.Step(2 * time.Minute)
		full.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(full.renewals()).To(Equal(1))
	})

	It("says that flexctl is too old, and takes a newer one from spec.flexctl.image", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		d := s.deployment(operator.GatewayName)
		d.Spec.Paused = true
		d.Spec.Template.Spec.Containers[0].Image = oldImage
		Expect(admin.Update(ctx, d)).To(Succeed())
		s.createSeen()
		s.eventually(v1alpha1.ConditionReady, "False/FlexctlTooOld")
		Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("spec.flexctl.image"), ContainSubstring("unknown command")))

		By("keeping the failed Job for its logs")
		failed := s.job()
		Expect(kubelets.Output(client.ObjectKeyFromObject(s.pod(failed)), "flexctl")).To(ContainSubstring("FlexctlTooOld"))

		By("refusing an image that nobody allows")
		s.change(func(fr *v1alpha1.FlexRegistration) {
			fr.Spec.Flexctl.Image = "registry.example.com/evil/flex-gateway:2"
		})
		s.eventually(v1alpha1.ConditionReady, "False/FlexctlImageNotAllowed")
		s.change(func(fr *v1alpha1.FlexRegistration) { fr.Spec.Flexctl.Image = gatewayImage })
		s.eventually(v1alpha1.ConditionRenewed, "True/UpToDate")
		Eventually(s.jobs).Should(BeEmpty())
	})

	It("tries refused credentials once, and says so", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("a wrong one")})
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/CredentialsRejected")
		Eventually(s.secretsOfRenewal).Should(BeEmpty())
		Expect(s.jobs()).To(HaveLen(1))
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret)})
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
	})

	It("counts a Job that vanished as an attempt that nobody knows the outcome of", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		made := s.job()
		Expect(admin.Delete(ctx, made, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(func() string { return s.message(v1alpha1.ConditionReady) }).Should(ContainSubstring("it is not there yet"))
		clk.Step(2 * time.Minute) // By then whoever makes it has done so.
		s.eventually(v1alpha1.ConditionRenewed, "False/JobFailed")
		Expect(s.status().FailedAttempts).To(BeEquivalentTo(1))
		release()
		clk.Step(2 * time.Minute)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("lets no other FlexRegistration of the same Secret end an attempt", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		made := s.job()
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: s.gateway, fr: operator.FlexRegistration(s.namespace, "same")}
		t.fr.Spec.TargetRef = &v1alpha1.TargetReference{Name: operator.GatewayName}
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		t.create()
		t.eventually(v1alpha1.ConditionReady, "False/Duplicate")
		clk.Step(time.Minute)
		Consistently(func() []string { return s.secretsOfRenewal() }).Should(ConsistOf(made.Name, job.HandoffName(s.fr.Name)))
		release()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("holds nothing against credentials that were corrected meanwhile", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte("a wrong one")})
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		s.job()
		s.put(operator.CredentialsName, map[string][]byte{"client-id": []byte(appID), "client-secret": []byte(appSecret)})
		release()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("asks the platform for nothing that it could not hand over", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		released := make(chan struct{})
		kubelets.holding(func(ctx context.Context, _ *corev1.Pod, container string) {
			if container == "prepare" {
				select {
				case <-released:
				case <-ctx.Done():
				}
			}
		})
		s.create()
		s.job()
		Expect(admin.Delete(ctx, s.secret(job.HandoffName(s.fr.Name)))).To(Succeed())
		close(released)
		s.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		Expect(s.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("container prepare"), ContainSubstring("given up")))
		Expect(s.renewals()).To(BeZero())
		kubelets.holding(nil)
		clk.Step(2 * time.Minute)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("tells what an admission webhook that is down says, and goes on when it is gone", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		fail, none, scope := admissionv1.Fail, admissionv1.SideEffectClassNone, admissionv1.NamespacedScope
		hook := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "down.example.com", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: ptr.To[int32](1),
			ClientConfig:      admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/down")},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
			Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}, Scope: &scope}}},
		}}}
		Expect(admin.Create(ctx, hook)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, hook)) })
		probe := func() error {
			return admin.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
				Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "x", Image: "x"}}},
			}}}, client.DryRunAll)
		}
		Eventually(probe).Should(MatchError(ContainSubstring("down.example.com")))
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("failed calling webhook"))
		Eventually(s.secretsOfRenewal).Should(BeEmpty())
		for i := range 4 { // None of them counts as one whose outcome is not known.
			clk.Step(10 * time.Minute)
			Eventually(func() int32 { return s.status().FailedAttempts }).Should(BeEquivalentTo(i + 2))
			s.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		}
		Expect(admin.Delete(ctx, hook)).To(Succeed())
		Eventually(probe).Should(Succeed())
		clk.SetTime(s.status().NextAttemptTime.Time)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.renewals()).To(Equal(1))
	})

	It("gives the turn of a FlexRegistration that was deleted to the next one", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		second, err := platform.Register("second", 10*day)
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "second"}, Data: map[string][]byte{registration.DefaultKey: second.File}})).To(Succeed())
		Expect(admin.Create(ctx, operator.Deployment(s.namespace, "second", "second", 1))).To(Succeed())
		t := &scene{ctx: ctx, namespace: s.namespace, gateway: second, fr: operator.FlexRegistration(s.namespace, "second")}
		DeferCleanup(func(ctx context.Context) { _ = client.IgnoreNotFound(admin.Delete(ctx, t.fr)) })
		release := kubelets.holdFlexctl()
		defer release()
		s.create()
		s.job()
		t.create()
		t.eventually(v1alpha1.ConditionReady, "True/Queued")
		Expect(admin.Delete(ctx, s.fr)).To(Succeed())
		release()
		Eventually(func() string { clk.Step(5 * time.Second); return t.condition(v1alpha1.ConditionReady) }).Should(Equal("True/Scheduled"))
	})

	It("takes a result that a late pod of an earlier attempt has handed over", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		old, err := registration.Parse(s.secret(operator.SecretName).Data, registration.DefaultKey)
		Expect(err).NotTo(HaveOccurred())
		credentials, err := anypoint.ParseCredentials(s.secret(operator.CredentialsName).Data)
		Expect(err).NotTo(HaveOccurred())
		renewed, err := execRenewer.Renew(ctx, old, credentials)
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: job.HandoffName(s.fr.Name)}, Type: job.HandoffType,
			Data: map[string][]byte{registration.DefaultKey: renewed.Marshal()},
		})).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.certificate().Fingerprint).To(Equal(renewed.Certificate().Fingerprint))
		Expect(s.renewals()).To(Equal(1))
	})

	It("touches no Secret of somebody else's, whatever its name and label", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: job.HandoffName(s.fr.Name)}, StringData: map[string]string{"mine": "yes"}}
		labelled := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "labelled", Labels: map[string]string{job.LabelFlexRegistration: s.fr.Name}}}
		Expect(admin.Create(ctx, foreign)).To(Succeed())
		Expect(admin.Create(ctx, labelled)).To(Succeed())
		s.create()
		s.eventually(v1alpha1.ConditionReady, "False/JobNotStarted")
		Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("was not made by the operator"))
		Expect(s.secret(foreign.Name).Data).To(HaveKey("mine"))
		Expect(admin.Delete(ctx, foreign)).To(Succeed())
		clk.Step(2 * time.Minute)
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")
		Expect(s.secret(labelled.Name).UID).To(Equal(labelled.UID))
	})

	It("needs no right on RBAC where an administrator has made what it takes", func(ctx context.Context) {
		s := newScene(ctx, 10*day)
		name := job.HandoffName(s.fr.Name)
		meta := metav1.ObjectMeta{Namespace: s.namespace, Name: name}
		for _, object := range []client.Object{
			&corev1.ServiceAccount{ObjectMeta: meta},
			&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name}, Verbs: []string{"update"}}}},
			&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: s.namespace}}},
		} {
			Expect(admin.Create(ctx, object)).To(Succeed())
		}
		binding := &rbacv1.ClusterRoleBinding{}
		Expect(admin.Get(ctx, client.ObjectKey{Name: "flex-registration-operator-handoff"}, binding)).To(Succeed())
		Expect(admin.Delete(ctx, binding)).To(Succeed())
		managed := operatorOptions.Jobs
		DeferCleanup(func(ctx context.Context) {
			binding.ResourceVersion, binding.UID = "", ""
			Expect(admin.Create(ctx, binding)).To(Succeed())
			operatorOptions.Jobs = managed
			restart()
		})
		unmanaged := *managed
		unmanaged.ManageRBAC = false
		operatorOptions.Jobs = &unmanaged
		restart()
		s.create()
		s.eventually(v1alpha1.ConditionReady, "True/Scheduled")

		By("saying what is missing where nobody has made it")
		other := newScene(ctx, 10*day)
		other.create()
		other.job()
		Eventually(func() int {
			var events corev1.EventList
			Expect(admin.List(ctx, &events, client.InNamespace(other.namespace), client.MatchingFields{"reason": "FailedCreate"})).To(Succeed())
			return len(events.Items)
		}).Should(BeNumerically(">", 0))
		withinAMinute(other)
		Expect(other.message(v1alpha1.ConditionReady)).To(And(ContainSubstring("serviceaccount"), ContainSubstring("not found")))
		Expect(strings.Contains(other.message(v1alpha1.ConditionReady), appSecret)).To(BeFalse())
	})

	It("neither escalates nor binds", func() {
		for _, file := range []string{"role.yaml", filepath.Join("handoff", "role.yaml")} {
			content, err := os.ReadFile(filepath.Join("..", "config", "rbac", file))
			Expect(err).NotTo(HaveOccurred())
			Expect(string(content)).NotTo(Or(ContainSubstring("escalate"), ContainSubstring("bind\n"), ContainSubstring(`"*"`)))
		}
	})
})
