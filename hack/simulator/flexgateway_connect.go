package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// networkTimeout bounds each step of connecting.
const networkTimeout = 10 * time.Second

// connect connects to the platform as a replica of the gateway, says when it
// is connected, and gives back why it isn't any more. There is no heartbeat: a
// platform that vanishes without a word is noticed by TCP's keepalive.
func (r *gatewayRegistration) connect(ctx context.Context, g FlexGateway, connected func()) error {
	address := "https://" + strings.TrimPrefix(r.arm, "wss://") + "?" +
		url.Values{"name": {g.Name}, "version": {g.Version}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	// A transport of its own, so that every connection presents the certificate.
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{r.certificate}, RootCAs: g.RootCAs, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
		// By the machine's clock, as all that the network does.
		DialContext:           (&net.Dialer{Timeout: networkTimeout}).DialContext,
		TLSHandshakeTimeout:   networkTimeout,
		ResponseHeaderTimeout: networkTimeout,
	}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.arm, errors.Unwrap(err)) // the URL once is enough
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("connect to %s: the platform answers %s", r.arm, response.Status)
	}
	welcome := make([]byte, len(agentWelcome))
	if _, err := io.ReadFull(response.Body, welcome); err != nil || string(welcome) != agentWelcome {
		return fmt.Errorf("connect to %s: the platform does not admit the gateway", r.arm)
	}
	connected()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("connection to %s: %w", r.arm, err)
	}
	return fmt.Errorf("connection to %s: the platform has closed it", r.arm)
}
