package simulator_test

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestAccounts(t *testing.T) {
	b := newBench(t)
	b.Expect(b.get("/accounts/api/me").fields).To(HaveKeyWithValue("client",
		map[string]any{"client_id": b.app, "org_id": b.OrganizationID()}))

	b.AddUser("ana", "pw", false)
	login := b.post("/accounts/login", map[string]string{"username": "ana", "password": "pw"})
	me, err := b.try("GET", "/accounts/api/me", login.fields["access_token"].(string), nil)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(me.fields["user"]).To(HaveKeyWithValue("organization", map[string]any{"id": b.OrganizationID()}))

	b.AddUser("ana", "pw", true)
	login = b.post("/accounts/login", map[string]string{"username": "ana", "password": "pw"})
	b.Expect(login.StatusCode).To(Equal(401))
	b.Expect(login.text).To(ContainSubstring("multi-factor"))

	b.ReplaceSecret(b.app, "another")
	b.Expect(b.askToken(b.app, b.secret).StatusCode).To(Equal(401))
	b.Expect(b.askToken(b.app, "another").StatusCode).To(Equal(200))
	b.Expect(b.askToken("ana", "pw").StatusCode).To(Equal(401), "a user is no connected app")
	b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(200), "tokens survive a rotation")

	b.ExpireTokens()
	b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(401))
	b.Expect(b.get("/accounts/api/you").StatusCode).To(Equal(404))
}

func TestScopes(t *testing.T) {
	b := newBench(t)
	g := b.register(10 * day)
	for _, missing := range []struct {
		scopes       []string
		read, status int
	}{
		{[]string{simulator.ScopeReadServers, simulator.ScopeViewOrganization}, 200, 403},
		{[]string{simulator.ScopeManageServers, simulator.ScopeViewOrganization}, 403, 403},
		{[]string{simulator.ScopeManageServers, simulator.ScopeReadServers}, 200, 401},
	} {
		b.SetScopes(b.app, missing.scopes...)
		b.Expect(b.get(b.gateways).StatusCode).To(Equal(missing.read), "%v", missing.scopes)
		r, file := b.renew(g.File)
		b.Expect(r.stderr).To(HavePrefix("[flexctl][error] reg facade call returned error response:\nHTTP/1.1 "+
			strconv.Itoa(missing.status)), "%v", missing.scopes)
		b.Expect(file).To(BeNil())
	}
	b.Expect(b.Renewals(g.AgentID)).To(BeEmpty())
}

func TestGateways(t *testing.T) {
	b := newBench(t)
	g := b.register(10 * day)
	path := b.gateways + "/" + g.AgentID
	b.Expect(b.get(path).fields).To(HaveKeyWithValue("status", "DISCONNECTED"))

	b.SetReplicas(g.AgentID, simulator.Replica{Name: "pod-1.gateway"},
		simulator.Replica{Status: simulator.Disconnected}, simulator.Replica{NoCertificateDate: true})
	found := b.get(path).fields
	b.Expect(found).To(And(HaveKeyWithValue("id", g.AgentID), HaveKeyWithValue("name", "ingress"),
		HaveKeyWithValue("status", "CONNECTED"), HaveKeyWithValue("organizationId", b.OrganizationID()),
		HaveKeyWithValue("lastUpdate", "2031-05-01T12:00:00.00Z"), HaveKey("tags"),
		HaveKeyWithValue("versions", []any{"1.8.0"})))
	b.Expect(found["replicas"]).To(ConsistOf(
		map[string]any{"status": "CONNECTED", "count": 2.0, "certificateExpirationDates": []any{"2031-05-11T12:00:00.00Z"}},
		map[string]any{"status": "DISCONNECTED", "count": 1.0, "certificateExpirationDates": []any{"2031-05-11T12:00:00.00Z"}}))

	replicas := b.get(path + "/replicas?pageSize=100&pageNumber=0&status=CONNECTED").fields
	b.Expect(replicas).To(And(HaveKeyWithValue("totalElements", 2.0), HaveKeyWithValue("pageSize", 100.0)))
	first := replicas["content"].([]any)[0].(map[string]any)
	b.Expect(first).To(And(HaveKeyWithValue("targetId", g.AgentID), HaveKeyWithValue("name", "pod-1.gateway"),
		HaveKeyWithValue("certificateExpirationDate", "2031-05-11T12:00:00.00Z"),
		HaveKeyWithValue("connectedAt", "2031-05-01T12:00:00.00Z"), HaveKeyWithValue("disconnectedAt", BeNil()),
		HaveKeyWithValue("configurationStatus", map[string]any{"status": "UP_TO_DATE", "message": nil}),
		HaveKey("id"), HaveKey("nodeId"), HaveKey("gatewayVersion"), HaveKey("status")))

	b.clock.SetTime(noon.Add(8 * day))
	b.Expect(b.get(path+"/replicas").fields).To(HaveKeyWithValue("totalElements", 2.0), "seven days are over")

	missing := b.get(b.gateways + "/nobody")
	b.Expect(missing.StatusCode).To(Equal(404))
	b.Expect(missing.text).To(ContainSubstring("Gateway not found by id"))

	b.DeleteGateway(g.AgentID)
	b.Expect(b.get(path).fields).To(HaveKeyWithValue("status", "DELETED"))
	b.Expect(b.get(b.gateways).fields["content"]).To(ConsistOf(HaveKeyWithValue("status", "DELETED")))
	r, _ := b.renew(g.File)
	b.Expect(r.stderr).To(ContainSubstring("response:\nHTTP/1.1 400 Bad Request\r\n"))
}

