// Command kubectl-flexreg is a kubectl plugin, called as `kubectl flexreg`: it shows FlexRegistrations, and beside them
// ExperienceHubConnections, as a person would want to see them, and does by name what a person may do to them. It has the rights
// of whoever calls it, and needs no operator to be there. docs/kubectl-plugin.md describes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker.
var version = "development"

// The exit codes.
const (
	exitError    = 1 // the command could not be carried out
	exitNotReady = 2 // it could, and something is not Ready, has failed, or was not done in time
)

// notReady is an outcome, rather than a failure of the command.
type notReady string

func (e notReady) Error() string { return string(e) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, clock.RealClock{})
	stop()
	os.Exit(code)
}

// run carries a command line out, and returns the exit code.
func run(ctx context.Context, arguments []string, streams genericiooptions.IOStreams, now clock.PassiveClock) int {
	ctrl.SetLogger(klog.Background())
	root := newRoot(streams, now) //nolint:contextcheck // Commands have it from cobra.
	root.SetArgs(arguments)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.As(err, new(notReady)) {
		fmt.Fprintln(streams.ErrOut, plain(err))
		return exitNotReady
	}
	fmt.Fprintln(streams.ErrOut, "error:", plain(err))
	return exitError
}

// plain is an error without what a terminal would act on: it may quote anybody.
func plain(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

func newRoot(streams genericiooptions.IOStreams, now clock.PassiveClock) *cobra.Command {
	p := &plugin{IOStreams: streams, clock: now, flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-flexreg",
		Short: "Look after the platform registrations of Flex Gateways",
		Long: "Shows FlexRegistrations, the registrations that they speak of, and ExperienceHubConnections, and does by name what a person may do to them.\n\n" +
			"Exit codes: 0 all is well; 1 the command could not be carried out; 2 something is not Ready, has failed, or was not done in time.",
		Version:       version,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl flexreg"},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	p.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(p.statusCommand(), p.inspectCommand(), p.exportCommand(), p.adoptCommand())
	root.AddCommand(p.editCommands()...)
	return root
}
