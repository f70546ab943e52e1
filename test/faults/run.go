package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	anypointhttp "github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
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
const maxRealTime = 2 * time.Minute

// Result is what a run was like from when calls were broken on.
type Result struct {
	Calls    []Call
	Fired    []Fault
	Renewals int
	Restarts int
}

// run is one story, of a gateway whose certificate expires in ten days, with faults.
type run struct {
	bench     *Bench
	story     Story
	namespace string
	platform  *simulator.Platform
	gateway   simulator.Gateway
	original  *registration.Registration
	clock     *clocktesting.FakeClock
	began     time.Time // a whole minute
	turned    time.Time // when the present chapter began
	breaker   *breaker
	options   operator.Options
	log       *operator.Log
	secrets   []string
	restarts  int
	// theirs are the versions of the gateway's Secret that somebody else has written, edits how often people had the pods
	// replaced.
	theirs []string
	edits  int

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
	record                   renewal.Record
	kept                     [2]string // the record's previous and newest registration
	claims                   []renewal.Intent
	deployment               *appsv1.Deployment
	rollouts                 []string
	rolledAt                 map[int64]time.Time // by number, by the operator's clock
	files                    [][]byte
	shown                    []shown
	jobs                     map[string]batchv1.Job
	jobPods                  map[string]corev1.Pod
	allPods                  map[string]corev1.Pod // also those that are gone
}

// Tell tells a story in a namespace of its own with these faults and checks the promises P1 to P7. The platform is this
// run's alone.
func (b *Bench) Tell(ctx context.Context, story Story, namespace string, platform *simulator.Platform, faults ...Fault) (result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxRealTime)
	defer cancel()
	r := b.newRun(story, namespace, platform)
	defer func() { err = r.end(ctx, err) }()
	if err := r.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("nothing was broken yet: %w", err)
	}
	if err := r.arm(ctx, faults); err != nil {
		return Result{}, err
	}
	before := r.renewals()
	for _, c := range story.told {
		if err = r.tell(ctx, c); err != nil {
			break
		}
	}
	if err == nil {
		err = r.checkSilence(ctx, len(faults))
	}
	result.Calls, result.Fired = r.breaker.report()
	result.Renewals, result.Restarts = r.renewals()-before, r.restarts
	if err != nil {
		return result, errors.Join(err, r.spoils())
	}
	return result, errors.Join(r.checkPromises(ctx, result), r.spoils())
}

func (b *Bench) newRun(story Story, namespace string, platform *simulator.Platform) *run {
	began := time.Now().Add(time.Minute).Truncate(time.Minute).Add(operator.Ahead)
	r := &run{
		bench: b, story: story, namespace: namespace, platform: platform, log: &operator.Log{},
		began: began, clock: clocktesting.NewFakeClock(began),
		recordedAt: map[string]time.Time{}, handedOverAt: map[string]time.Time{}, rolledAt: map[int64]time.Time{},
		deadPods: map[string]bool{}, jobs: map[string]batchv1.Job{}, jobPods: map[string]corev1.Pod{}, allPods: map[string]corev1.Pod{},
	}
	r.breaker = newBreaker(r.strike, r.wrote)
	return r
}

// begin makes a gateway and an operator.
func (r *run) begin(ctx context.Context) error {
	if err := r.install(ctx); err != nil {
		return err
	}
	r.bench.Pods.runs.Store(r.namespace, r)
	if err := r.watch(ctx); err != nil {
		return err
	}
	return r.start()
}

// prepare begins, and lets happen what happens undisturbed.
func (r *run) prepare(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	for _, c := range r.story.before {
		if err := r.tell(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// arm breaks calls from now on: those that are made of what comes, and not what was still being told of what came before.
func (r *run) arm(ctx context.Context, faults []Fault) error {
	const stillness = 300 * time.Millisecond
	last, lastChange := 0, time.Now()
	err := poll(ctx, func() (bool, error) {
		if calls, _ := r.breaker.report(); len(calls) != last {
			last, lastChange = len(calls), time.Now()
		}
		return last == 0 || time.Since(lastChange) > stillness, nil
	})
	r.breaker.arm(faults)
	r.injectPlatform(faults)
	return err
}

// end stops the operator, removes what was made, and adds to an error what may explain it. The FlexRegistration goes
// first: nothing may be renewed while the namespace goes.
func (r *run) end(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	if stopErr := r.stop(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("stopping the operator: %w", stopErr))
	}
	if err != nil {
		err = fmt.Errorf("%w\nthe operator's log:\n%s", err, r.log.Tail(4000))
	}
	for _, object := range []client.Object{r.flexRegistration(), operator.Namespace(r.namespace)} {
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
	file, deployment := operator.RegistrationSecret(r.namespace, r.gateway.File), operator.Deployment(r.namespace, operator.GatewayName, operator.SecretName, 2)
	if r.story.deployed != nil {
		r.story.deployed(deployment)
	}
	for _, object := range []client.Object{operator.Namespace(r.namespace), file, operator.CredentialsSecret(r.namespace, id, secret), deployment} {
		if err := r.bench.Admin.Create(ctx, object); err != nil {
			return fmt.Errorf("installing the gateway: %w", err)
		}
	}
	r.theirs = append(r.theirs, file.ResourceVersion)
	config, err := r.bench.Cluster.User(r.user(), operator.Group)
	if err != nil {
		return err
	}
	r.options = operator.Options{
		Config: config, Clock: r.clock, Namespace: r.namespace, AnypointHosts: []string{r.platform.Host()}, Log: r.log,
		Transport: func(next http.RoundTripper) http.RoundTripper { return r.breaker.Wrap(Operator, next) },
	}
	if r.story.Runner == Jobs {
		r.options.Jobs = r.bench.Pods.config(r.platform.Host())
	} else {
		r.options.Renewer = &anypoint.Exec{Flexctl: r.bench.Flexctl, Hosts: []string{r.platform.Host()}, Directory: r.bench.Directory}
	}
	if r.story.checked {
		r.options.Platform, err = anypointhttp.New(anypointhttp.Options{Hosts: []string{r.platform.Host()}, UserAgent: "test", Clock: r.clock})
		if err != nil {
			return err
		}
	}
	return poll(ctx, func() (bool, error) {
		pods, err := r.pods(ctx)
		return len(pods) == 2 && !slices.ContainsFunc(pods, notReady), err
	})
}

func (r *run) user() string { return "operator-of-" + r.namespace }
