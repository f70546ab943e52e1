// Command manager runs the operator.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for windows: the image has no time zones

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/controllers"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
	"github.com/flexops/flex-registration-operator/internal/metrics"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/internal/salesforce"
)

// version and commit are set by the linker.
var version, commit = "development", ""

// superviseCommand runs flexctl for the operator: see anypoint.Supervise.
const superviseCommand = "supervise"

// The environment variables that name the operator's own pod.
const (
	podName      = "POD_NAME"
	podNamespace = "POD_NAMESPACE"
)

// The ways to run flexctl.
const (
	renewerJob  = "job"
	renewerExec = "exec"
)

type options struct {
	// Reconciler, manager and jobs have the settings that are their own; run adds what they work with.
	controllers.Reconciler
	manager         ctrl.Options
	jobs            job.Config
	salesforceHosts []string
	experienceHub   bool
	renewer         string
	flexctl         string
	secrets         []string
	selector        string
	anypointCA      string
	logLevel        string
}

func main() {
	command, arguments := "", os.Args[1:]
	if len(arguments) > 0 {
		command = arguments[0]
	}
	var err error
	switch command {
	case superviseCommand:
		os.Exit(anypoint.Supervise(arguments[1:]))
	case job.CommandPrepare, job.CommandHandoff:
		err = job.RunCommand(arguments)
	case "unmanaged":
		err = listUnmanaged()
	default:
		err = run(arguments)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flex-registration-operator:", err)
		os.Exit(1)
	}
}

