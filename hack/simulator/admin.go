package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The calls of Admin, in JSON but for the CA, which is PEM.
const (
	adminCA         = "/simulator/ca"
	adminGateways   = "/simulator/gateways"
	adminApps       = "/simulator/connected-apps"
	adminFaults     = "/simulator/faults"
	adminGatewayID  = adminGateways + "/{id}"
	renewalsOfAgent = "/renewals"
	replicasOfAgent = "/replicas"
)

// adminRegister asks for what Platform.Register does.
type adminRegister struct {
	Name      string `json:"name"`
	Remaining string `json:"remaining"` // as in 240h or -1h
}

// adminApp asks for a connected app, and is the answer.
type adminApp struct {
	Scopes       []string `json:"scopes,omitempty"`
	ClientID     string   `json:"clientID,omitempty"`
	ClientSecret string   `json:"clientSecret,omitempty"`
}

// Admin lets tests drive a platform that runs elsewhere; Remote calls it. It
// is FOR TESTS ONLY: whoever reaches it gets private keys and client secrets,
// and nobody is asked for credentials. It is no part of what the platform
// serves itself, takes no fault, and is not recorded.
func (p *Platform) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+adminCA, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.authority.pem) })
	administer(mux, "POST "+adminGateways, func(_ *http.Request, ask adminRegister) (any, error) {
		remaining, err := time.ParseDuration(ask.Remaining)
		if err != nil {
			return nil, fmt.Errorf("remaining: %w", err)
		}
		return p.Register(ask.Name, remaining)
	})
	administer(mux, "POST "+adminApps, func(_ *http.Request, ask adminApp) (any, error) {
		id, secret := p.AddConnectedApp(ask.Scopes...)
		return adminApp{ClientID: id, ClientSecret: secret}, nil
	})
	administer(mux, "POST "+adminFaults, func(_ *http.Request, f Fault) (any, error) {
		p.Inject(f)
		return fields{}, nil
	})
	administer(mux, "DELETE "+adminFaults, func(_ *http.Request, _ fields) (any, error) {
		p.ClearFaults()
		return fields{}, nil
	})
	administer(mux, "GET "+adminGatewayID+renewalsOfAgent, func(r *http.Request, _ fields) (any, error) {
		return p.Renewals(r.PathValue("id")), nil
	})
	administer(mux, "GET "+adminGatewayID+replicasOfAgent, func(r *http.Request, _ fields) (any, error) {
		return p.Replicas(r.PathValue("id")), nil
	})
	return mux
}

// administer answers one of the calls; an error becomes a 400 with its text.
func administer[Q any](mux *http.ServeMux, pattern string, answer func(*http.Request, Q) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var question Q
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&question)
		if errors.Is(err, io.EOF) && r.Method != http.MethodPost {
			err = nil // these ask by their path alone
		}
		var result any
		if err == nil {
			result, err = answer(r, question)
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("%s: %v", pattern, err), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result)
	})
}
