package faults

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"

	"k8s.io/client-go/rest"
)

// proxy stands between pods and the API server. Pods authenticate with tokens, which it passes on.
type proxy struct {
	server *httptest.Server
	// ca is what its certificate is verified with.
	ca []byte
}

// startProxy passes requests on; wrap may break them.
func startProxy(config *rest.Config, wrap func(http.RoundTripper) http.RoundTripper) (*proxy, error) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		Transport: wrap(transport),
		// The client sees that the connection breaks.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &proxy{server: server, ca: ca}, nil
}

// pretend makes the proxy's address that of the API server for who reads a configuration; who connects with it comes
// to the API server itself.
func (p *proxy) pretend(config *rest.Config) (*rest.Config, error) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	config = rest.CopyConfig(config)
	config.Host = p.server.URL
	config.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, target.Host)
	}
	return config, nil
}
