package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// activity tells whether an operator in this process does anything.
type activity struct {
	underWay atomic.Int64
	last     atomic.Int64 // when something began or ended, in nanoseconds
}

func (a *activity) begin() (end func()) {
	a.underWay.Add(1)
	a.last.Store(time.Now().UnixNano())
	return func() {
		a.last.Store(time.Now().UnixNano())
		a.underWay.Add(-1)
	}
}

// quiet waits until it has asked for nothing for a while, and this process has next to nothing to do.
func (a *activity) quiet(ctx context.Context, while time.Duration) error {
	for {
		since, used := time.Now(), cpu()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(while):
		}
		if a.underWay.Load() == 0 && time.Unix(0, a.last.Load()).Before(since) && cpu()-used < while/3 {
			return nil
		}
	}
}

// cpu is the processor's time that this process has used.
func cpu() time.Duration {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// wrap counts requests that are no watches.
func (a *activity) wrap(next http.RoundTripper) http.RoundTripper {
	return transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("watch") == "" {
			defer a.begin()()
		}
		return next.RoundTrip(r)
	})
}

// flexctlTakes is how long flexctl takes by the clock that is moved.
const flexctlTakes = 2 * time.Second

// slow takes its time before it asks.
type slow struct {
	anypoint.Renewer
	clock clock.Clock
	*activity
	asked atomic.Int64
}

func (s *slow) Renew(ctx context.Context, old *registration.Registration, c anypoint.Credentials) (*registration.Registration, error) {
	select {
	case <-s.clock.After(flexctlTakes):
	case <-ctx.Done():
		return nil, &anypoint.Error{Class: anypoint.TimedOut, Detail: "ended"}
	}
	defer s.begin()()
	s.asked.Add(1)
	return s.Renewer.Renew(ctx, old, c)
}

// here gives the helpers of tests what they need of one.
type here struct{ directory string }

func (h here) TempDir() string           { return h.directory }
func (h here) Setenv(name, value string) { _ = os.Setenv(name, value) }

// inProcess are the options of an operator in this process. namespace, where it is not empty, is the only one that it watches.
func (b *bench) inProcess(user, namespace string, busy *activity) (o operator.Options, err error) {
	config, err := b.cluster.User(user, operator.Group)
	if err != nil {
		return o, err
	}
	if o, err = operator.Simulated(here{b.directory}, b.platform, config, b.clock, &operator.Log{}); err != nil {
		return o, err
	}
	o.Log, o.Namespace, o.MaxConcurrent, o.Transport = io.Discard, namespace, 8, busy.wrap
	ca, err := os.ReadFile(b.ca())
	if err != nil {
		return o, err
	}
	o.Platform, err = platform.New(platform.Options{Hosts: o.AnypointHosts, CA: ca, UserAgent: "bench", Clock: b.clock})
	return o, err
}

// within runs an operator while something is done.
func within(o operator.Options, do func() error) error {
	op, err := operator.Start(o)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		op.Kill()
		_ = op.Wait()
		return err
	}
	return op.Stop()
}

// lull is for how long an operator that has come to rest does nothing.
const lull = 3 * time.Second

// resting moves the clock of a settled fleet.
func (b *bench) resting(ctx context.Context) error {
	const user = "at-rest"
	busy := &activity{}
	o, err := b.inProcess(user, "", busy)
	if err != nil {
		return err
	}
	b.clock.SetTime(time.Now().Truncate(time.Second).Add(operator.Ahead))
	return within(o, func() error {
		if err := busy.quiet(ctx, lull); err != nil { // It has other settings than the one before it, and looks at all once.
			return err
		}
		move := func(steps int, step time.Duration) (int, int, error) {
			b.anypoint()
			since := time.Now()
			for range steps {
				b.clock.Step(step)
				if err := busy.quiet(ctx, 50*time.Millisecond); err != nil {
					return 0, 0, err
				}
			}
			requests, err := b.asked(user, "", since)
			calls, total := b.anypoint()
			b.report.count(fmt.Sprintf("%s at rest", time.Duration(steps)*step), byKind(requests), calls)
			return len(requests), total, err
		}
		requests, calls, err := move(60, time.Minute)
		if err != nil {
			return err
		}
		b.report.limit("an hour at rest", "API requests (once a day, one that looks for records nobody uses)", float64(requests), "", 1)
		b.report.limit("an hour at rest", "Anypoint requests", float64(calls), "", 0)

		// A gateway that was deleted on the platform, of which the certificate has expired.
		if err := b.makeNamespace(ctx, b.broken.namespace); err != nil {
			return err
		}
		if err := b.makeGateway(ctx, b.broken, 0); err != nil {
			return err
		}
		b.platform.DeleteGateway(b.broken.AgentID)
		if err := b.admin.Create(ctx, operator.FlexRegistration(b.broken.namespace, b.broken.name)); err != nil {
			return err
		}
		if err := busy.quiet(ctx, lull); err != nil {
			return err
		}
		since := time.Now()
		if requests, calls, err = move(6*24, 10*time.Minute); err != nil {
			return err
		}
		ofBroken, err := b.asked(user, b.broken.namespace, since)
		if err != nil {
			return err
		}
		n := float64(b.size.N)
		b.report.add("a day, one registration fails for ever", "API requests for it", float64(len(ofBroken)), "")
		b.report.add("a day, one registration fails for ever", "of them writes", float64(writes(ofBroken)), "")
		b.report.add("a day, one registration fails for ever", "API requests for each other one (its daily look and checks)", float64(requests-len(ofBroken))/n, "")
		b.report.add("a day, one registration fails for ever", "Anypoint requests, the broken one's among them", float64(calls), "")
		return nil
	})
}

