// Command manager runs the operator.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/controllers"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// version is set by the linker.
var version = "development"

// superviseCommand is how the operator calls itself to run flexctl: see anypoint.Supervise.
const superviseCommand = "supervise"

type options struct {
	anypointHosts           []string
	flexctl                 string
	maxConcurrent           int
	leaderElect             bool
	leaderElectionNamespace string
	metricsAddress          string
	probeAddress            string
	logLevel                string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == superviseCommand {
		os.Exit(anypoint.Supervise(os.Args[2:]))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "flex-registration-operator:", err)
		os.Exit(1)
	}
}

// flags declares the command line, in the groups in which --help shows it.
func flags(o *options) *pflag.FlagSet {
	var sets cliflag.NamedFlagSets
	f := sets.FlagSet("Anypoint Platform")
	f.StringSliceVar(&o.anypointHosts, "anypoint-hosts", []string{"anypoint.mulesoft.com", "eu1.anypoint.mulesoft.com", "gov.anypoint.mulesoft.com"},
		"Control planes that credentials may be sent to, as host or host:port. A registration that names another one is never renewed.")
	f.StringVar(&o.flexctl, "flexctl", "flexctl", "The flexctl program that renews: a path, or a name on the PATH.")

	f = sets.FlagSet("Controller")
	f.IntVar(&o.maxConcurrent, "max-concurrent", 8, "How many gateways are worked on at once. Renewals that share a credentials Secret run one after another.")
	f.BoolVar(&o.leaderElect, "leader-elect", os.Getenv("KUBERNETES_SERVICE_HOST") != "", "Work only while holding the lease flex-registration-operator, so that one of several replicas does. It is released on stop. On by default in a cluster.")
	f.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "The namespace of the lease. Default: the operator's own.")

	f = sets.FlagSet("Observability")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "Where Prometheus metrics are served over HTTP, at /metrics; 0 for nowhere.")
	f.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "Where /healthz and /readyz are served; 0 for nowhere.")
	f.StringVar(&o.logLevel, "log-level", "info", "What is logged, as JSON lines on standard error: error, info or debug.")

	all := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	for _, name := range sets.Order {
		all.AddFlagSet(sets.FlagSets[name])
	}
	all.Usage = func() {
		fmt.Fprintf(os.Stderr, "flex-registration-operator %s keeps the platform registrations of Flex Gateways valid.\n\nUsage: manager [flags]\n"+
			"The cluster is the one that the KUBECONFIG environment variable names, or else the one it runs in.\n", version)
		cliflag.PrintSections(os.Stderr, sets, 100)
	}
	return all
}

func run(arguments []string) error {
	var o options
	if err := flags(&o).Parse(arguments); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return fmt.Errorf("--log-level=%s: write error, info or debug", o.logLevel)
	}
	logger := zap.New(zap.UseDevMode(false), zap.Level(level), zap.StacktraceLevel(zapcore.DPanicLevel))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger.WithName("client-go"))

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = "flex-registration-operator/" + version

	// A renewal that is under way when the operator is stopped is finished and recorded first.
	grace := renewal.Hold + controllers.OutcomeGrace
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(),
		Client:                        controllers.ClientOptions(),
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "flex-registration-operator",
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		// A leader that can't reach the API server for a while goes on holding the answer of the platform: losing the
		// lease would end it. SIGTERM releases the lease, so only a crash costs the whole duration.
		LeaseDuration:           ptr.To(5 * time.Minute),
		RenewDeadline:           ptr.To(4 * time.Minute),
		RetryPeriod:             ptr.To(5 * time.Second),
		GracefulShutdownTimeout: &grace,
	})
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}

	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the operator's own program: %w", err)
	}
	renewer := &anypoint.Exec{Flexctl: o.flexctl, Hosts: o.anypointHosts, Supervisor: anypoint.Supervisor(executable, superviseCommand)}
	if err := renewer.Sweep(); err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding this machine's name, for the record: %w", err)
	}
	if err := (&controllers.Reconciler{
		Client:        mgr.GetClient(),
		APIReader:     mgr.GetAPIReader(),
		Recorder:      mgr.GetEventRecorder("flex-registration-operator"),
		Renewer:       renewer,
		Clock:         clock.RealClock{},
		AnypointHosts: o.anypointHosts,
		Identity:      hostname + "_" + uuid.NewString(),
		MaxConcurrent: o.maxConcurrent,
	}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	logger.Info("starting", "version", version)
	return mgr.Start(ctrl.SetupSignalHandler())
}