// flags declares the command line, in the groups in which --help shows it.
func flags(o *options) *pflag.FlagSet {
	var sets cliflag.NamedFlagSets
	f := sets.FlagSet("Anypoint Platform")
	f.StringSliceVar(&o.AnypointHosts, "anypoint-hosts", []string{"anypoint.mulesoft.com", "eu1.anypoint.mulesoft.com", "gov.anypoint.mulesoft.com"},
		"Control planes that credentials may be sent to, as host or host:port. A registration that names another one is never renewed.")
	f.DurationVar(&o.CheckInterval, "check-interval", 24*time.Hour, "How often it is checked, beside when something changes, whether Anypoint accepts the credentials, whether a renewal would go through, and what the replicas run with: from 1h, or 0 for never.")
	f.StringVar(&o.anypointCA, "anypoint-ca", "", "A file with certificates in PEM to trust beside the system's when Anypoint, or Salesforce, is asked over HTTP: a proxy may have one for both.")
	f.BoolVar(&o.experienceHub, "experience-hub", false, "Watch ExperienceHubConnections, where the cluster has such when the operator starts. It takes rights of its own, without which the operator can't start then, and is not for --secrets.")
	f.StringSliceVar(&o.salesforceHosts, "salesforce-hosts", []string{"*.my.salesforce.com"},
		"Hosts of Salesforce organizations that credentials of ExperienceHubConnections may be sent to: host, host:port, or *.DOMAIN.")
	inCluster := os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	renewer := renewerExec
	if inCluster {
		renewer = renewerJob
	}
	f.StringVar(&o.renewer, "renewer", renewer, "Where flexctl runs: in a Job in the gateway's namespace, from the gateway's own image (job), or in this process's container (exec). Default: job in a cluster, else exec.")

	f = sets.FlagSet("Renewing in Jobs")
	f.StringVar(&o.jobs.OperatorImage, "job-image", "", "The operator's own image, which the Job's pod needs beside flexctl's. Default: that of the pod which POD_NAME and POD_NAMESPACE name, its own.")
	f.StringSliceVar(&o.jobs.Images, "flexctl-images", nil, "Repositories that spec.flexctl.image may be of, beside that of the gateway's own image: mulesoft/flex-gateway, or with wildcards registry.example.com/mirror/*.")
	f.BoolVar(&o.jobs.ManageRBAC, "manage-handoff-rbac", true, "Make the ServiceAccount, Role and RoleBinding by which a Job's pod hands its result over. Without, an administrator creates them beforehand, named flexreg-handoff-NAME for each FlexRegistration NAME.")
	f.StringSliceVar(&o.jobs.PullSecrets, "job-pull-secrets", nil, "Pull secrets of the Job's pod, by name in the gateway's namespace, beside those of the gateway's pods and of their ServiceAccount.")
	f.StringToStringVar(&o.jobs.Labels, "job-labels", nil, "Labels to add to the Job and its pod, as NAME=VALUE: for network policies, for example.")

	f = sets.FlagSet("Renewing in this process")
	f.StringVar(&o.flexctl, "flexctl", "flexctl", "The flexctl program that renews: a path, or a name on the PATH.")

	f = sets.FlagSet("Scope")
	f.StringSliceVar(&o.Scope.Namespaces, "namespaces", nil, "The namespaces to look after, for an operator with rights in these alone. Default: all.")
	f.StringSliceVar(&o.secrets, "secrets", nil, "The Secrets to look after, as NAMESPACE/NAME, for an operator with rights on these alone: of each gateway its Secret, its credentials and its record, which an administrator makes beforehand. They say which namespaces to look after. Not with --renewer=job, which makes Secrets.")
	f.StringVar(&o.selector, "selector", "", "The FlexRegistrations and ExperienceHubConnections to look after, by a selector of their labels, so that several operators can share a fleet: shard=a, shard in (a,b), !shard. Their selectors must not overlap. Default: all.")

	f = sets.FlagSet("Controller")
	f.IntVar(&o.MaxConcurrent, "max-concurrent", 8, "How many gateways are worked on, and how many renewals with their rollouts are under way, at once; the most urgent begin first. Renewals with credentials that are not known to be good run one after another.")
	f.IntVar(&o.MaxRenewalsPerMinute, "max-renewals-per-minute", 20, "How many renewals begin in a minute, the most urgent first; 0 for any number. Anypoint limits how often it may be asked.")
	f.IntVar(&o.MaxFailedRollouts, "max-failed-rollouts", 2, "After how many failed rollouts in a row, of any gateways, renewals pause that are not urgent; 0 for never. One a day is tried all the same.")
	f.BoolVar(&o.ObserveOnly, "observe-only", false, "Only watch, and tell in the status what is due and what is wrong: nothing is renewed, published or rolled, and nothing written but the status of FlexRegistrations. Set --leader-elect=false and run one replica.")
	f.BoolVar(&o.manager.LeaderElection, "leader-elect", inCluster, "Work only while holding a lease, so that one of several replicas does. It is released on stop. On by default in a cluster.")
	f.StringVar(&o.manager.LeaderElectionID, "leader-election-id", "", "The name of the lease. Operators that share a fleet (--selector) have one each, and must name it. Default: flex-registration-operator.")
	f.StringVar(&o.manager.LeaderElectionNamespace, "leader-election-namespace", "", "The namespace of the lease. Default: the operator's own.")

	f = sets.FlagSet("Observability")
	f.StringVar(&o.manager.Metrics.BindAddress, "metrics-bind-address", ":8080", "Where Prometheus metrics are served, at /metrics; 0 for nowhere.")
	f.BoolVar(&o.manager.Metrics.SecureServing, "metrics-secure", false, "Serve metrics over TLS, to those only who have a token of the cluster and the right to get the URL /metrics.")
	f.StringVar(&o.manager.Metrics.CertDir, "metrics-cert-dir", "", "A directory with tls.crt and tls.key for --metrics-secure, which are read anew when they change. Default: a certificate that nobody has signed, made at the start.")
	f.StringVar(&o.manager.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "Where /healthz and /readyz are served; 0 for nowhere.")
	f.StringVar(&o.logLevel, "log-level", "info", "What is logged, as JSON lines on standard error: error, info or debug.")

	all := pflag.NewFlagSet("manager", pflag.ContinueOnError)
	for _, name := range sets.Order {
		all.AddFlagSet(sets.FlagSets[name])
	}
	all.Usage = func() {
		fmt.Fprintf(os.Stderr, "flex-registration-operator %s keeps the platform registrations of Flex Gateways valid.\n\nUsage: manager [flags]\n       manager unmanaged   prints FlexRegistrations for gateways that none covers\n\n"+
			"The cluster is the one that the KUBECONFIG environment variable names, or else the one it runs in.\n", version)
		cliflag.PrintSections(os.Stderr, sets, 100)
	}
	return all
}

