package helm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/test/operator"
)

// helm is a Helm client.
type helm struct {
	major   int
	program string
}

// clients are those that users have.
var clients = []*helm{{major: 3}, {major: 4}}

func (h *helm) String() string { return fmt.Sprintf("Helm %d", h.major) }

// conflicts says that Helm refuses to overwrite what somebody else has written: Helm 4 uses server-side apply, Helm 3
// patches.
func (h *helm) conflicts() bool { return h.major >= 4 }

// find finds the program in the repository's bin/.
func (h *helm) find() error {
	name := fmt.Sprintf("helm%d", h.major)
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		return fmt.Errorf("find the program of %s: %w", h, err)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("find the program of %s: %w: run make bin/helm3 bin/helm4", h, err)
	}
	h.program = path
	return nil
}

// run runs Helm in a namespace, with directories of its own and no repositories. It returns what Helm prints.
func (h *helm) run(ctx context.Context, namespace string, arguments ...string) (string, error) {
	GinkgoHelper()
	home := GinkgoT().TempDir()
	// Far more than any of these takes.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, h.program, append([]string{"--namespace=" + namespace}, arguments...)...)
	// Nothing of the environment: a user's Helm may be set up there.
	command.Env = []string{
		"HOME=" + home, "KUBECONFIG=" + cluster.Kubeconfig,
		"HELM_CACHE_HOME=" + filepath.Join(home, "cache"),
		"HELM_CONFIG_HOME=" + filepath.Join(home, "config"),
		"HELM_DATA_HOME=" + filepath.Join(home, "data"),
	}
	output, err := command.CombinedOutput()
	said := fmt.Sprintf("helm%d %s\n%s", h.major, strings.Join(arguments, " "), output)
	GinkgoWriter.Println(said)
	return said, err
}

// onRelease are the arguments of a command about the gateway's release and our chart.
func onRelease(command string, arguments ...string) []string {
	return append([]string{command, operator.GatewayName, "chart"}, arguments...)
}

// helm runs Helm as the scene's user does, and expects it to succeed.
func (s *scene) helm(arguments ...string) {
	GinkgoHelper()
	said, err := s.client.run(s.ctx, s.namespace, arguments...)
	Expect(err).NotTo(HaveOccurred(), said)
}

// refused runs Helm, and expects it to fail because the operator has written the registration, and the Secret to stay.
// The rest of the chart is applied all the same.
func (s *scene) refused(arguments ...string) {
	GinkgoHelper()
	before := s.secret(operator.SecretName).ResourceVersion
	said, err := s.client.run(s.ctx, s.namespace, arguments...)
	Expect(err).To(HaveOccurred(), said)
	Expect(said).To(And(ContainSubstring("conflict with \"flex-registration-operator\""), ContainSubstring(".data.registration.yaml")))
	Expect(s.secret(operator.SecretName).ResourceVersion).To(Equal(before))
}

// overwrite runs a command that puts an older registration back, by force where Helm would refuse.
func (s *scene) overwrite(arguments ...string) {
	GinkgoHelper()
	if s.client.conflicts() {
		arguments = append(arguments, "--force-conflicts")
	}
	s.replace(arguments...)
}

// replace runs a command that puts an older registration back. That the operator restores it at once hides nothing.
func (s *scene) replace(arguments ...string) {
	GinkgoHelper()
	before := s.history.reverts(s.renewed)
	s.helm(arguments...)
	Eventually(func() int { return s.history.reverts(s.renewed) }).Should(Equal(before+1), "the older registration was not put back")
}
