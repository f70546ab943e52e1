// Package operator runs the operator inside a test's process, against a real control plane, with a clock that the
// test moves, and so that it can be killed.
package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/controllers"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/salesforce"
)

// Options say how the operator runs.
type Options struct {
	// Config connects as the operator's user.
	Config *rest.Config
	// Renewer asks the platform; nothing of it goes on after Kill. Where Jobs is set, Jobs do that instead, and go on.
	Renewer anypoint.Renewer
	Jobs    *job.Config
	Clock   clock.WithTicker
	// AnypointHosts, MaxFailedRollouts and ObserveOnly are as the manager's flags.
	AnypointHosts     []string
	MaxFailedRollouts int
	ObserveOnly       bool
	// MaxConcurrent is as the manager's flag, 4 by default; so is MaxRenewalsPerMinute, any number by default.
	MaxConcurrent, MaxRenewalsPerMinute int
	// Platform, where set, is asked once a day whether credentials work, and what replicas run with; without, nothing is checked or rehearsed.
	Platform *platform.Client
	// Salesforce, where set, has the operator watch ExperienceHubConnections too; it takes Platform.
	Salesforce *salesforce.Client
	// Namespace, where set, is the only one that the operator watches; Selector, where set, that of its shard.
	Namespace string
	Selector  labels.Selector
	// Log receives what the operator logs.
	Log io.Writer
	// Transport, where set, wraps the connection to the API server.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Ahead is how much the clocks of operators in tests are ahead of the cluster's: by more than new pods are watched, which
// so need not be waited for.
const Ahead = 5 * time.Minute

// Operator is a running operator.
type Operator struct {
	cancel context.CancelFunc
	done   chan error
	dead   atomic.Bool
	killed context.Context //nolint:containedctx // It is the life of the process that this stands for.
	kill   context.CancelFunc
}

// Scheme knows the types that tests use.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}

// settingLogger guards what all operators of a process share, and of which the last one counts.
var settingLogger sync.Mutex

// Start runs an operator with fresh memory.
func Start(o Options) (*Operator, error) {
	op := &Operator{done: make(chan error, 1)}
	op.killed, op.kill = context.WithCancel(context.Background())
	config := rest.CopyConfig(o.Config)
	if o.Transport != nil {
		config.Wrap(o.Transport)
	}
	// Outermost, so that a dead operator's requests reach nothing.
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if op.dead.Load() {
				return nil, errors.New("connection refused: the operator is dead")
			}
			return next.RoundTrip(request.WithContext(merge(request.Context(), op.killed)))
		})
	})
	config.QPS = -1
	config.WarningHandlerWithContext = controllers.Warnings{WarningHandlerWithContext: rest.NoWarnings{}}
	logger := zap.New(zap.WriteTo(o.Log), zap.UseDevMode(false), zap.StacktraceLevel(zapcore.DPanicLevel))
	scope := controllers.Scope{Selector: o.Selector}
	if o.Namespace != "" {
		scope.Namespaces = []string{o.Namespace}
	}
	settingLogger.Lock()
	ctrl.SetLogger(logger)
	settingLogger.Unlock()
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:     gateway.NewScheme(),
		Cache:      scope.CacheOptions(),
		Client:     controllers.ClientOptions(),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Logger:     logger,
		Controller: controllerconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		return nil, fmt.Errorf("setting up: %w", err)
	}
	var jobs *job.Runner
	if o.Jobs != nil {
		jobs = &job.Runner{Config: *o.Jobs, Cache: mgr.GetCache(), APIReader: mgr.GetAPIReader(), Client: mgr.GetClient(), Clock: o.Clock}
	}
	if err := (&controllers.Reconciler{
		Jobs:          jobs,
		Client:        mgr.GetClient(),
		Cache:         mgr.GetCache(),
		APIReader:     mgr.GetAPIReader(),
		Recorder:      mgr.GetEventRecorder("flex-registration-operator"),
		Renewer:       mortal{o.Renewer, op.killed},
		Clock:         o.Clock,
		AnypointHosts: o.AnypointHosts,
		Identity:      "test_" + uuid.NewString(),
		MaxConcurrent: cmp.Or(o.MaxConcurrent, 4), MaxRenewalsPerMinute: o.MaxRenewalsPerMinute, MaxFailedRollouts: o.MaxFailedRollouts, ObserveOnly: o.ObserveOnly, Scope: scope,
		Platform: o.Platform, CheckInterval: 24 * time.Hour,
	}).SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the controller: %w", err)
	}
	if o.Salesforce != nil {
		if err := (&controllers.ConnectionReconciler{
			Client: mgr.GetClient(), Cache: mgr.GetCache(), APIReader: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("flex-registration-operator"),
			Clock: o.Clock, Anypoint: o.Platform, Salesforce: o.Salesforce, CheckInterval: 24 * time.Hour, ObserveOnly: o.ObserveOnly,
		}).SetupWithManager(mgr); err != nil {
			return nil, fmt.Errorf("setting up the controller of ExperienceHubConnections: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	op.cancel = cancel
	go func() { op.done <- mgr.Start(ctx) }()
	return op, nil
}

// Stop ends the operator as SIGTERM does.
func (op *Operator) Stop() error {
	op.cancel()
	err := <-op.done
	op.dead.Store(true)
	op.kill()
	return err
}

// Kill ends the operator as SIGKILL does: from now on nothing that it does has any effect.
func (op *Operator) Kill() {
	op.dead.Store(true)
	op.kill()
	op.cancel()
}

// Wait returns when everything of a killed operator has ended, so that it can't disturb what follows. The error is
// what it ended with.
func (op *Operator) Wait() error { return <-op.done }

// mortal is a renewer whose flexctl dies with the operator.
type mortal struct {
	anypoint.Renewer
	killed context.Context //nolint:containedctx // See Operator.
}

func (m mortal) Renew(ctx context.Context, old *registration.Registration, c anypoint.Credentials) (*registration.Registration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.killed, cancel)()
	return m.Renewer.Renew(ctx, old, c)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// merge returns a context that also ends when the second one does.
func merge(ctx, other context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(other, cancel)
	return ctx
}