func TestPages(t *testing.T) {
	b := newBench(t)
	for range 31 {
		b.register(day)
	}
	for query, want := range map[string]struct{ status, elements, total int }{
		"":                           {200, 30, 31},
		"?pageNumber=1":              {200, 1, 31},
		"?pageNumber=2":              {200, 0, 0},
		"?pageSize=100":              {200, 31, 31},
		"?pageSize=31&pageNumber=1":  {200, 0, 0},
		"?pageSize=10&pageNumber=99": {200, 0, 0},
		"?pageSize=101":              {400, 0, 0},
		"?pageSize=0":                {400, 0, 0},
		"?pageNumber=-1":             {400, 0, 0},
	} {
		r := b.get(b.gateways + query)
		b.Expect(r.StatusCode).To(Equal(want.status), query)
		if want.status == 200 {
			b.Expect(r.fields["content"]).To(HaveLen(want.elements), query)
			b.Expect(r.fields).To(HaveKeyWithValue("totalElements", float64(want.total)), query)
		}
	}
	b.Expect(b.get(b.gateways + "?pageSize=101").text).To(ContainSubstring("Wrong page size"))
}

func TestRateLimit(t *testing.T) {
	b := newBench(t)
	b.SetRateLimit(2)
	for remaining := range 2 {
		r := b.get(b.gateways)
		b.Expect(r.StatusCode).To(Equal(200))
		b.Expect(r.Header.Get("X-RateLimit-Remaining")).To(Equal(strconv.Itoa(1 - remaining)))
	}
	r := b.get(b.gateways)
	b.Expect(r.StatusCode).To(Equal(503))
	b.Expect(r.text).To(Equal("503 Service Unavailable: Back-end server is at capacity"))
	b.Expect(r.Header.Get("X-RateLimit-Limit")).To(Equal("2"))
	b.Expect(r.Header.Get("X-RateLimit-Reset")).To(Equal(strconv.FormatInt(noon.Add(time.Minute).Unix(), 10)))
	b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(200), "the limit is per call")
	b.clock.SetTime(noon.Add(time.Minute))
	b.Expect(b.get(b.gateways).StatusCode).To(Equal(200))
}

