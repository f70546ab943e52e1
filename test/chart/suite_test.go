// Package chart tests the Helm chart and what is installed with it: with the real Helm on a real control plane, and the operator
// as the chart runs it, with the rights that the chart gives it.
package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/kubelet"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	root  = "../.."
	chart = "../../charts/flex-registration-operator"
	// image is the operator's.
	image = "flex-registration-operator:test"
)

// suite is a control plane and a platform, with what it takes to run the operator and the pods of its Jobs.
type suite struct {
	Gomega
	*testing.T
	cluster  *controlplane.ControlPlane
	admin    client.Client
	platform *simulator.Platform
	// appID and appSecret are credentials.
	appID, appSecret string
	// manager and flexctl are programs, ca a file with the platform's certificate.
	manager, flexctl, ca string
	pods                 *pods
}

func newGomega(t *testing.T) Gomega {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(60 * time.Second)
	g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	return g
}

func start(t *testing.T) *suite {
	t.Helper()
	s := &suite{T: t, Gomega: newGomega(t)}
	directory := t.TempDir()
	for _, program := range []string{".", "./cmd/flexctl-runner"} {
		s.command(root, "go", "build", "-o", directory+string(filepath.Separator), program)
	}
	s.manager = filepath.Join(directory, "flex-registration-operator")
	var err error
	s.flexctl, err = simulator.BuildFlexctl(directory)
	s.Expect(err).NotTo(HaveOccurred())

	s.cluster, s.admin = operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root), LeaveJobPods: true})
	s.platform, err = simulator.Start(simulator.Options{})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.platform.Close() })
	s.appID, s.appSecret = s.platform.AddConnectedApp()
	s.ca = filepath.Join(directory, "ca.crt")
	s.Expect(s.platform.WriteCA(s.ca)).To(Succeed())

	s.pods = &pods{}
	k, err := kubelet.Start(t.Context(), kubelet.Options{
		Config: s.cluster.Config, Directory: t.TempDir(), Hold: s.pods.wait,
		Images: map[string]kubelet.Image{
			image: {Programs: map[string]string{"/manager": s.manager, "/flexctl-runner": filepath.Join(directory, "flexctl-runner")}},
			operator.Deployment("", "", "", 0).Spec.Template.Spec.Containers[0].Image: {Programs: map[string]string{"flexctl": s.flexctl}},
		},
	})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(k.Stop)
	return s
}

// in returns the suite for a subtest.
func (s *suite) in(t *testing.T) *suite {
	sub := *s
	sub.T, sub.Gomega = t, newGomega(t)
	return &sub
}

// command runs a program in a directory and returns what it prints.
func (s *suite) command(directory, program string, arguments ...string) string {
	s.Helper()
	command := exec.CommandContext(s.Context(), program, arguments...)
	command.Dir = directory
	output, err := command.CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), string(output))
	return string(output)
}

// commandOutput is what a program prints, however it ends.
func (s *suite) commandOutput(program string, arguments ...string) string {
	output, _ := exec.CommandContext(s.Context(), program, arguments...).Output()
	return string(output)
}

func (s *suite) kubectl(arguments ...string) string {
	s.Helper()
	return s.command(root, s.cluster.Kubectl, append([]string{"--kubeconfig=" + s.cluster.Kubeconfig}, arguments...)...)
}

// helm runs a version of Helm, with directories of its own.
func helm(t *testing.T, program, kubeconfig string, arguments ...string) (string, error) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "bin", program))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("finding Helm: %v: run make bin/helm3 bin/helm4", err)
	}
	home := t.TempDir()
	command := exec.CommandContext(t.Context(), path, arguments...)
	// Nothing of the environment: a user's Helm may be set up there.
	command.Env = []string{"HOME=" + home, "KUBECONFIG=" + kubeconfig, "HELM_CACHE_HOME=" + home + "/cache", "HELM_CONFIG_HOME=" + home + "/config", "HELM_DATA_HOME=" + home + "/data"}
	output, err := command.CombinedOutput()
	return string(output), err
}

// helm runs a version of Helm on the cluster.
func (s *suite) helm(program string, arguments ...string) string {
	s.Helper()
	output, err := helm(s.T, program, s.cluster.Kubeconfig, arguments...)
	s.Expect(err).NotTo(HaveOccurred(), output)
	return output
}
