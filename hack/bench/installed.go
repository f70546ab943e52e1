package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const kibibyte, mebibyte = 1 << 10, 1 << 20

// The users that operators connect as, by which their requests are told apart: two replicas, and one that has a shard.
const first, second, half = "first", "second", "half"

// installed measures the built program.
func (b *bench) installed(ctx context.Context) error {
	m, err := b.startManager(first)
	if err != nil {
		return err
	}
	if err := m.quiet(ctx); err != nil {
		return err
	}
	empty, err := m.memory(ctx)
	if err != nil {
		return err
	}
	b.report.limit("empty", "RSS", empty.rss/mebibyte, "MiB", 40)
	b.report.add("empty", "of it the program's file", empty.program/mebibyte, "MiB")
	b.report.add("empty", "live heap", empty.heap/mebibyte, "MiB")
	if empty, err = b.warm(ctx, m); err != nil {
		return fmt.Errorf("with a first registration: %w", err)
	}
	b.report.add("with a first registration", "RSS", empty.rss/mebibyte, "MiB")
	b.report.add("with a first registration", "live heap", empty.heap/mebibyte, "MiB")

	if err := b.makeFleet(ctx); err != nil {
		return fmt.Errorf("making the gateways: %w", err)
	}
	if err := m.quiet(ctx); err != nil {
		return err
	}
	ungoverned, err := m.memory(ctx)
	if err != nil {
		return err
	}
	if err := b.created(ctx, m); err != nil {
		return err
	}
	full, err := m.memory(ctx)
	if err != nil {
		return err
	}
	b.report.add("settled", "RSS after all were created", full.rss/mebibyte, "MiB")
	b.report.add("settled", "live heap", full.heap/mebibyte, "MiB")
	n := float64(b.size.N)
	b.report.add("settled", "live heap for a gateway's Deployment and Secret", (ungoverned.heap-empty.heap)/n/kibibyte, "KiB")
	b.report.limit("settled", "live heap for a registration, with its Deployment and Secrets", (full.heap-empty.heap)/n/kibibyte, "KiB", 12)

	if m, err = b.restarted(ctx, m, empty); err != nil {
		return err
	}
	if m, err = b.handedOver(ctx, m); err != nil {
		return err
	}
	if err := b.shard(ctx); err != nil {
		return fmt.Errorf("with a shard: %w", err)
	}
	if err := b.foreign(ctx, m); err != nil {
		return fmt.Errorf("with foreign Secrets: %w", err)
	}
	if err := b.flapping(ctx, m); err != nil {
		return fmt.Errorf("with a Deployment that flaps: %w", err)
	}
	return m.stop()
}

// warm brings an operator to do everything once, which is no cost of the fleet's.
func (b *bench) warm(ctx context.Context, m *manager) (is memory, err error) {
	if err := b.makeNamespace(ctx, b.first.namespace); err != nil {
		return is, err
	}
	if err := b.makeGateway(ctx, b.first, 0); err != nil {
		return is, err
	}
	if err := b.admin.Create(ctx, operator.FlexRegistration(b.first.namespace, b.first.name)); err != nil {
		return is, err
	}
	if err := m.quiet(ctx); err != nil {
		return is, err
	}
	return m.memory(ctx)
}

// during measures the CPU and the requests of what is done.
func (b *bench) during(ctx context.Context, m *manager, user, scenario string, do func(context.Context) error) (cpu, requests, anypoint float64, err error) {
	b.anypoint()
	since := time.Now()
	began, err := m.cpu()
	if err != nil {
		return
	}
	if err = do(ctx); err != nil {
		return
	}
	ended, err := m.cpu()
	if err != nil {
		return
	}
	all, err := b.asked(user, "", since)
	platform, calls := b.anypoint()
	b.report.count(scenario, byKind(all), platform)
	return ended - began, float64(len(all)), float64(calls), err
}

// created makes all FlexRegistrations at once.
func (b *bench) created(ctx context.Context, m *manager) error {
	var latencies []time.Duration
	cpu, requests, anypoint, err := b.during(ctx, m, first, "created", func(ctx context.Context) (err error) {
		latencies, err = b.createAll(ctx)
		if err == nil {
			err = m.quiet(ctx)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("making the FlexRegistrations: %w", err)
	}
	n, what := float64(b.size.N), "all created at once"
	b.report.add(what, "API requests for each, until it is checked", requests/n, "")
	b.report.add(what, "Anypoint requests for each", anypoint/n, "")
	b.report.add(what, "CPU for each", cpu/n*1000, "ms")
	slices.Sort(latencies)
	for _, percent := range []int{50, 95, 100} {
		b.report.add(what, fmt.Sprintf("until Ready, %d %%", percent), latencies[(len(latencies)-1)*percent/100].Seconds(), "s")
	}
	return nil
}

// createAll returns when all are settled, and how long each took to become ready.
func (b *bench) createAll(ctx context.Context) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute+time.Duration(b.size.N)*100*time.Millisecond)
	defer cancel()
	w, err := b.admin.Watch(ctx, &v1alpha1.FlexRegistrationList{})
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	var made sync.Map
	creating := make(chan error, 1)
	go func() {
		creating <- all(ctx, b.size.N, func(ctx context.Context, i int) error {
			made.Store(b.fleet[i].name, time.Now())
			return b.admin.Create(ctx, b.flexRegistration(i))
		})
	}()
	ready, done := map[string]time.Duration{}, map[string]bool{}
	for len(done) < b.size.N {
		select {
		case event, open := <-w.ResultChan():
			fr, is := event.Object.(*v1alpha1.FlexRegistration)
			if !open || !is {
				return nil, fmt.Errorf("watching FlexRegistrations ended with %d of %d settled: %w", len(done), b.size.N, ctx.Err())
			}
			began, ours := made.Load(fr.Name)
			if !ours {
				continue
			}
			if _, known := ready[fr.Name]; !known && slices.ContainsFunc(fr.Status.Conditions, func(c metav1.Condition) bool {
				return c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue
			}) {
				ready[fr.Name] = time.Since(began.(time.Time))
			}
			if settled(fr) {
				done[fr.Name] = true
			}
		case err := <-creating:
			if err != nil {
				return nil, err
			}
		}
	}
	latencies := make([]time.Duration, 0, len(ready))
	for _, took := range ready {
		latencies = append(latencies, took)
	}
	if len(latencies) == 0 {
		return nil, fmt.Errorf("none of %d became Ready", b.size.N)
	}
	return latencies, nil
}

