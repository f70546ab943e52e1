package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// Bench is what runs share.
type Bench struct {
	// Cluster leaves the pods of Jobs to Pods.
	Cluster *controlplane.ControlPlane
	Admin   client.WithWatch
	Pods    *Pods
	// Flexctl is the simulated program, Directory where it is run by an operator.
	Flexctl, Directory string
}

// maxRealTime bounds a run.
const maxRealTime = 90 * time.Second

// Result is what a run was like.
type Result struct {
	Calls    []Call
	Fired    []Fault
	Renewals int
	Restarts int
}

// run is one renewal, from a certificate that expires in ten days to a rolled gateway, with faults.
type run struct {
	bench     *Bench
	runner    Runner
	namespace string
	platform  *simulator.Platform
	gateway   simulator.Gateway
	original  *registration.Registration
	clock     *clocktesting.FakeClock
	breaker   *breaker
	options   operator.Options
	log       *safeBuffer
	secrets   []string
	restarts  int

	mu      sync.Mutex
	current *operator.Operator
	// dead: the operator is. away: its successor comes when no Job goes on.
	dead, away bool
	// pod is the one that was started last.
	pod      client.ObjectKey
	deadPods map[string]bool // by name
	spoiled  []error

	// What was seen: fingerprints, in the order in which they were recorded, or handed over; versions of objects; what
	// there is.
	recorded, handedOver     []string
	recordedAt, handedOverAt map[string]time.Time // by the operator's clock
	versions                 []corev1.Secret
	files                    [][]byte
	shown                    []shown
	jobs                     map[string]batchv1.Job
	jobPods                  map[string]corev1.Pod
	allPods                  map[string]corev1.Pod // also those that are gone
}

// Renew does a whole renewal in a namespace of its own with these faults and checks the promises P1 to P7. The
// platform is this run's alone.
func (b *Bench) Renew(ctx context.Context, runner Runner, namespace string, platform *simulator.Platform, faults ...Fault) (result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxRealTime)
	defer cancel()
	r := b.newRun(runner, namespace, platform, faults)
	r.injectPlatform(faults)
	defer func() { err = r.end(ctx, err) }()
	if err := r.begin(ctx); err != nil {
		return Result{}, err
	}
	err = r.converge(ctx)
	if err == nil {
		err = r.checkSilence(ctx, len(faults))
	}
	result.Calls, result.Fired = r.breaker.report()
	result.Renewals, result.Restarts = r.renewals(), r.restarts
	if err != nil {
		return result, errors.Join(err, r.spoils())
	}
	return result, errors.Join(r.checkPromises(ctx, result), r.spoils())
}

func (b *Bench) newRun(runner Runner, namespace string, platform *simulator.Platform, faults []Fault) *run {
	r := &run{
		bench: b, runner: runner, namespace: namespace, platform: platform, log: &safeBuffer{},
		clock:      clocktesting.NewFakeClock(time.Now().Truncate(time.Second).Add(operator.Ahead)),
		recordedAt: map[string]time.Time{}, handedOverAt: map[string]time.Time{},
		deadPods: map[string]bool{}, jobs: map[string]batchv1.Job{}, jobPods: map[string]corev1.Pod{}, allPods: map[string]corev1.Pod{},
	}
	r.breaker = newBreaker(faults, r.strike, r.wrote)
	return r
}

// begin makes a gateway, and an operator that is to renew its registration.
func (r *run) begin(ctx context.Context) error {
	if err := r.install(ctx); err != nil {
		return err
	}
	r.bench.Pods.runs.Store(r.namespace, r)
	if err := r.watch(ctx); err != nil {
		return err
	}
	if err := r.start(); err != nil {
		return err
	}
	return r.bench.Admin.Create(ctx, operator.FlexRegistration(r.namespace, operator.GatewayName))
}

// end stops the operator, removes what was made, and adds to an error what may explain it. The FlexRegistration goes
// first: nothing may be renewed while the namespace goes.
func (r *run) end(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	if stopErr := r.stop(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("stopping the operator: %w", stopErr))
	}
	if err != nil {
		err = fmt.Errorf("%w\nthe operator's log:\n%s", err, tail(r.log.String(), 4000))
	}
	for _, object := range []client.Object{operator.FlexRegistration(r.namespace, operator.GatewayName), operator.Namespace(r.namespace)} {
		err = errors.Join(err, client.IgnoreNotFound(r.bench.Admin.Delete(ctx, object)))
	}
	r.bench.Pods.runs.Delete(r.namespace)
	return err
}

// renewals is how many certificates the platform has issued.
func (r *run) renewals() int { return len(r.platform.Renewals(r.gateway.AgentID)) }

func (r *run) install(ctx context.Context) error {
	var err error
	if r.gateway, err = r.platform.Register(operator.GatewayName, 10*24*time.Hour); err != nil {
		return err
	}
	r.files = append(r.files, r.gateway.File)
	if r.original, err = registration.Parse(map[string][]byte{registration.DefaultKey: r.gateway.File}, registration.DefaultKey); err != nil {
		return err
	}
	id, secret := r.platform.AddConnectedApp()
	r.secrets = append(r.secrets, secret)
	for _, object := range []client.Object{
		operator.Namespace(r.namespace),
		operator.RegistrationSecret(r.namespace, r.gateway.File),
		operator.CredentialsSecret(r.namespace, id, secret),
		operator.Deployment(r.namespace, operator.GatewayName, operator.SecretName, 2),
	} {
		if err := r.bench.Admin.Create(ctx, object); err != nil {
			return fmt.Errorf("installing the gateway: %w", err)
		}
	}
	config, err := r.bench.Cluster.User(r.user(), operator.Group)
	if err != nil {
		return err
	}
	r.options = operator.Options{
		Config: config, Clock: r.clock, Namespace: r.namespace, AnypointHosts: []string{r.platform.Host()}, Log: r.log,
		Transport: func(next http.RoundTripper) http.RoundTripper { return r.breaker.Wrap(Operator, next) },
	}
	if r.runner == Jobs {
		r.options.Jobs = r.bench.Pods.config(r.platform.Host())
	} else {
		r.options.Renewer = &anypoint.Exec{Flexctl: r.bench.Flexctl, Hosts: []string{r.platform.Host()}, Directory: r.bench.Directory}
	}
	return poll(ctx, func() (bool, error) {
		pods, err := r.pods(ctx)
		return len(pods) == 2 && !slices.ContainsFunc(pods, notReady), err
	})
}

func (r *run) user() string { return "operator-of-" + r.namespace }
