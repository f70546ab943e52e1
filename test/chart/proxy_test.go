package chart

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// trouble stands between the operator and the API server, and makes it do what an operator that is lucky never needs to. Its
// watches fall behind: what they tell of a resource in a namespace stops when the operator writes one, and goes on when it has
// read one live. And the first time that it tells a gateway to be well it gets an error, so that it tells that Event again.
type trouble struct {
	next http.RoundTripper
	mu   sync.Mutex
	held map[string]chan struct{} // by path, as /apis/apps/v1/namespaces/gateway/deployments
	told map[string]bool          // by path, of a FlexRegistration's status
}

// lagging finds, in a path, the resources that it is about.
var lagging = regexp.MustCompile(`^(.*/(deployments|jobs))(/.*)?$`)

func (l *trouble) RoundTrip(request *http.Request) (*http.Response, error) {
	if refused, err := l.refuse(request); refused || err != nil {
		return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody, Request: request}, err
	}
	parts := lagging.FindStringSubmatch(request.URL.Path)
	switch {
	case parts == nil:
	case request.Method != http.MethodGet:
		l.hold(parts[1])
	case parts[3] != "":
		defer l.release(parts[1])
	case request.URL.Query().Get("watch") == "true":
		response, err := l.next.RoundTrip(request)
		if err == nil {
			response.Body = &late{ReadCloser: response.Body, wait: func() { l.wait(request.Context(), parts[1], parts[2]) }}
		}
		return response, err
	}
	return l.next.RoundTrip(request)
}

// refuse says that a request is to fail.
func (l *trouble) refuse(request *http.Request) (bool, error) {
	if request.Method != http.MethodPatch || !strings.HasSuffix(request.URL.Path, "/status") {
		return false, nil
	}
	body, err := io.ReadAll(request.Body)
	request.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.told[request.URL.Path] || !bytes.Contains(body, []byte(v1alpha1.ReasonScheduled)) {
		return false, err
	}
	l.told[request.URL.Path] = true
	return true, nil
}

func (l *trouble) hold(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[path] == nil {
		l.held[path] = make(chan struct{})
	}
}

func (l *trouble) release(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.held[path]; held != nil {
		select {
		case <-held:
		default:
			close(held)
		}
	}
}

// wait waits while a watch of a path is behind; one of all namespaces has the path without them.
func (l *trouble) wait(ctx context.Context, path, resource string) {
	l.mu.Lock()
	var behind []chan struct{}
	for held, released := range l.held {
		if held == path || !strings.Contains(path, "/namespaces/") && strings.HasSuffix(held, "/"+resource) {
			behind = append(behind, released)
		}
	}
	l.mu.Unlock()
	for _, released := range behind {
		select {
		case <-released:
		case <-ctx.Done():
		}
	}
}

// late waits before it gives on what it has read.
type late struct {
	io.ReadCloser
	wait func()
}

func (l *late) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.wait()
	return n, err
}

// troubledKubeconfig writes a kubeconfig with a token, by which the API server is reached in this way.
func troubledKubeconfig(t *testing.T, config *rest.Config, token string) (string, error) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", err
	}
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return "", err
	}
	server := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		Transport:    &trouble{next: transport, held: map[string]chan struct{}{}, told: map[string]bool{}},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	kubeconfig := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"cluster": {
			Server: server.URL, CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"operator": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"operator": {Cluster: "cluster", AuthInfo: "operator"}},
		CurrentContext: "operator",
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	return path, clientcmd.WriteToFile(kubeconfig, path)
}