// renewalsPerMinute is the default of the operator's flag.
const renewalsPerMinute = 20

// backlog has some of the fleet become due while there is no operator, against a platform that limits requests.
func (b *bench) backlog(ctx context.Context) error {
	const user, perMinute = "backlog", 60
	for _, g := range append(slices.Clone(b.fleet[b.size.Due:]), b.first, b.broken) { // They would be due too.
		if err := b.admin.Delete(ctx, operator.FlexRegistration(g.namespace, g.name)); err != nil {
			return err
		}
	}
	busy := &activity{}
	o, err := b.inProcess(user, "", busy)
	if err != nil {
		return err
	}
	renewer := &slow{Renewer: o.Renewer, clock: b.clock, activity: busy}
	o.Renewer, o.MaxRenewalsPerMinute = renewer, renewalsPerMinute
	due := b.fleet[:b.size.Due]
	latest := slices.MaxFunc(due, func(a, b gateway) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
	b.clock.SetTime(latest.Add(-before))
	b.platform.SetRateLimit(perMinute)
	defer b.platform.SetRateLimit(0)
	start, since, ended := b.clock.Now(), time.Now(), false
	b.anypoint()
	return within(o, func() error {
		for ticks := 0; !ended; ticks++ {
			if err := busy.quiet(ctx, 40*time.Millisecond); err != nil {
				return err
			}
			b.clock.Step(time.Second)
			if ticks%20 == 0 {
				ended = b.rolledOut(ctx, len(due)) || b.clock.Since(start) > 7*day
			}
			if b.clock.Since(start) > time.Hour { // It waits, for hours maybe.
				b.clock.Step(9 * time.Second)
			}
		}
		return b.backlogReport(due, start, since, user, perMinute, renewer.asked.Load())
	})
}

// rolledOut says that all of the fleet that were due are renewed and rolled.
func (b *bench) rolledOut(ctx context.Context, n int) bool {
	var all v1alpha1.FlexRegistrationList
	if b.admin.List(ctx, &all) != nil {
		return false
	}
	done := 0
	for _, fr := range all.Items {
		if s := &fr.Status; inFleet(fr.Namespace) && s.Inspected != "" && s.LastRenewalTime != nil && s.Rollout != nil && s.Rollout.Completed {
			done++
		}
	}
	return done >= n
}

func (b *bench) backlogReport(due []gateway, start, since time.Time, user string, perMinute int, asked int64) error {
	what := fmt.Sprintf("%d due at once, flexctl takes %s, %d requests a minute", len(due), flexctlTakes, perMinute)
	type renewed struct{ expired, at time.Time }
	var all []renewed
	twice := 0
	for _, g := range due {
		of := b.platform.Renewals(g.AgentID)
		if len(of) > 0 {
			all = append(all, renewed{g.NotAfter, of[0].Time})
		}
		twice += max(0, len(of)-1)
	}
	slices.SortStableFunc(all, func(a, b renewed) int { return a.at.Compare(b.at) })
	inOrder, pairs, displaced := 0, 0, 0
	byExpiry := slices.SortedStableFunc(slices.Values(all), func(a, b renewed) int { return a.expired.Compare(b.expired) })
	for i := range all {
		for j := range i {
			if pairs++; !all[j].expired.After(all[i].expired) {
				inOrder++
			}
		}
		place := slices.Index(byExpiry, all[i])
		displaced = max(displaced, i-place)
	}
	requests, err := b.asked(user, "", since)
	if err != nil {
		return err
	}
	calls, _ := b.anypoint()
	b.report.count("backlog", byKind(requests), calls)
	b.report.limit(what, "not renewed", float64(len(due)-len(all)), "", 0)
	b.report.limit(what, "renewed twice", float64(twice), "", 0)
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	b.report.add(what, "until the last was renewed", last.at.Sub(start).Minutes(), "min")
	b.report.add(what, fmt.Sprintf("at best, by --max-renewals-per-minute=%d", renewalsPerMinute), math.Ceil(float64(len(due))/renewalsPerMinute), "min")
	b.report.add(what, "half were renewed after", all[len(all)/2].at.Sub(start).Minutes(), "min")
	b.report.add(what, "pairs renewed in the order of their expiry", 100*float64(inOrder)/float64(max(1, pairs)), "%")
	b.report.add(what, "most places that one came later than its expiry says", float64(displaced), "")
	b.report.add(what, "attempts for a renewal", float64(asked)/float64(len(all)), "")
	b.report.add(what, "API requests for a renewal, checks and waits included", float64(len(requests))/float64(len(all)), "")
	return nil
}
