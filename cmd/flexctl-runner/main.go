// Command flexctl-runner runs flexctl in the pod of a renewal Job. It is static and small: a container of the operator's
// image installs it on a volume in memory, and the container of flexctl's image runs it from there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	var w anypoint.Wrapper
	flags := pflag.NewFlagSet("flexctl-runner", pflag.ContinueOnError)
	flags.StringVar(&w.Flexctl, "flexctl", "flexctl", "The flexctl program: a path, or a name on the PATH.")
	flags.StringSliceVar(&w.Hosts, "anypoint-hosts", nil, "Control planes that credentials may be sent to.")
	flags.StringVar(&w.Input, "attempt", "", "The directory with the attempt's Secret.")
	flags.StringVar(&w.Result, "result", "", "The directory for the renewed registration.")
	flags.StringVar(&w.Work, "work", "", "A directory for flexctl's files.")
	flags.TimeVar(&w.StartBefore, "start-before", time.Time{}, []string{time.RFC3339}, "When it is too late to start flexctl.")
	flags.DurationVar(&w.Deadline, "deadline", 0, "How long flexctl may take.")
	flags.StringVar(&w.TerminationLog, "termination-log", "", "The file for the termination message.")
	if err := flags.Parse(arguments); err != nil {
		fmt.Fprintln(os.Stderr, "flexctl-runner:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return w.Run(ctx, clock.RealClock{}.Now(), os.Stderr)
}