// perScope is the most that an operator may ask for each of what it watches when it starts.
const perScope = 30

func (b *bench) restarted(ctx context.Context, m *manager, empty memory) (*manager, error) {
	if err := m.stop(); err != nil {
		return nil, err
	}
	b.anypoint()
	since := time.Now()
	m, err := b.startManager(first)
	if err != nil {
		return nil, err
	}
	if err := m.quiet(ctx); err != nil {
		return nil, err
	}
	if err := b.took(m, first, "restart", since); err != nil {
		return nil, err
	}
	is, err := m.memory(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(b.size.N)
	b.report.add("restart", "RSS after it", is.rss/mebibyte, "MiB")
	b.report.limit("restart", "RSS for a registration", (is.rss-empty.rss)/n/kibibyte, "KiB", 12)
	b.report.add("restart", "of it not the program's file", (is.rss-is.program-empty.rss+empty.program)/n/kibibyte, "KiB")
	b.report.limit("restart", "live heap for a registration", (is.heap-empty.heap)/n/kibibyte, "KiB", 12)
	return m, nil
}

// took reports what an operator has asked since it began to work, which should be next to nothing.
func (b *bench) took(m *manager, user, scenario string, since time.Time) error {
	cpu, err := m.cpu()
	if err != nil {
		return err
	}
	requests, err := b.asked(user, "", since)
	if err != nil {
		return err
	}
	platform, calls := b.anypoint()
	b.report.count(scenario, byKind(requests), platform)
	b.report.limit(scenario, "API requests", float64(len(requests)), "", perScope)
	single := 0
	for _, r := range requests {
		if inFleet(r.Namespace) {
			single++
		}
	}
	b.report.limit(scenario, "of them for single registrations", float64(single), "", 0)
	b.report.limit(scenario, "writes but the lease and its Event", float64(writes(requests)), "", 0)
	b.report.limit(scenario, "Anypoint requests", float64(calls), "", 0)
	b.report.add(scenario, "CPU since the start", cpu, "s")
	return nil
}

// handedOver starts another replica and stops the one that leads.
func (b *bench) handedOver(ctx context.Context, m *manager) (*manager, error) {
	leader := b.holder(ctx)
	started := time.Now()
	other, err := b.startManager(second)
	if err != nil {
		return nil, err
	}
	// It watches before it leads: Secrets are what it lists last, or at the same time.
	if err := until(ctx, time.Minute, "the second replica watches", func() (bool, error) {
		requests, err := b.cluster.Requests(second, started)
		return slices.ContainsFunc(requests, func(r controlplane.Request) bool { return r.Verb == "watch" }), err
	}); err != nil {
		return nil, err
	}
	standby, err := other.memory(ctx)
	if err != nil {
		return nil, err
	}
	b.report.add("leader change", "RSS of the replica that waits", standby.rss/mebibyte, "MiB")
	b.anypoint()
	since := time.Now()
	if err := m.stop(); err != nil {
		return nil, err
	}
	if err := until(ctx, time.Minute, "the second replica leads", func() (bool, error) {
		h := b.holder(ctx)
		return h != "" && h != leader, nil
	}); err != nil {
		return nil, err
	}
	b.report.add("leader change", "until the other one leads", time.Since(since).Seconds(), "s")
	if err := other.quiet(ctx); err != nil {
		return nil, err
	}
	return other, b.took(other, second, "leader change", since)
}

// shard starts an operator that looks after every second registration, beside the one that has all, which rests.
func (b *bench) shard(ctx context.Context) error {
	if err := all(ctx, b.size.N/2, func(ctx context.Context, i int) error {
		label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"shard":"half"}}}`))
		return b.admin.Patch(ctx, b.flexRegistration(2*i), label)
	}); err != nil {
		return err
	}
	b.anypoint()
	since := time.Now()
	m, err := b.startManager(half, "--selector=shard=half", "--leader-election-id="+half)
	if err != nil {
		return err
	}
	if err := m.quiet(ctx); err != nil {
		return err
	}
	what := "a shard of half of them starts"
	if err := b.took(m, half, what, since); err != nil {
		return err
	}
	is, err := m.memory(ctx)
	if err != nil {
		return err
	}
	b.report.add(what, "RSS", is.rss/mebibyte, "MiB")
	b.report.add(what, "live heap", is.heap/mebibyte, "MiB")
	return m.stop()
}
