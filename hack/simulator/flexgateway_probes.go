package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// probeSocket is the socket by which flexctl asks a gateway's main process how
// it is. How the real ones talk to each other is unknown.
func probeSocket(directory string) string {
	return filepath.Join(cmp.Or(directory, os.Getenv("FLEX_GATEWAY_PROBE_DIRECTORY"), os.TempDir()), "flex-gateway.sock")
}

// serveProbes answers probes. Liveness is always good: that the process
// answers is all that there is to it.
func serveProbes(directory string, ready func() (bool, string)) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /liveness", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "the gateway is alive")
	})
	mux.HandleFunc("GET /readiness", func(w http.ResponseWriter, _ *http.Request) {
		if ok, reason := ready(); ok {
			fmt.Fprintf(w, "the gateway is ready: %s", reason)
		} else {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "the gateway is not ready: %s", reason)
		}
	})
	path := probeSocket(directory)
	// One that crashed has left its socket; in a pod its volume survives it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an earlier gateway: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for probes: %w; set FLEX_GATEWAY_PROBE_DIRECTORY to a directory that the gateway may write to, of at most 80 characters", err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, nil
}
