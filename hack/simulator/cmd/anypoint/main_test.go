package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestRun(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"--ca-file=" + filepath.Join(dir, "ca.pem"), "--directory", dir, "--validity=48h",
			"--credentials-file", filepath.Join(dir, "credentials"), "--gateway=late=24h", "--gateway", "expired=-1h"}, writer)
	}()
	var told struct {
		URL, ClientID string
		Gateways      []gateway
	}
	g.Expect(json.NewDecoder(reader).Decode(&told)).To(Succeed())
	g.Expect(told.URL).To(HavePrefix("https://127.0.0.1:"))
	g.Expect(told.Gateways).To(HaveLen(2))
	g.Expect(told.Gateways[0]).To(HaveField("Name", "expired"))
	g.Expect(os.ReadFile(told.Gateways[1].File)).To(ContainSubstring(told.Gateways[1].AgentID))
	g.Expect(os.ReadFile(filepath.Join(dir, "credentials"))).To(HavePrefix("client-id=" + told.ClientID + "\nclient-secret="))
	g.Expect(filepath.Join(dir, "ca.pem")).To(BeARegularFile())
	stop()
	g.Expect(<-ended).To(Succeed())

	g.Expect(run(ctx, []string{"--gateway=x=soon"}, io.Discard)).To(MatchError(ContainSubstring("soon")))
}
