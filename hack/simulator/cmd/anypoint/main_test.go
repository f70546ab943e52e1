package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestRun(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"--ca-file=" + filepath.Join(dir, "ca.pem"), "--directory", dir, "--validity=48h",
			"--credentials-file", filepath.Join(dir, "credentials"), "--gateway=late=24h", "--gateway", "expired=-1h",
			"--host=127.0.0.2,anypoint.simulator", "--host=10.0.0.7", "--admin-address=127.0.0.1:0"}, writer)
	}()
	var told struct {
		URL, ClientID, AdminAddress string
		Gateways                    []gateway
	}
	g.Expect(json.NewDecoder(reader).Decode(&told)).To(Succeed())
	g.Expect(told.URL).To(HavePrefix("https://127.0.0.2:"))
	g.Expect(told.Gateways).To(HaveLen(2))
	g.Expect(told.Gateways[0]).To(HaveField("Name", "expired"))
	g.Expect(os.ReadFile(told.Gateways[1].File)).To(ContainSubstring(told.Gateways[1].AgentID))
	g.Expect(os.ReadFile(filepath.Join(dir, "credentials"))).To(HavePrefix("client-id=" + told.ClientID + "\nclient-secret="))
	g.Expect(filepath.Join(dir, "ca.pem")).To(BeARegularFile())

	remote := simulator.Remote{URL: "http://" + told.AdminAddress}
	g.Expect(remote.Replicas(ctx, told.Gateways[0].AgentID)).To(BeEmpty())
	roots := x509.NewCertPool()
	ca, err := remote.CA(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(roots.AppendCertsFromPEM(ca)).To(BeTrue())
	_, port, err := net.SplitHostPort(strings.TrimPrefix(told.URL, "https://"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "10.0.0.7", "anypoint.simulator"} {
		c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: host})
		g.Expect(err).NotTo(HaveOccurred(), host)
		g.Expect(c.Close()).To(Succeed())
	}
	stop()
	g.Expect(<-ended).To(Succeed())

	g.Expect(run(ctx, []string{"--admin-address=nowhere"}, io.Discard)).To(MatchError(ContainSubstring("--admin-address")))
	g.Expect(run(ctx, []string{"--gateway=x=soon"}, io.Discard)).To(MatchError(ContainSubstring("soon")))
}
