// Package helm tests what becomes of a renewed registration when users go on with the real Helm, version 3 and 4, as they
// do: with a chart in the shape of the vendor's, on a real control plane, beside the operator.
package helm

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// One control plane, one platform and one operator serve all specs; each spec has a namespace of its own. The
// operator's clock is moved by specs, so they run one after another.
var (
	cluster  *controlplane.ControlPlane
	admin    client.WithWatch
	platform *simulator.Platform
	clk      *clocktesting.FakeClock
	running  *operator.Operator
	logs     = &operator.Log{}

	operatorOptions operator.Options

	appID, appSecret string
)

func TestHelm(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Helm")
}

var _ = BeforeSuite(func(ctx context.Context) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)

	for _, h := range clients {
		Expect(h.find()).To(Succeed())
	}
	root := filepath.Join("..", "..")
	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{CRDs: operator.CRDs(root)})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	admin, err = client.NewWithWatch(cluster.Config, client.Options{Scheme: operator.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	Expect(operator.Grant(ctx, admin, filepath.Join(root, "config", "rbac", "role.yaml"))).To(Succeed())
	user, err := cluster.User("flex-registration-operator", operator.Group)
	Expect(err).NotTo(HaveOccurred())

	clk = clocktesting.NewFakeClock(time.Now().Truncate(time.Second).Add(operator.Ahead))
	platform, err = simulator.Start(simulator.Options{Clock: clk})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(platform.Close()).To(Succeed()) })
	appID, appSecret = platform.AddConnectedApp()
	operatorOptions, err = operator.Simulated(GinkgoT(), platform, user, clk, logs)
	Expect(err).NotTo(HaveOccurred())
	running, err = operator.Start(operatorOptions)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
})

var _ = AfterEach(func() {
	if CurrentSpecReport().Failed() {
		GinkgoWriter.Println("the operator's log:\n" + logged(namespace()))
	}
})

// logged are the lines of the operator's log about a namespace.
func logged(namespace string) string {
	var found strings.Builder
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, strconv.Quote(namespace)) {
			found.WriteString(line)
		}
	}
	return found.String()
}
