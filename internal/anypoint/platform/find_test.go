package platform

import (
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

func TestFindListsOnceForAllThatAsk(t *testing.T) {
	b := newBench(t)
	second, err := b.Register("second", time.Hour)
	b.Expect(err).NotTo(HaveOccurred())
	b.DeleteGateway(second.AgentID)
	var all sync.WaitGroup
	for _, id := range []string{b.gateway.AgentID, second.AgentID, b.gateway.AgentID} {
		all.Go(func() { b.Expect(b.account.Find(t.Context(), "", id)).To(Equal(b.in), "a tombstone too is somewhere") })
	}
	all.Wait()
	b.Expect(b.account.Find(t.Context(), "", b.gateway.AgentID)).To(Equal(b.in))
	b.Expect([]int{b.count(simulator.CallToken), b.count(simulator.CallMe), b.count(simulator.CallEnvironments), b.count(simulator.CallGateways)}).
		To(Equal([]int{1, 1, 1, 2}), "one token, one listing of both environments")

	b.Expect(b.account.Find(t.Context(), b.OrganizationID(), b.gateway.AgentID)).To(Equal(b.in))
	b.Expect(b.count(simulator.CallMe)).To(Equal(1), "whoever names the organization need not be asked whose the credentials are")
}

func TestFindLooksAgainForWhatWasRegisteredSince(t *testing.T) {
	b := newBench(t)
	b.Expect(b.account.Find(t.Context(), "", b.gateway.AgentID)).To(Equal(b.in))
	later, err := b.Register("later", time.Hour)
	b.Expect(err).NotTo(HaveOccurred())
	_, err = b.account.Find(t.Context(), "", later.AgentID)
	b.Expect(err).To(MatchError(And(ContainSubstring(b.OrganizationID()), ContainSubstring("register it anew"))))
	b.Expect(err).To(HaveField("Class", GatewayNotFound))
	b.clock.Step(time.Minute)
	b.Expect(b.account.Find(t.Context(), "", later.AgentID)).To(Equal(b.in))
}

func TestFindTellsWhyItCanNot(t *testing.T) {
	b := newBench(t, simulator.ScopeReadServers)
	_, err := b.account.Find(t.Context(), "", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", anypoint.MissingScope))

	b = newBench(t, simulator.ScopeViewOrganization)
	_, err = b.account.Find(t.Context(), "", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", anypoint.MissingScope), "it may be in an environment that can't be looked into")

	b = newBench(t)
	_, err = b.account.Find(t.Context(), "11111111-2222", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", EnvironmentNotFound))
	_, err = b.account.Find(t.Context(), "../me", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", EnvironmentNotFound))

	b.Inject(simulator.Fault{Call: simulator.CallEnvironments, Kind: simulator.Garbage})
	_, err = b.account.Find(t.Context(), "", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", httpclient.AnswerInvalid))
	asked := b.count(simulator.CallEnvironments)
	_, err = b.account.Find(t.Context(), "", b.gateway.AgentID)
	b.Expect(err).To(HaveField("Class", httpclient.AnswerInvalid))
	b.Expect(b.count(simulator.CallEnvironments)).To(Equal(asked), "who asks next gets the same answer")
	b.clock.Step(2 * time.Minute)
	b.Expect(b.account.Find(t.Context(), "", b.gateway.AgentID)).To(Equal(b.in))
}
