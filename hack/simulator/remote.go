package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Remote drives a platform that runs elsewhere, as in a pod, through what its
// Admin serves. Its methods do what the platform's of the same name do.
type Remote struct {
	// URL is what the paths of Admin come after: where it is served, or a
	// proxy to there, such as
	// https://API-SERVER/api/v1/namespaces/NAMESPACE/pods/POD:PORT/proxy
	URL string
	// Client makes the calls. Default: http.DefaultClient.
	Client *http.Client
}

// CA gives the CA that the platform's certificate is under, for SSL_CERT_FILE.
func (r Remote) CA(ctx context.Context) ([]byte, error) {
	return r.do(ctx, http.MethodGet, adminCA, nil)
}

// Register makes a gateway whose certificate expires in remaining; negative:
// it has expired already.
func (r Remote) Register(ctx context.Context, name string, remaining time.Duration) (g Gateway, err error) {
	err = r.call(ctx, http.MethodPost, adminGateways, adminRegister{name, remaining.String()}, &g)
	return g, err
}

// AddConnectedApp makes a connected app with the scopes given, or with the
// three that renewing takes if none is.
func (r Remote) AddConnectedApp(ctx context.Context, scopes ...string) (clientID, clientSecret string, err error) {
	var app adminApp
	err = r.call(ctx, http.MethodPost, adminApps, adminApp{Scopes: scopes}, &app)
	return app.ClientID, app.ClientSecret, err
}

// Inject makes the next matching calls behave as the fault says. It can have no Hook.
func (r Remote) Inject(ctx context.Context, f Fault) error {
	if f.Hook != nil {
		return errors.New("inject a fault into a remote platform: it can't call a Hook in this process; leave it out")
	}
	return r.call(ctx, http.MethodPost, adminFaults, f, &fields{})
}

// ClearFaults removes every fault.
func (r Remote) ClearFaults(ctx context.Context) error {
	return r.call(ctx, http.MethodDelete, adminFaults, nil, &fields{})
}

// Renewals gives a gateway's renewals in order.
func (r Remote) Renewals(ctx context.Context, agentID string) (renewals []Renewal, err error) {
	err = r.call(ctx, http.MethodGet, adminGateways+"/"+url.PathEscape(agentID)+renewalsOfAgent, nil, &renewals)
	return renewals, err
}

// Replicas gives the replicas that the platform lists for a gateway.
func (r Remote) Replicas(ctx context.Context, agentID string) (replicas []Replica, err error) {
	err = r.call(ctx, http.MethodGet, adminGateways+"/"+url.PathEscape(agentID)+replicasOfAgent, nil, &replicas)
	return replicas, err
}

// call makes a call in JSON; a nil question is none.
func (r Remote) call(ctx context.Context, method, path string, question, answer any) error {
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return err
		}
	}
	data, err := r.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%s %s of the simulated platform: the answer is not its own: %w", method, path, err)
	}
	return nil
}

func (r Remote) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s %s of the simulated platform: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s of the simulated platform: %s: %s", method, path, response.Status, bytes.TrimSpace(data))
	}
	return data, nil
}
