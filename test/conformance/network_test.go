package conformance_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// How flexctl reaches the platform. Programs ask no proxy for what is on their own machine, so here the platform has a
// name, which nobody but the proxy knows.
var networkCases = map[string]testCase{
	"through a proxy":       {hosts: named, arrange: func(s *scene) { throughProxy(s) }, want: want{issued: 1}},
	"through no such proxy": {hosts: named, arrange: func(s *scene) { s.proxy("127.0.0.1:1", proxyPassword) }, want: want{class: anypoint.PlatformUnavailable, says: []string{"proxyconnect", "look at DNS, proxy"}}},
	"prints its proxy": {
		arrange: func(s *scene) {
			s.proxy("proxy.example.com:3128", proxyPassword)
			s.script(`echo "[flexctl][error] by $HTTPS_PROXY but for $NO_PROXY"; exit 1`)
		},
		want: want{class: anypoint.FlexctlFailed, unresolved: true, says: []string{"by http://[redacted]proxy.example.com:3128 but for 10.0.0.0/8"}},
	},
}

const proxyPassword = "pr0xy-passw0rd"

var named = []string{"anypoint.example.com"}

// throughProxy has the platform reached by a proxy that asks for a password.
func throughProxy(s *scene) {
	_, port, err := net.SplitHostPort(s.platform.Host())
	s.Expect(err).NotTo(HaveOccurred())
	var tunnels atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("operator:"+proxyPassword)) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		tunnels.Add(1)
		tunnel(w, net.JoinHostPort("127.0.0.1", port))
	}))
	s.t.Cleanup(server.Close)
	s.proxy(strings.TrimPrefix(server.URL, "http://"), proxyPassword)
	s.afterwards = func() { s.Expect(tunnels.Load()).To(BeNumerically(">", 0)) }
}

// tunnel carries bytes between a client and an address until one of the two has no more.
func tunnel(w http.ResponseWriter, address string) {
	upstream, err := net.Dial("tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer upstream.Close() //nolint:errcheck // Nothing of it is kept.
	downstream, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer downstream.Close() //nolint:errcheck // Nothing of it is kept.
	if _, err := io.WriteString(downstream, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{upstream, downstream}, {downstream, upstream}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}
