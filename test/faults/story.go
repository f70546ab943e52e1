package faults

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// Story is what becomes of a gateway, in chapters. In all of them its registration is renewed once.
type Story struct {
	Name   string
	Runner Runner
	// Days is in how many days all ways of all calls are met.
	Days uint64
	// Loses says that the answers of the platform are also lost again and again.
	Loses bool

	// checked: the operator also asks the platform, and rehearses.
	checked bool
	// synced: calls are not broken, but somebody replaces everything by what it was at first.
	synced bool
	// deployed changes how the gateway is made; nil for nothing.
	deployed func(*appsv1.Deployment)
	// before happens undisturbed. The calls of what is told are broken.
	before, told []chapter
	// rollouts is how many there are in the end, at least and at most.
	rollouts [2]int
	// promises are those that other stories don't make. They hold r.mu.
	promises []func(*run) error
}

// Renews says that the renewal is among what is broken.
func (s Story) Renews() bool { return len(s.before) == 0 }

// chapter is something that somebody does, and what it comes to.
type chapter struct {
	does func(context.Context, *run) error
	// ends says that everything is as it should be in the end.
	ends func(sight) bool
	// step is how far the operator's clock is moved where nothing happens, within bounds it in all. Half a minute and two
	// hours are the defaults: an unresolved intent is held for minutes; a failure is repeated within a quarter of an hour.
	step   func(sight) time.Duration
	within time.Duration
}

// Stories are all stories. Those that are not about how a renewal is carried out are told with the runner that takes less
// time: the other calls are the same.
func Stories() []Story {
	renewed := chapter{does: registers(nil), ends: settled(newest)}
	return []Story{
		{Name: "Exec", Runner: Exec, Days: 3, Loses: true, told: []chapter{renewed}, rollouts: [2]int{1, 1}},
		{Name: "Jobs", Runner: Jobs, Days: 6, Loses: true, told: []chapter{renewed}, rollouts: [2]int{1, 1}},
		windowStory(),
		{
			// What is checked and rehearsed gets between nothing.
			Name: "checked", Runner: Exec, Days: 9, Loses: true, checked: true, rollouts: [2]int{1, 1},
			told: []chapter{renewed, {does: connects, ends: func(s sight) bool { return settled(newest)(s) && allChecked(s) }}},
		},
		{
			// An upgrade brings the old registration back.
			Name: "revert", Runner: Exec, Days: 9, deployed: startedEarlier, rollouts: [2]int{2, 2},
			before: []chapter{renewed},
			told:   []chapter{{does: upgrades, ends: settled(newest)}},
		},
		{
			// It does so for the fourth time, which is left to people.
			Name: "contest", Runner: Exec, Days: 18, deployed: startedEarlier, rollouts: [2]int{2, 2},
			before: []chapter{renewed, {does: putsBack, ends: settled(newest)}, {does: putsBack, ends: settled(newest)}, {does: putsBack, ends: settled(newest)}},
			told: []chapter{
				{does: upgrades, ends: tells(string(renewal.Reverted))},
				{does: putsNewestBack, ends: settled(newest)},
			},
		},
		{
			Name: "pin", Runner: Exec, Days: 18, rollouts: [2]int{3, 3},
			before: []chapter{renewed},
			told:   []chapter{{does: pinsPrevious, ends: settled(previous)}, {does: unpins, ends: settled(newest)}},
		},
		failureStory(),
		{
			// A GitOps controller replaces the manifests, wherever the operator is.
			Name: "sync", Runner: Exec, Days: 4, synced: true, rollouts: [2]int{1, 4},
			told: []chapter{{does: registers(nil), ends: upToDate}},
		},
		{
			// A person approves after a while.
			Name: "manual", Runner: Exec, Days: 30, rollouts: [2]int{1, 1},
			told: []chapter{
				{
					does: registers(func(_ *run, fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Policy = v1alpha1.RenewalManual }),
					ends: func(s sight) bool {
						return tells(string(renewal.AwaitingApproval))(s) && s.claims == 0 && s.elapsed > time.Hour
					},
				},
				{does: approves, ends: settled(newest)},
			},
		},
		{
			// Another controller makes the gateway's Secret, from a source to which somebody carries what is renewed.
			Name: "external", Runner: Exec, Days: 18, rollouts: [2]int{1, 1},
			told: []chapter{
				{does: registers(publishes), ends: func(s sight) bool { return tells(string(renewal.AwaitingSync))(s) && s.record.Intent == nil }},
				{does: carries, ends: settled(newest)},
			},
		},
		{
			// Somebody else renews and writes the gateway's Secret from now on.
			Name: "follow", Runner: Exec, Days: 30, deployed: startedEarlier, rollouts: [2]int{2, 2},
			before: []chapter{renewed, {does: follows, ends: settled(newest)}},
			told: []chapter{
				{does: upgrades, ends: tells(string(renewal.Reverted))},
				{does: putsNewestBack, ends: settled(newest)},
			},
		},
	}
}

