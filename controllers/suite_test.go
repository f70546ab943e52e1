package controllers_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const operatorUser = "flex-registration-operator"

// One control plane, one platform and one operator serve all specs; each spec has a namespace of its own. The
// clock is moved by specs, so they run one after another.
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

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Controllers")
}

var _ = BeforeSuite(func(ctx context.Context) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	SetDefaultConsistentlyDuration(500 * time.Millisecond)

	var err error
	cluster, err = controlplane.Start(ctx, controlplane.Options{CRDs: operator.CRDs(".."), LeaveJobPods: true})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	admin, err = client.NewWithWatch(cluster.Config, client.Options{Scheme: operator.Scheme()})
	Expect(err).NotTo(HaveOccurred())

	Expect(operator.Grant(ctx, admin, operator.Roles("..")...)).To(Succeed())
	user, err := cluster.User(operatorUser, operator.Group)
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
	DeferCleanup(func() {
		Expect(running.Stop()).To(Succeed())
		Expect(logs.String()).NotTo(Or(ContainSubstring(appSecret), ContainSubstring("PRIVATE KEY")), "a secret is in the operator's log")
		left, err := filepath.Glob(filepath.Join(operatorOptions.Renewer.(*anypoint.Exec).Directory, "flex-registration-operator-*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(BeEmpty(), "a private directory was left behind")
	})
})

var _ = AfterEach(func() {
	platform.ClearFaults()
	if CurrentSpecReport().Failed() {
		GinkgoWriter.Println("the operator's log:\n" + logs.Tail(12000))
	}
})
