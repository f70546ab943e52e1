// Anypoint runs a simulated Anypoint Platform until it is told to stop.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// gateway is what is told of each gateway.
type gateway struct {
	Name     string    `json:"name"`
	AgentID  string    `json:"agentID"`
	File     string    `json:"file"`
	NotAfter time.Time `json:"notAfter"`
}

// run starts the platform, prints one line of JSON about it, and returns when
// ctx is done. The client secret goes only into the credentials file.
func run(ctx context.Context, arguments []string, stdout io.Writer) (err error) {
	flags := pflag.NewFlagSet("anypoint", pflag.ContinueOnError)
	address := flags.String("address", "127.0.0.1:0", "address to listen on")
	hosts := flags.StringSlice("host", nil,
		"name or IP address that clients reach the platform by, for its certificate; the first stands in registrations; repeatable")
	adminAddress := flags.String("admin-address", "",
		"FOR TESTS ONLY: address to serve /simulator/ on over plain HTTP, without any authentication, with private keys and secrets; default: nowhere")
	caFile := flags.String("ca-file", "", "file to write the CA into, for SSL_CERT_FILE")
	credentialsFile := flags.String("credentials-file", "",
		"file to write client-id= and client-secret= into, for kubectl create secret --from-env-file")
	validity := flags.Duration("validity", 450*24*time.Hour, "validity of issued certificates")
	directory := flags.String("directory", ".", "directory for the gateways' files, NAME/registration.yaml")
	gateways := flags.StringToString("gateway", nil, "NAME=REMAINING of a gateway to register, as in ingress=240h; repeatable")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	p, err := simulator.Start(simulator.Options{Address: *address, Hosts: *hosts, Validity: *validity})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()

	clientID, clientSecret := p.AddConnectedApp()
	if *caFile != "" {
		if err := p.WriteCA(*caFile); err != nil {
			return err
		}
	}
	if *credentialsFile != "" {
		credentials := fmt.Appendf(nil, "client-id=%s\nclient-secret=%s\n", clientID, clientSecret)
		if err := os.WriteFile(*credentialsFile, credentials, 0o600); err != nil {
			return err
		}
	}
	registered := []gateway{}
	for name, remaining := range *gateways {
		g, err := register(p, name, remaining, *directory)
		if err != nil {
			return err
		}
		registered = append(registered, g)
	}
	slices.SortFunc(registered, func(a, b gateway) int { return a.NotAfter.Compare(b.NotAfter) })
	told := map[string]any{
		"url": p.URL(), "clientID": clientID, "gateways": registered,
		"organizationID": p.OrganizationID(), "environmentID": p.EnvironmentID(),
	}
	if *adminAddress != "" {
		admin, listening, err := serveAdmin(p, *adminAddress)
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close() }()
		told["adminAddress"] = listening
	}
	if err := json.NewEncoder(stdout).Encode(told); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serveAdmin serves the platform's admin calls, and gives the address that it
// listens on.
func serveAdmin(p *simulator.Platform, address string) (*http.Server, string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("serve the admin calls, --admin-address: %w", err)
	}
	server := &http.Server{Handler: p.Admin(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, listener.Addr().String(), nil
}

func register(p *simulator.Platform, name, remaining, directory string) (gateway, error) {
	d, err := time.ParseDuration(remaining)
	if err != nil {
		return gateway{}, fmt.Errorf("--gateway %s: %w", name, err)
	}
	g, err := p.Register(name, d)
	if err != nil {
		return gateway{}, err
	}
	path := filepath.Join(directory, filepath.Base(name), "registration.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return gateway{}, err
	}
	return gateway{g.Name, g.AgentID, path, g.NotAfter}, os.WriteFile(path, g.File, 0o600)
}