func run(arguments []string) error {
	var o options
	set := flags(&o)
	switch err := set.Parse(arguments); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return err
	case set.NArg() > 0:
		return fmt.Errorf("%q is neither a flag nor a command: write values of flags as --FLAG=VALUE; --help has both", set.Arg(0))
	}
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return fmt.Errorf("--log-level=%s: write error, info or debug", o.logLevel)
	}
	if err := o.check(); err != nil {
		return err
	}
	logger := zap.New(zap.UseDevMode(false), zap.Level(level), zap.StacktraceLevel(zapcore.DPanicLevel))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger.WithName("client-go"))
	if os.Getenv("GOGC") == "" {
		// It rests most of the time: memory is what it costs then.
		debug.SetGCPercent(25)
	}

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = userAgent()
	config.WarningHandlerWithContext = controllers.Warnings{WarningHandlerWithContext: log.NewKubeAPIWarningLogger(log.KubeAPIWarningLoggerOptions{})}

	fleet := &metrics.Fleet{Shard: o.Scope.Selector != nil}
	if o.manager.Metrics.SecureServing {
		fleet.Access = &metrics.Access{Clock: clock.RealClock{}}
	}
	m := &o.manager
	m.Scheme, m.Cache, m.Client = gateway.NewScheme(), o.Scope.CacheOptions(), controllers.ClientOptions()
	m.Metrics.FilterProvider = fleet.Filter
	m.LeaderElectionID = cmp.Or(m.LeaderElectionID, "flex-registration-operator")
	// A leader that can't reach the API server for a while goes on holding the answer of the platform: losing the
	// lease would end it. SIGTERM releases the lease, so only a crash costs the whole duration.
	m.LeaderElectionReleaseOnCancel = true
	m.LeaseDuration, m.RenewDeadline, m.RetryPeriod = ptr.To(5*time.Minute), ptr.To(4*time.Minute), ptr.To(5*time.Second)
	// A renewal that is under way when the operator is stopped is finished and recorded first.
	m.GracefulShutdownTimeout = ptr.To(renewal.Hold + controllers.OutcomeGrace)
	mgr, err := ctrl.NewManager(config, o.manager)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}

	o.Client, o.Cache, o.APIReader, o.Clock = mgr.GetClient(), mgr.GetCache(), mgr.GetAPIReader(), clock.RealClock{}
	fleet.Cache = o.Cache
	if o.ObserveOnly {
		logger.Info("only observing")
	} else if o.renewer == renewerJob {
		o.Jobs, err = o.jobRunner(mgr)
	} else {
		o.Renewer, err = o.execRenewer()
	}
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding this machine's name, for the record: %w", err)
	}
	o.Identity, o.Version = hostname+"_"+uuid.NewString(), version+" "+commit
	o.Recorder, o.Activity = mgr.GetEventRecorder("flex-registration-operator"), metrics.NewActivity(ctrlmetrics.Registry)
	if o.CheckInterval > 0 {
		asks, err := o.asks(o.AnypointHosts)
		if err != nil {
			return err
		}
		asks.Observe = o.Activity.Requested
		if o.Platform, err = platform.New(asks); err != nil {
			return err
		}
	}
	if err := o.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	if err := o.watchConnections(mgr, fleet); err != nil {
		return fmt.Errorf("setting up the controller of ExperienceHubConnections: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	logger.Info("starting", "version", version, "commit", commit, "renewer", o.renewer, "selector", o.selector)
	return mgr.Start(ctrl.SetupSignalHandler())
}

// check says what is wrong with flags that are valid one by one.
func (o *options) check() error {
	switch {
	case o.renewer != renewerJob && o.renewer != renewerExec:
		return fmt.Errorf("--renewer=%s: write %s or %s", o.renewer, renewerJob, renewerExec)
	case o.CheckInterval != 0 && o.CheckInterval < time.Hour:
		return fmt.Errorf("--check-interval=%s: write at least 1h, or 0 for never", o.CheckInterval)
	case o.ObserveOnly && o.manager.LeaderElection:
		return errors.New("--observe-only writes no lease: run one replica, with --leader-elect=false")
	case o.selector != "" && o.manager.LeaderElection && o.manager.LeaderElectionID == "":
		return errors.New("--selector needs --leader-election-id, the name of this operator's own lease: operators with one lease in a namespace work one at a time")
	case o.renewer == renewerJob && !o.ObserveOnly && o.jobs.OperatorImage == "" && os.Getenv(podName) == "":
		return fmt.Errorf("--renewer=job needs --job-image outside of a pod that has its name in %s and %s: the image that the operator itself runs from", podName, podNamespace)
	}
	if err := o.readScope(); err != nil {
		return err
	}
	if err := job.CheckImages(o.jobs.Images); err != nil {
		return fmt.Errorf("--flexctl-images: %w", err)
	}
	return nil
}

// readScope reads what is looked at.
func (o *options) readScope() error {
	selector, err := labels.Parse(o.selector)
	if err != nil {
		return fmt.Errorf("--selector=%q is no label selector: %w: write shard=a, shard in (a,b) or !shard, for example", o.selector, err)
	}
	if !selector.Empty() {
		o.Scope.Selector = selector
	}
	for _, namespace := range o.Scope.Namespaces {
		if len(validation.IsDNS1123Label(namespace)) > 0 { // An empty one would stand for all.
			return fmt.Errorf("--namespaces: %q is no name of a namespace: write them with commas and without spaces", namespace)
		}
	}
	switch {
	case len(o.secrets) == 0:
		return nil
	case len(o.Scope.Namespaces) > 0:
		return errors.New("--secrets says which namespaces to look after: leave out --namespaces")
	case o.experienceHub:
		return errors.New("--experience-hub is not for --secrets: it watches Secrets that no gateway names")
	case o.renewer == renewerJob && !o.ObserveOnly:
		return errors.New("--secrets is for --renewer=exec or --observe-only: renewals in Jobs make Secrets, and need --namespaces")
	}
	for _, secret := range o.secrets {
		namespace, name, _ := strings.Cut(secret, "/")
		if namespace == "" || name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("--secrets: %q: write NAMESPACE/NAME", secret)
		}
		o.Scope.Secrets = append(o.Scope.Secrets, types.NamespacedName{Namespace: namespace, Name: name})
		if !slices.Contains(o.Scope.Namespaces, namespace) {
			o.Scope.Namespaces = append(o.Scope.Namespaces, namespace)
		}
	}
	return nil
}

