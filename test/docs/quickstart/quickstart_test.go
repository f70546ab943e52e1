// Package quickstart runs what docs/quick-start.md tells users to type, in its order and as it stands, on a real control plane beside
// the operator, with the real kubectl, Helm 4 and plugin.
package quickstart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// ahead is the machine's clock, but for the time that new pods are watched, which is over at once.
type ahead struct{ clock.RealClock }

func (ahead) Now() time.Time                    { return time.Now().Add(operator.Ahead) }
func (a ahead) Since(t time.Time) time.Duration { return a.Now().Sub(t) }

var block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

func TestQuickStart(t *testing.T) {
	g := NewWithT(t)
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	g.Expect(err).NotTo(HaveOccurred())
	page, err := os.ReadFile(filepath.Join(root, "docs", "quick-start.md"))
	g.Expect(err).NotTo(HaveOccurred())
	blocks := block.FindAllStringSubmatch(string(page), -1)
	g.Expect(len(blocks)).To(BeNumerically(">", 5))

	// Where the user has a cluster with the operator, a platform, and what the page asks for.
	cluster, admin := operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root)})
	g.Expect(operator.Grant(t.Context(), admin, filepath.Join(root, "config", "rbac", "role.yaml"))).To(Succeed())
	user, err := cluster.User("flex-registration-operator", operator.Group)
	g.Expect(err).NotTo(HaveOccurred())
	platform, err := simulator.Start(simulator.Options{Clock: ahead{}})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = platform.Close() })
	logs := &operator.Log{}
	options, err := operator.Simulated(t, platform, user, ahead{}, logs)
	g.Expect(err).NotTo(HaveOccurred())
	running, err := operator.Start(options)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = running.Stop() })

	registered, err := platform.Register(operator.GatewayName, 300*24*time.Hour)
	g.Expect(err).NotTo(HaveOccurred())
	id, secret := platform.AddConnectedApp()
	directory := t.TempDir()
	for name, content := range map[string]string{"registration.yaml": string(registered.File), "client-id": id, "client-secret": secret} {
		g.Expect(os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600)).To(Succeed())
	}
	programs := programs(t, root, cluster)

	script := "set -euo pipefail\n"
	for _, b := range blocks {
		script += b[1]
	}
	// Far more than it takes.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir = directory
	shell.Env = []string{"HOME=" + directory, "KUBECONFIG=" + cluster.Kubeconfig, "PATH=" + programs + ":/usr/bin:/bin"}
	said, err := shell.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s\n%s", said, logs.Tail(20))

	// What the page says that comes of it.
	g.Expect(string(said)).To(ContainSubstring(operator.SecretName+"\n"), "which Secret is the gateway's")
	g.Expect(string(said)).To(ContainSubstring("flexregistration.gateway.flexops.dev/ingress condition met"))
	key := client.ObjectKey{Namespace: "gateway", Name: operator.GatewayName}
	g.Eventually(func(g Gomega) {
		fr, held := &v1alpha1.FlexRegistration{}, &corev1.Secret{}
		g.Expect(admin.Get(t.Context(), key, fr)).To(Succeed())
		ready := meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(string(ready.Status)+"/"+ready.Reason).To(Equal("True/"+v1alpha1.ReasonScheduled), ready.Message)
		g.Expect(admin.Get(t.Context(), client.ObjectKey{Namespace: "gateway", Name: operator.SecretName}, held)).To(Succeed(), "Helm leaves the Secret")
		now, err := registration.Parse(held.Data, registration.DefaultKey)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(now.Certificate().Fingerprint).NotTo(Equal(registered.Fingerprint), "Helm leaves the renewed registration")
		g.Expect(now.Certificate().Fingerprint).To(Equal(fr.Status.Certificate.Fingerprint))
	}).WithTimeout(30 * time.Second).Should(Succeed())
	g.Expect(platform.Renewals(registered.AgentID)).To(HaveLen(1), "one renewal, which was asked for")
}

// programs is a directory with kubectl, its plugin and Helm. CHART is, to this Helm, the chart in the shape of MuleSoft's.
func programs(t *testing.T, root string, cluster *controlplane.ControlPlane) string {
	t.Helper()
	g := NewWithT(t)
	directory := t.TempDir()
	g.Expect(os.Symlink(cluster.Kubectl, filepath.Join(directory, "kubectl"))).To(Succeed())
	helm := filepath.Join(root, "bin", "helm4")
	g.Expect(helm).To(BeARegularFile(), "run make bin/helm4")
	wrapper := fmt.Sprintf("#!/bin/bash\nexec %q \"${@/#CHART/%s}\"\n", helm, filepath.Join(root, "test", "helm", "chart"))
	g.Expect(os.WriteFile(filepath.Join(directory, "helm"), []byte(wrapper), 0o700)).To(Succeed())
	compile := exec.Command("go", "build", "-o", filepath.Join(directory, "kubectl-flexreg"), "./cmd/kubectl-flexreg")
	compile.Dir = root
	said, err := compile.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), strings.TrimSpace(string(said)))
	return directory
}
