// Command testpod is what pods of the tests run to show that the cluster works. It has these commands:
//
//	write FILE TEXT           writes TEXT to FILE
//	ask FILE PATH STATUS ...  reads FILE, then gets each PATH from the API server with the pod's own token, and
//	                          fails if the answer's status is not STATUS
//	serve ADDRESS             answers HTTP requests with their path, and logs them, until it is told to end
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testpod:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "write":
		return os.WriteFile(args[1], []byte(args[2]), 0o600)
	case len(args) >= 4 && len(args)%2 == 0 && args[0] == "ask":
		return ask(ctx, args[1], args[2:])
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	}
	return fmt.Errorf("unknown command %q", args)
}
