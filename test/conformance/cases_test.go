package conformance_test

import (
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// testCase is a situation in which a renewal is asked for.
type testCase struct {
	arrange func(*scene)
	// hosts are what the platform is called in registrations; an address of this machine where there are none.
	hosts []string
	want
	// inJob, where set, is what is to be expected of a Job instead. Say why.
	inJob *want
}

// want is the answer.
type want struct {
	class      anypoint.Class // "" for success
	unresolved bool
	issued     int // certificates, by the platform
	says       []string
}

// Left out is what hangs (simulator.Hang, SpawnChild): in a Job only the deadline of two minutes ends it, or the death
// of the pod. Exec's own tests and the Wrapper's have it.
var platformCases = map[string]testCase{
	"app":                    {want: want{issued: 1}},
	"user":                   {arrange: func(s *scene) { s.platform.AddUser("ana.lopez", odd, false); s.user("ana.lopez", odd) }, want: want{issued: 1}},
	"an expired certificate": {arrange: func(s *scene) { s.register(-100 * day) }, want: want{issued: 1}},

	"wrong secret":         {arrange: func(s *scene) { id, _ := s.platform.AddConnectedApp(); s.app(id, "a-wr0ng-secret") }, want: want{class: anypoint.CredentialsRejected, says: []string{"put valid ones"}}},
	"unknown user":         {arrange: func(s *scene) { s.user("bob.nobody", odd) }, want: want{class: anypoint.CredentialsRejected}},
	"MFA":                  {arrange: func(s *scene) { s.platform.AddUser("ana.lopez", odd, true); s.user("ana.lopez", odd) }, want: want{class: anypoint.MFARequired, says: []string{"connected app"}}},
	"missing scope":        {arrange: withScopes(simulator.ScopeReadServers, simulator.ScopeViewOrganization), want: want{class: anypoint.MissingScope, says: []string{"Manage Servers"}}},
	"missing scope, a 401": {arrange: withScopes(simulator.ScopeReadServers, simulator.ScopeManageServers), want: want{class: anypoint.MissingScope, says: []string{"View Organization"}}},
	"deleted gateway":      {arrange: func(s *scene) { s.platform.DeleteGateway(s.gateway.AgentID) }, want: want{class: anypoint.RequestRefused, says: []string{"400 Bad Request"}}},
	"platform down":        {arrange: func(s *scene) { s.Expect(s.platform.Close()).To(Succeed()) }, want: want{class: anypoint.PlatformUnavailable, says: []string{"connection refused"}}},
	"without the CA":       {arrange: func(s *scene) { s.network.CABundle = nil }, want: want{class: anypoint.PlatformUnavailable, says: []string{"unknown authority"}}},
	"host not allowed":     {arrange: func(s *scene) { s.hosts = []string{"anypoint.mulesoft.com"} }, want: want{class: anypoint.HostNotAllowed, says: []string{"not an allowed control plane"}}},

	"token, down":           {arrange: faulty(simulator.Fault{Call: simulator.CallToken, Kind: simulator.Unavailable503}), want: want{class: anypoint.PlatformUnavailable}},
	"token, rate limit":     {arrange: faulty(simulator.Fault{Call: simulator.CallToken, Kind: simulator.RateLimited}), want: want{class: anypoint.RateLimited}},
	"token, dropped":        {arrange: faulty(simulator.Fault{Call: simulator.CallToken, Kind: simulator.DropBefore}), want: want{class: anypoint.PlatformUnavailable, unresolved: true}},
	"token, garbage":        {arrange: faulty(simulator.Fault{Call: simulator.CallToken, Kind: simulator.Garbage}), want: want{class: anypoint.FlexctlFailed, unresolved: true}},
	"down":                  {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Unavailable503}), want: want{class: anypoint.PlatformUnavailable}},
	"rate limit":            {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.RateLimited}), want: want{class: anypoint.RateLimited}},
	"internal error":        {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Status500}), want: want{class: anypoint.PlatformUnavailable, unresolved: true}},
	"garbage":               {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Garbage}), want: want{class: anypoint.FlexctlFailed, unresolved: true}},
	"dropped":               {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.DropBefore}), want: want{class: anypoint.PlatformUnavailable, unresolved: true}},
	"dropped afterwards":    {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.DropAfter}), want: want{class: anypoint.PlatformUnavailable, unresolved: true, issued: 1}},
	"slow":                  {arrange: faulty(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Slow, Latency: 200 * time.Millisecond}), want: want{issued: 1}},
	"half a file":           {arrange: faulty(simulator.Fault{Kind: simulator.TruncatedFile}), want: want{class: anypoint.ResultInvalid, unresolved: true, issued: 1}},
	"a garbage file":        {arrange: faulty(simulator.Fault{Kind: simulator.GarbageFile}), want: want{class: anypoint.ResultInvalid, unresolved: true, issued: 1}},
	"an empty file":         {arrange: faulty(simulator.Fault{Kind: simulator.EmptyFile}), want: want{class: anypoint.ResultInvalid, unresolved: true, issued: 1}},
	"no file":               {arrange: faulty(simulator.Fault{Kind: simulator.NoFile}), want: want{class: anypoint.ResultInvalid, unresolved: true, issued: 1}},
	"a wrong key":           {arrange: faulty(simulator.Fault{Kind: simulator.WrongKey}), want: want{class: anypoint.ResultInvalid, unresolved: true, issued: 1}},
	"a crash, app":          {arrange: faulty(simulator.Fault{Kind: simulator.Crash}), want: want{class: anypoint.FlexctlFailed, unresolved: true, issued: 1, says: []string{"exit status 2", "panic: runtime error"}}},
	"a crash, user":         {arrange: crashOfAUser, want: want{class: anypoint.FlexctlFailed, unresolved: true, issued: 1, says: []string{"exit status 2"}}},
	"much output":           {arrange: faulty(simulator.Fault{Kind: simulator.HugeOutput}), want: want{issued: 1}},
	"the old one":           {arrange: faulty(simulator.Fault{Kind: simulator.OldCertificate}), want: want{}},
	"another gateway's":     {arrange: faulty(simulator.Fault{Kind: simulator.OtherGateway}), want: want{issued: 1}},
	"a changed URL":         {arrange: faulty(simulator.Fault{Kind: simulator.ChangedURL}), want: want{issued: 1}},
	"an expired one":        {arrange: faulty(simulator.Fault{Kind: simulator.AlreadyExpired}), want: want{issued: 1}},
	"one that is not valid": {arrange: faulty(simulator.Fault{Kind: simulator.NotYetValid}), want: want{issued: 1}},
}

// odd is a password that programs spell in many ways.
const odd = `p"a<s>s\w0rd é+%`

func faulty(fault simulator.Fault) func(*scene) {
	return func(s *scene) { s.platform.Inject(fault) }
}

func withScopes(scopes ...string) func(*scene) {
	return func(s *scene) { s.app(s.platform.AddConnectedApp(scopes...)) }
}

func crashOfAUser(s *scene) {
	s.platform.AddUser("ana.lopez", odd, false)
	s.user("ana.lopez", odd)
	s.platform.Inject(simulator.Fault{Kind: simulator.Crash})
}
