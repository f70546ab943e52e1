package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Call names one of the calls that the platform answers.
type Call string

// The published calls, and the simulator's own, which only its flexctl and its
// gateways make.
const (
	CallToken        Call = "token"
	CallLogin        Call = "login"
	CallMe           Call = "me"
	CallEnvironments Call = "environments"
	CallGateways     Call = "gateways"
	CallGateway      Call = "gateway"
	CallReplicas     Call = "replicas"
	CallRegister     Call = "register"
	CallRenew        Call = "renew"
	CallAgent        Call = "agent" // a replica of a gateway connects
)

// Request is one call that arrived, without any secret of it.
type Request struct {
	Call         Call // "" for a path that doesn't exist
	Method       string
	Path, Query  string
	Status       int    // 0 while under way, and where no answer was given
	Account      string // the client ID or username, where known
	AgentID      string // the gateway in question, where there is one
	Organization string // the header X-ANYPNT-ORG-ID
	Environment  string // the header X-ANYPNT-ENV-ID
}

// exchange is a call while it is answered.
type exchange struct {
	*http.Request
	body    []byte
	account *account // of the bearer token, nil without a good one
	fault   Fault    // to be acted out, zero for none
	limits  limits
	record  *Request
}

// answer is what goes back.
type answer struct {
	status      int
	contentType string
	body        []byte
	stream      func(http.ResponseWriter) // goes on where the body ends, nil for nothing
}

func object(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return text(http.StatusInternalServerError, err.Error())
	}
	return answer{status: http.StatusOK, contentType: "application/json", body: body}
}

func text(status int, body string) answer {
	return answer{status: status, contentType: "text/plain; charset=utf-8", body: []byte(body)}
}

func problem(status int, message string) answer {
	a := object(map[string]string{"message": message})
	a.status = status
	return a
}

func (p *Platform) routes() http.Handler {
	const gateways = "GET /standalone/api/v1/organizations/{org}/environments/{env}/gateways"
	const secretGroups = "/secrets-manager/api/v1/organizations/{org}/environments/{env}/secretGroups"
	mux := http.NewServeMux()
	handle := func(pattern string, call Call, h func(*exchange) answer) {
		mux.Handle(pattern, p.serve(call, h))
	}
	handle("POST /accounts/api/v2/oauth2/token", CallToken, p.token)
	handle("POST /accounts/login", CallLogin, p.login)
	handle("GET /accounts/api/me", CallMe, p.me)
	handle("GET /accounts/api/organizations/{org}/environments", CallEnvironments, p.listEnvironments)
	handle(gateways, CallGateways, p.listGateways)
	handle(gateways+"/{id}", CallGateway, p.getGateway)
	handle(gateways+"/{id}/replicas", CallReplicas, p.listReplicas)
	handle("GET "+secretGroups, CallSecrets, p.listSecretGroups)
	handle("GET "+secretGroups+"/{group}/{kind}", CallSecrets, p.listSecrets)
	handle("POST "+registerPath, CallRegister, p.register)
	handle("POST "+renewPath, CallRenew, p.renew)
	handle("GET "+agentPath, CallAgent, p.agent)
	handle("/", "", func(*exchange) answer { return text(http.StatusNotFound, "Not Found") })
	return mux
}

// serve records a call, acts out a fault that is due, and answers.
func (p *Platform) serve(call Call, handle func(*exchange) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Read to the end: only then does the server notice a connection that is closed.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		x := p.receive(call, r, body)
		a := p.answer(x, handle)
		p.mu.Lock()
		x.record.Status = a.status
		p.mu.Unlock()
		x.limits.set(w.Header())
		w.Header().Set("Content-Type", a.contentType)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		if a.stream != nil {
			a.stream(w)
		}
	})
}

// receive puts a call on record and finds what there is to know about it.
func (p *Platform) receive(call Call, r *http.Request, body []byte) *exchange {
	var who struct {
		ClientID string `json:"client_id"`
		Username string `json:"username"`
		AgentID  string `json:"agentId"`
	}
	_ = json.Unmarshal(body, &who) // a call that isn't JSON names nobody
	x := &exchange{Request: r, body: body, record: &Request{
		Call: call, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Account:      who.ClientID + who.Username,
		AgentID:      r.PathValue("id") + who.AgentID,
		Organization: r.Header.Get("X-ANYPNT-ORG-ID"),
		Environment:  r.Header.Get("X-ANYPNT-ENV-ID"),
	}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		x.account = p.tokens[bearer]
	}
	if x.account != nil {
		x.record.Account = x.account.id
	}
	p.requests = append(p.requests, x.record)
	x.fault = p.takeFault(call)
	x.limits = p.count(call)
	return x
}

// answer acts out the fault, if there is one, around the call itself. Faults
// are what lies in front of the platform: they come before its rate limit.
func (p *Platform) answer(x *exchange, handle func(*exchange) answer) answer {
	f := x.fault
	if !f.Kind.afterwards() {
		f.tell()
	}
	switch f.Kind {
	case Unavailable503:
		return text(http.StatusServiceUnavailable, "Service Unavailable")
	case Status500:
		return text(http.StatusInternalServerError, "Internal Server Error")
	case Garbage:
		return answer{status: http.StatusOK, contentType: "text/html", body: []byte("<html>not what you asked for")}
	case DropBefore:
		panic(http.ErrAbortHandler)
	case Slow:
		x.wait(f.Latency)
	case Hang:
		x.wait(time.Duration(1<<63 - 1))
	case RateLimited:
		x.limits.exceeded, x.limits.remaining = true, 0
	}
	if x.limits.exceeded {
		return text(http.StatusServiceUnavailable, "503 Service Unavailable: Back-end server is at capacity")
	}
	a := handle(x)
	if f.Kind == DropAfter || f.Kind.afterwards() && a.status == http.StatusOK {
		f.tell()
	}
	if f.Kind == DropAfter {
		panic(http.ErrAbortHandler)
	}
	return a
}

// wait waits, and drops the call if its client leaves or the platform closes
// meanwhile: both close the connection.
func (x *exchange) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-x.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// Requests gives every call since the start or the last ResetRequests, in the
// order of arrival.
func (p *Platform) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests := make([]Request, 0, len(p.requests))
	for _, r := range p.requests {
		requests = append(requests, *r)
	}
	return requests
}

// ResetRequests forgets the calls so far.
func (p *Platform) ResetRequests() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}