func TestFaultsOfAnyCall(t *testing.T) {
	b := newBench(t)
	hooked := 0
	for kind, status := range map[simulator.FaultKind]int{
		simulator.Unavailable503: 503, simulator.Status500: 500, simulator.RateLimited: 503,
		simulator.Garbage: 200, simulator.Slow: 200, "": 200, simulator.DropBefore: 0, simulator.DropAfter: 0,
	} {
		b.Inject(simulator.Fault{Call: simulator.CallMe, Kind: kind, Latency: time.Millisecond, Hook: func() { hooked++ }})
		b.Expect(b.get(b.gateways).StatusCode).To(Equal(200), "another call")
		r, err := b.try("GET", "/accounts/api/me", b.token, nil)
		if status == 0 {
			b.Expect(err).To(HaveOccurred(), "%s", kind)
		} else {
			b.Expect(err).NotTo(HaveOccurred(), "%s", kind)
			b.Expect(r.StatusCode).To(Equal(status), "%s", kind)
			b.Expect(r.fields == nil).To(Equal(kind == simulator.Garbage || status != 200), "%s", kind)
		}
		b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(200), "%s is used up", kind)
	}
	b.Expect(hooked).To(Equal(8))

	b.Inject(simulator.Fault{Kind: simulator.Status500, Times: -1})
	for range 3 {
		b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(500))
	}
	b.ClearFaults()
	b.Expect(b.get("/accounts/api/me").StatusCode).To(Equal(200))
}

func TestHangEndsWithTheClientAndWithThePlatform(t *testing.T) {
	b := newBench(t)
	arrived := make(chan struct{}, 2)
	b.Inject(simulator.Fault{Kind: simulator.Hang, Times: 2, Hook: func() { arrived <- struct{}{} }})
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "GET", b.URL()+"/accounts/api/me", nil)
	b.Expect(err).NotTo(HaveOccurred())
	var wg sync.WaitGroup
	hang := func(r *http.Request) {
		wg.Go(func() {
			_, err := b.client.Do(r)
			b.Expect(err).To(HaveOccurred())
		})
		<-arrived
	}
	hang(request)
	leave()
	wg.Wait()
	b.Eventually(stacks).ShouldNot(ContainSubstring("exchange).wait"))
	hang(request.WithContext(t.Context()))
	b.Expect(b.Requests()).To(HaveEach(HaveField("Status", 0)))
	b.Expect(stacks()).To(ContainSubstring("exchange).wait"))
	b.Expect(b.Close()).To(Succeed())
	wg.Wait()
	b.Eventually(stacks).ShouldNot(ContainSubstring("exchange).wait"))
}

// stacks tells what every goroutine is at.
func stacks() string {
	buffer := make([]byte, 1<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}

func TestRequestsAreRecordedWithoutSecrets(t *testing.T) {
	b := newBench(t)
	b.AddUser("ana", "pw", false)
	b.askToken(b.app, b.secret)
	b.post("/accounts/login", map[string]string{"username": "ana", "password": "wrong"})
	b.get(b.gateways + "/nobody/replicas?status=CONNECTED")
	b.Expect(b.Requests()).To(Equal([]simulator.Request{
		{Call: simulator.CallToken, Method: "POST", Path: "/accounts/api/v2/oauth2/token", Status: 200, Account: b.app, Organization: b.OrganizationID()},
		{Call: simulator.CallLogin, Method: "POST", Path: "/accounts/login", Status: 401, Account: "ana", Organization: b.OrganizationID()},
		{Call: simulator.CallReplicas, Method: "GET", Path: b.gateways + "/nobody/replicas", Query: "status=CONNECTED",
			Status: 404, Account: b.app, AgentID: "nobody", Organization: b.OrganizationID()},
	}))
	b.ResetRequests()
	b.Expect(b.Requests()).To(BeEmpty())
}

func TestConcurrentUse(t *testing.T) {
	b := newBench(t)
	g := b.register(day)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b.SetReplicas(g.AgentID, simulator.Replica{})
			b.Inject(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Status500})
			b.SetScopes(b.app, simulator.ScopeReadServers)
			b.Expect(b.get(b.gateways + "/" + g.AgentID + "/replicas").StatusCode).To(Equal(200))
			b.SetValidity(time.Duration(i) * time.Hour)
			b.Requests()
		})
	}
	wg.Wait()
	b.Expect(b.Requests()).To(HaveLen(8))
}
