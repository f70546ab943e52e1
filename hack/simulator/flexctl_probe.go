package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"
)

// probeTimeout bounds a probe. The real one's is unknown.
const probeTimeout = 5 * time.Second

// probeCommand asks the gateway's main process how it is. What the real one
// prints is unknown. The vendor's chart may give it more flags, which don't matter.
func (f Flexctl) probeCommand(arguments []string) error {
	flags := pflag.NewFlagSet("flexctl probe", pflag.ContinueOnError)
	flags.SetOutput(f.Stdout)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	check := flags.String("check", "", "liveness or readiness")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *check != "liveness" && *check != "readiness" {
		return fmt.Errorf("invalid check %q: it is liveness or readiness", *check)
	}
	client := http.Client{Timeout: probeTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", probeSocket(""))
		},
	}}
	response, err := client.Get("http://flex-gateway/" + *check)
	if err != nil {
		return fmt.Errorf("ask the gateway's main process, which may not be running: %w", errors.Unwrap(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("read the answer of the gateway's main process: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	fmt.Fprintln(f.Stdout, string(text))
	return nil
}
