package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// Bench is what runs share.
type Bench struct {
	Cluster *controlplane.ControlPlane
	Admin   client.WithWatch
	// Flexctl is the simulated program, Directory where it is run.
	Flexctl, Directory string
}

// maxRealTime bounds a run, maxClockTime how far the operator's clock is moved for it to converge. An unresolved
// intent is held for minutes; a failure is repeated within a quarter of an hour.
const (
	maxRealTime  = 90 * time.Second
	maxClockTime = 2 * time.Hour
)

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
	namespace string
	platform  *simulator.Platform
	gateway   simulator.Gateway
	original  *registration.Registration
	clock     *clocktesting.FakeClock
	breaker   *breaker
	options   operator.Options
	log       *safeBuffer
	secrets   []string

	mu       sync.Mutex
	current  *operator.Operator
	died     chan struct{}
	recorded []string // fingerprints, in the order in which records with them took effect
	versions []corev1.Secret
	restarts int
}

// Renew does a whole renewal in a namespace of its own with these faults and checks the promises P1 to P7. The
// platform is this run's alone; its faults are Anypoint calls named "anypoint".
func (b *Bench) Renew(ctx context.Context, namespace string, platform *simulator.Platform, faults ...Fault) (result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxRealTime)
	defer cancel()
	r := &run{bench: b, namespace: namespace, platform: platform, clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)), log: &safeBuffer{}, died: make(chan struct{}, 10)}
	r.breaker = newBreaker(faults, r.die, r.wrote)
	if err := r.install(ctx); err != nil {
		return Result{}, err
	}
	defer func() {
		// The FlexRegistration first: nothing may be renewed while the namespace goes.
		cleanup := context.WithoutCancel(ctx)
		err = errors.Join(err, client.IgnoreNotFound(b.Admin.Delete(cleanup, operator.FlexRegistration(namespace, operator.GatewayName))),
			client.IgnoreNotFound(b.Admin.Delete(cleanup, operator.Namespace(namespace))))
	}()
	r.injectAnypoint(faults)

	watched, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	if err := r.watchSecret(watched); err != nil {
		return Result{}, err
	}
	if err := r.start(); err != nil {
		return Result{}, err
	}
	defer func() {
		if stopErr := r.stop(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping the operator: %w", stopErr))
		}
		if err != nil {
			err = fmt.Errorf("%w\nthe operator's log:\n%s", err, tail(r.log.String(), 4000))
		}
	}()
	if err := b.Admin.Create(ctx, operator.FlexRegistration(namespace, operator.GatewayName)); err != nil {
		return Result{}, err
	}
	convergeErr := r.converge(ctx)
	result.Calls, result.Fired = r.breaker.report()
	for _, f := range faults {
		if f.Call.Resource == anypointCalls {
			result.Fired = append(result.Fired, f)
		}
	}
	result.Renewals, result.Restarts = len(platform.Renewals(r.gateway.AgentID)), r.restarts
	if convergeErr != nil {
		return result, fmt.Errorf("P5: %w", convergeErr)
	}
	return result, errors.Join(r.checkSilence(ctx, len(faults)), r.checkPromises(ctx, result))
}

func (r *run) install(ctx context.Context) error {
	var err error
	if r.gateway, err = r.platform.Register(operator.GatewayName, 10*24*time.Hour); err != nil {
		return err
	}
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
		Config: config, Clock: r.clock, Namespace: r.namespace, AnypointHosts: []string{r.platform.Host()}, Log: r.log, Transport: r.breaker.Wrap,
		Renewer: &anypoint.Exec{Flexctl: r.bench.Flexctl, Hosts: []string{r.platform.Host()}, Directory: r.bench.Directory},
	}
	return poll(ctx, func() (bool, error) {
		pods, err := r.pods(ctx)
		return len(pods) == 2 && !slices.ContainsFunc(pods, notReady), err
	})
}

func (r *run) user() string { return "operator-of-" + r.namespace }

// anypointCalls is the resource of a Call to the platform; its name is the simulator's.
const anypointCalls = "anypoint"

// AnypointCalls are the calls of a renewal to the platform, as flexctl makes them.
func AnypointCalls() []Call {
	return []Call{
		{Verb: "post", Resource: anypointCalls, Name: string(simulator.CallToken), Occurrence: 1},
		{Verb: "post", Resource: anypointCalls, Name: string(simulator.CallRenew), Occurrence: 1},
	}
}

func (r *run) injectAnypoint(faults []Fault) {
	for _, f := range faults {
		if f.Call.Resource != anypointCalls {
			continue
		}
		fault := simulator.Fault{Call: simulator.Call(f.Call.Name), Kind: simulator.DropAfter}
		switch f.Way {
		case FailsBefore:
			fault.Kind = simulator.DropBefore
		case ThenDies:
			fault.Hook = r.die
		case AnswerLost:
		}
		r.platform.Inject(fault)
	}
}

// die kills the operator from within one of its calls.
func (r *run) die() {
	r.mu.Lock()
	op := r.current
	r.mu.Unlock()
	op.Kill()
	r.died <- struct{}{}
}