// jobRunner renews in Jobs.
func (o *options) jobRunner(mgr ctrl.Manager) (*job.Runner, error) {
	o.jobs.Hosts = o.AnypointHosts
	var err error
	if o.jobs.OperatorImage == "" {
		if o.jobs.OperatorImage, err = ownImage(o.APIReader); err != nil {
			return nil, err
		}
	}
	if o.jobs.Network, err = anypoint.NetworkFromEnvironment(); err != nil {
		return nil, err
	}
	// OpenShift assigns users to pods, and refuses those that ask for one.
	_, err = mgr.GetRESTMapper().KindFor(schema.GroupVersionResource{Group: "security.openshift.io", Resource: "securitycontextconstraints"})
	if err != nil && !meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("finding out whether the cluster is OpenShift: %w", err)
	}
	o.jobs.AssignedUser = err == nil
	return &job.Runner{Config: o.jobs, Cache: o.Cache, APIReader: o.APIReader, Client: o.Client, Clock: o.Clock}, nil
}

// ownImage is the image that this process runs from.
func ownImage(r client.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pod, key := &corev1.Pod{}, client.ObjectKey{Namespace: os.Getenv(podNamespace), Name: os.Getenv(podName)}
	if err := r.Get(ctx, key, pod); err != nil {
		return "", fmt.Errorf("looking for the operator's own image, for --job-image, in its pod %s: %w", key, err)
	}
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "manager" })
	return pod.Spec.Containers[max(i, 0)].Image, nil
}

// userAgent is by which servers know the operator.
func userAgent() string { return "flex-registration-operator/" + version }

// asks are the options of a client that asks some hosts over HTTP.
func (o *options) asks(hosts []string) (httpclient.Options, error) {
	asks := httpclient.Options{Hosts: hosts, UserAgent: userAgent(), Clock: o.Clock}
	var err error
	if o.anypointCA != "" {
		if asks.CA, err = os.ReadFile(o.anypointCA); err != nil {
			err = fmt.Errorf("--anypoint-ca: %w", err)
		}
	}
	return asks, err
}

// execRenewer renews in this process's container.
func (o *options) execRenewer() (anypoint.Renewer, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the operator's own program: %w", err)
	}
	renewer := &anypoint.Exec{Flexctl: o.flexctl, Hosts: o.AnypointHosts, Supervisor: anypoint.Supervisor(executable, superviseCommand)}
	return renewer, renewer.Sweep()
}

// listUnmanaged prints the gateways that no FlexRegistration covers, and what to apply to have them watched.
func listUnmanaged() error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: gateway.NewScheme()})
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	found, err := gateway.WriteManifests(ctx, c, metav1.NamespaceAll, gateway.DefaultCredentials, os.Stdout)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d Deployments with a registration are not covered by a FlexRegistration\n", found)
	return nil
}

// watchConnections adds the controller of ExperienceHubConnections, and has them told by metrics, where the cluster has such when the
// operator starts: who has no API Experience Hub leaves their CRD away.
func (o *options) watchConnections(mgr ctrl.Manager, fleet *metrics.Fleet) error {
	if !o.experienceHub {
		return nil
	}
	asks, err := o.asks(o.salesforceHosts)
	if err != nil {
		return err
	}
	asked, err := salesforce.New(asks)
	if err != nil {
		return fmt.Errorf("--salesforce-hosts: %w", err)
	}
	_, err = mgr.GetRESTMapper().RESTMapping(v1alpha1.GroupVersion.WithKind("ExperienceHubConnection").GroupKind(), v1alpha1.GroupVersion.Version)
	switch {
	case meta.IsNoMatchError(err) || o.CheckInterval == 0:
		ctrl.Log.Info("not watching ExperienceHubConnections: the cluster had none when the operator was started, or --check-interval is 0")
		return nil
	case err != nil:
		return fmt.Errorf("finding out whether the cluster has them: %w", err)
	}
	fleet.Connections = true
	return (&controllers.ConnectionReconciler{
		Client: o.Client, Cache: o.Cache, APIReader: o.APIReader, Recorder: o.Recorder, Clock: o.Clock,
		Anypoint: o.Platform, Salesforce: asked, CheckInterval: o.CheckInterval, ObserveOnly: o.ObserveOnly,
	}).SetupWithManager(mgr)
}