// windowStory has the renewal wait for a window. It is reached in time; then so much time passes at each fault that the
// window has closed.
func windowStory() Story {
	const wait, open, start = time.Hour, 10 * time.Minute, 5 * time.Minute
	return Story{
		Name: "window", Runner: Exec, Days: 12, rollouts: [2]int{1, 1},
		told: []chapter{{
			does: registers(func(r *run, fr *v1alpha1.FlexRegistration) {
				fr.Spec.Renewal.Windows = []v1alpha1.RenewalWindow{daily(r.began.Add(wait), open)}
			}),
			ends: settled(newest),
			step: func(s sight) time.Duration {
				if s.elapsed >= wait && s.claims == 0 {
					return 30 * time.Second
				}
				return open
			},
			within: wait + 3*time.Hour,
		}},
		promises: []func(*run) error{func(r *run) error {
			return r.claimedBetween(r.began.Add(wait), r.began.Add(wait+start))
		}},
	}
}

// failureStory has new pods that never get ready, until somebody mends them.
func failureStory() Story {
	const most = 3
	return Story{
		Name: "failed rollout", Runner: Exec, Days: 30, deployed: failsSoon, rollouts: [2]int{2, most},
		before: []chapter{{does: registersPaused, ends: held}},
		told: []chapter{
			{
				does: resumes,
				// Long enough that more retries would have been made.
				ends: func(s sight) bool {
					return tells(string(renewal.RolloutFailed))(s) && s.record.Rollout.Problem != "" && s.rollouts > 1 && s.elapsed > 3*time.Hour
				},
				step: func(s sight) time.Duration {
					if s.rollouts < most && s.elapsed < 2*time.Hour {
						return 5 * time.Minute
					}
					return time.Hour
				},
				within: 8 * time.Hour,
			},
			{does: mends, ends: settled(newest)},
		},
		promises: []func(*run) error{func(r *run) error { return r.rolledApart(10 * time.Minute) }},
	}
}

// tell does a chapter and waits for its end.
func (r *run) tell(ctx context.Context, c chapter) error {
	if err := c.does(ctx, r); err != nil {
		return err
	}
	r.turned = r.clock.Now()
	within, step := c.within, c.step
	if within == 0 {
		within = 2 * time.Hour
	}
	if step == nil {
		step = steps(30 * time.Second)
	}
	return r.live(ctx, step, func(s sight) (bool, error) {
		if c.ends(s) {
			return true, nil
		}
		return false, s.overdue(within)
	})
}

// steps are all of the same length.
func steps(d time.Duration) func(sight) time.Duration {
	return func(sight) time.Duration { return d }
}

// flexRegistration is the run's, as it is made.
func (r *run) flexRegistration() *v1alpha1.FlexRegistration {
	return operator.FlexRegistration(r.namespace, operator.GatewayName)
}
