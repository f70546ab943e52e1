// Flex-gateway is the simulated main process of a Flex Gateway: it connects to
// the simulated Anypoint Platform with the certificate of its registration.
//
// POD_NAME (or else the host's name) and POD_NAMESPACE (or else "default") name
// the replica, SSL_CERT_FILE what it trusts, FLEX_GATEWAY_PROBE_DIRECTORY where
// flexctl probe finds it, and FLEX_GATEWAY_SIMULATE how it fails: crash,
// crash-after=20s or never-ready.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "[flex-gateway][error] %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, log io.Writer) error {
	flags := pflag.NewFlagSet("flex-gateway", pflag.ContinueOnError)
	directory := flags.String("directory", simulator.ConfigurationDirectory, "directory to search for the registration")
	version := flags.String("version", simulator.DefaultGatewayVersion, "version to tell the platform")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return simulator.FlexGateway{
		Directory: *directory,
		Name:      cmp.Or(os.Getenv("POD_NAME"), host) + "." + cmp.Or(os.Getenv("POD_NAMESPACE"), "default"),
		Version:   *version,
		Simulate:  os.Getenv("FLEX_GATEWAY_SIMULATE"),
		Log:       log,
	}.Run(ctx)
}
