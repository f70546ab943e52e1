package job

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// The commands of the operator's program in the Job's pod: CommandPrepare comes before flexctl, CommandHandoff after it.
const (
	CommandPrepare = "prepare"
	CommandHandoff = "handoff"
)

// RunCommand runs a command, which is the first of the arguments, with the flags that the Job gives it. The one that hands over
// goes on when it is asked to stop, as long as the pod lets it: what it has can't be had again.
func RunCommand(arguments []string) error {
	flags := pflag.NewFlagSet(arguments[0], pflag.ContinueOnError)
	secret := flags.String("secret", "", "The metadata of the Secret to hand the result over in, as JSON.")
	access := flags.String("access", "", "The directory with the token and the certificates of the API server.")
	result := flags.String("result", "", "The directory with the result.")
	program := flags.String("install", "", "The program to install.")
	to := flags.String("to", "", "Where to install it.")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	config, err := accessConfig(*access)
	if err != nil {
		return err
	}
	if arguments[0] == CommandHandoff {
		signal.Ignore(syscall.SIGTERM)
		return handOff(context.Background(), config, *secret, *result)
	}
	if err := anypoint.Install(*program, *to); err != nil {
		return err
	}
	return rehearseHandoff(ctrl.SetupSignalHandler(), config, *secret)
}