func (r *run) start() error {
	op, err := operator.Start(r.options)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = op
	return nil
}

func (r *run) stop() error {
	r.mu.Lock()
	op := r.current
	r.mu.Unlock()
	return op.Stop()
}

// wrote notes which registrations have been recorded.
func (r *run) wrote(c Call, body []byte) {
	secret := writtenSecret(body)
	if secret == nil || secret.Type != gateway.RecordType {
		return
	}
	newest, err := registration.Parse(map[string][]byte{"newest.yaml": secret.Data["newest.yaml"]}, "newest.yaml")
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.recorded = append(r.recorded, "unreadable after "+c.String())
		return
	}
	if f := newest.Certificate().Fingerprint; !slices.Contains(r.recorded, f) {
		r.recorded = append(r.recorded, f)
	}
}

// watchSecret keeps every version of the gateway's Secret.
func (r *run) watchSecret(ctx context.Context) error {
	w, err := r.bench.Admin.Watch(ctx, &corev1.SecretList{}, client.InNamespace(r.namespace), client.MatchingFields{"metadata.name": operator.SecretName})
	if err != nil {
		return err
	}
	go func() {
		for event := range w.ResultChan() {
			if secret, ok := event.Object.(*corev1.Secret); ok {
				r.mu.Lock()
				r.versions = append(r.versions, *secret)
				r.mu.Unlock()
			}
		}
	}()
	context.AfterFunc(ctx, w.Stop)
	return nil
}

// converge waits until the gateway is renewed and rolled. A dead operator is followed by one with fresh memory; where
// nothing happens for a moment, the clock is moved.
func (r *run) converge(ctx context.Context) error {
	const step, stillness = 30 * time.Second, 200 * time.Millisecond
	deadline := r.clock.Now().Add(maxClockTime)
	last, lastChange := "", time.Now()
	return poll(ctx, func() (bool, error) {
		select {
		case <-r.died:
			r.mu.Lock()
			op := r.current
			r.mu.Unlock()
			_ = op.Wait() // A dead operator fails in many ways.
			r.restarts++
			return false, r.start()
		default:
		}
		done, now, err := r.state(ctx)
		if err != nil || done {
			return done, err
		}
		if calls, _ := r.breaker.report(); now+fmt.Sprint(len(calls)) != last {
			last, lastChange = now+fmt.Sprint(len(calls)), time.Now()
		} else if time.Since(lastChange) > stillness {
			if r.clock.Now().After(deadline) {
				return false, fmt.Errorf("not converged after %s on the operator's clock: %s", maxClockTime, now)
			}
			r.clock.Step(step)
			lastChange = time.Now()
		}
		return false, nil
	})
}

// state says whether everything is as it should be in the end, and what it is like.
func (r *run) state(ctx context.Context) (done bool, description string, err error) {
	fr := operator.FlexRegistration(r.namespace, operator.GatewayName)
	if err := r.bench.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return false, "", err
	}
	pods, err := r.pods(ctx)
	if err != nil {
		return false, "", err
	}
	certificate, err := r.published(ctx)
	if err != nil {
		return false, "", err
	}
	c := fr.Status.Conditions
	ready := meta.FindStatusCondition(c, v1alpha1.ConditionReady)
	rolled := len(pods) == 2 && !slices.ContainsFunc(pods, notReady) && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return !strings.HasPrefix(p.Annotations[v1alpha1.AnnotationRegistration], certificate.Fingerprint)
	})
	done = ready != nil && ready.Status == "True" && ready.Reason == v1alpha1.ReasonScheduled && rolled &&
		meta.IsStatusConditionTrue(c, v1alpha1.ConditionRenewed) && meta.IsStatusConditionTrue(c, v1alpha1.ConditionRolledOut) &&
		certificate.NewerThan(r.original.Certificate()) && fr.Status.Certificate.Fingerprint == certificate.Fingerprint
	return done, fmt.Sprintf("conditions %+v, %d pods, certificate %s", c, len(pods), certificate.SerialNumber), nil
}

func (r *run) published(ctx context.Context) (registration.Certificate, error) {
	secret := &corev1.Secret{}
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operator.SecretName}, secret); err != nil {
		return registration.Certificate{}, err
	}
	parsed, err := registration.Parse(secret.Data, registration.DefaultKey)
	if err != nil {
		return registration.Certificate{}, fmt.Errorf("P2: %w", err)
	}
	return parsed.Certificate(), nil
}

// pods are the gateway's that are not on their way out.
func (r *run) pods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.bench.Admin.List(ctx, &pods, client.InNamespace(r.namespace)); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return !p.DeletionTimestamp.IsZero() }), nil
}

func notReady(p corev1.Pod) bool {
	return !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func (r *run) events(ctx context.Context) ([]eventsv1.Event, error) {
	var list eventsv1.EventList
	err := r.bench.Admin.List(ctx, &list, client.InNamespace(r.namespace))
	return list.Items, err
}

// poll asks every few milliseconds, until the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

var _ io.Writer = &safeBuffer{}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
