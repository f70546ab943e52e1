//go:build e2e

package e2e

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	patience = 2 * time.Minute
	interval = 100 * time.Millisecond
)

// A Job's pod reaches the API server with its own token, and RBAC answers it.
func TestJobAsksAPIServer(t *testing.T) {
	g, admin := NewWithT(t), cluster.Admin
	namespace := newNamespace(t)
	meta := metav1.ObjectMeta{Name: "asks", Namespace: namespace}
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: namespace}},
		},
	} {
		g.Expect(admin.Create(t.Context(), object)).To(Succeed())
	}
	write := container("write", cluster.Image(testpod), "write", "/shared/note", "hello")
	api := "/api/v1/namespaces/" + namespace
	pod := restricted([]corev1.Container{write}, container("ask", cluster.Image(testpod),
		"ask", "/shared/note", api+"/configmaps", "200", api+"/secrets", "403"))
	pod.ServiceAccountName = meta.Name
	job := &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{BackoffLimit: ptr.To(int32(0)), Template: corev1.PodTemplateSpec{Spec: pod}}}
	g.Expect(admin.Create(t.Context(), job)).To(Succeed())

	g.Eventually(func(g Gomega) {
		g.Expect(admin.Get(t.Context(), client.ObjectKeyFromObject(job), job)).To(Succeed())
		g.Expect(job.Status.Succeeded+job.Status.Failed).To(BeNumerically(">", 0), "ended pods of the Job")
	}, patience, interval).Should(Succeed())
	logs := kubectl(t, "logs", "--namespace", namespace, "job/asks", "--all-containers")
	g.Expect(job.Status.Succeeded).To(Equal(int32(1)), logs)
	g.Expect(logs).To(ContainSubstring(`the init container has written "hello"`))
}

// A pod that serves HTTP is reached through the API server, and so are its logs.
func TestPodServes(t *testing.T) {
	g, admin := NewWithT(t), cluster.Admin
	namespace := newNamespace(t)
	serve := container("serve", cluster.Image(testpod), "serve", ":8080")
	serve.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)},
	}}
	serve.LivenessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
		Exec: &corev1.ExecAction{Command: []string{"/testpod", "write", "/shared/alive", "yes"}},
	}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "serves", Namespace: namespace}, Spec: restricted(nil, serve)}
	g.Expect(admin.Create(t.Context(), pod)).To(Succeed())

	g.Eventually(func(g Gomega) {
		g.Expect(admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		g.Expect(pod.Status.ContainerStatuses).To(HaveLen(1))
		g.Expect(pod.Status.ContainerStatuses[0].Ready).To(BeTrue(), "ready: %+v", pod.Status)
	}, patience, interval).Should(Succeed())
	clientset, err := kubernetes.NewForConfig(cluster.Config)
	g.Expect(err).NotTo(HaveOccurred())
	answer, err := clientset.CoreV1().Pods(namespace).ProxyGet("http", pod.Name, "8080", "/some/path", nil).DoRaw(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(answer)).To(Equal("this is /some/path\n"))
	logs := kubectl(t, "logs", "--namespace", namespace, pod.Name)
	g.Expect(logs).To(And(ContainSubstring("served /ready"), ContainSubstring("served /some/path")))
	kubectl(t, "exec", "--namespace", namespace, pod.Name, "--", "/testpod", "write", "/shared/exec", "yes")
}

// An image that doesn't exist is told as such.
func TestMissingImage(t *testing.T) {
	g, admin := NewWithT(t), cluster.Admin
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "missing", Namespace: newNamespace(t)},
		Spec:       restricted(nil, container("missing", "registry.example.com/missing:e2e")),
	}
	g.Expect(admin.Create(t.Context(), pod)).To(Succeed())

	g.Eventually(func(g Gomega) {
		g.Expect(admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		g.Expect(pod.Status.ContainerStatuses).To(HaveLen(1))
		waiting := pod.Status.ContainerStatuses[0].State.Waiting
		g.Expect(waiting).NotTo(BeNil())
		g.Expect(waiting.Reason).To(Or(Equal("ErrImagePull"), Equal("ImagePullBackOff")))
	}, patience, interval).Should(Succeed())
}

// kubectl runs kubectl as the administrator and returns what it says.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := cluster.RunKubectl(t.Context(), args...)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return out
}
