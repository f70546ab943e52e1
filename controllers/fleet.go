package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// pausedIndex finds the FlexRegistrations whose renewal waits because the rollouts of others have failed.
const pausedIndex = "fleet-paused"

func indexPaused(object client.Object) []string {
	if fr, ok := object.(*v1alpha1.FlexRegistration); ok && reasonOf(fr, v1alpha1.ConditionRenewed) == v1alpha1.ReasonFleetPaused {
		return []string{"true"}
	}
	return nil
}

// observeFleet looks at what the last rollouts of all gateways have come to, in their status, back to the last that
// succeeded. It is done where a renewal is about to start. Who is suspended is known to fail, and does not count.
func (r *Reconciler) observeFleet(ctx context.Context, o *observation) error {
	var all v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing all FlexRegistrations: %w", err)
	}
	o.Fleet = renewal.Fleet{Most: r.MaxFailedRollouts}
	var success time.Time
	for _, fr := range all.Items {
		if at, succeeded := lastRollout(fr); succeeded && at.After(success) {
			success = at
		}
	}
	for _, fr := range all.Items {
		last := timeOf(fr.Status.LastRenewalTime)
		if at, succeeded := lastRollout(fr); !succeeded && at.After(success) && !fr.Spec.Suspend && fr.DeletionTimestamp.IsZero() && !rolledOutSince(fr) {
			o.Fleet.Failed++
			if fr.Namespace == o.flexRegistration.Namespace {
				o.Fleet.Here = append(o.Fleet.Here, fr.Name)
			}
			if at.After(last) {
				last = at
			}
		}
		if last.After(o.Fleet.Last) {
			o.Fleet.Last = last
		}
	}
	slices.Sort(o.Fleet.Here)
	if o.Fleet.Failing() {
		o.Fleet.Last = r.claims.trial(client.ObjectKeyFromObject(o.flexRegistration), o.Fleet.Last, r.Clock.Now())
	}
	return nil
}

// recallTurns gives those their turns back, once in a process's life, whose rollouts were under way when an operator stopped.
func (r *Reconciler) recallTurns(ctx context.Context) error {
	r.recalling.Lock()
	defer r.recalling.Unlock()
	if r.recalled {
		return nil
	}
	var all v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing all FlexRegistrations: %w", err)
	}
	for _, fr := range all.Items {
		if fr.Status.Rollout != nil && reasonOf(fr, v1alpha1.ConditionRolledOut) == v1alpha1.ReasonRollingOut {
			r.claims.keepTurn(turn{until: timeOf(fr.Status.Rollout.StartTime).Add(turnTime), rolling: true}, client.ObjectKeyFromObject(fr))
		}
	}
	r.recalled = true
	return nil
}

// lastRollout says when the last rollout of a gateway came to its end, and how; zero where none has.
func lastRollout(fr *v1alpha1.FlexRegistration) (at time.Time, succeeded bool) {
	for _, e := range slices.Backward(fr.Status.History) {
		if e.Action == renewal.ActionRollout {
			return e.Time.Time, e.Outcome == renewal.Succeeded
		}
	}
	return time.Time{}, true
}

// rolledOutSince says that a rollout is complete that history does not tell of: its pods were new already.
func rolledOutSince(fr *v1alpha1.FlexRegistration) bool {
	rollout := fr.Status.Rollout
	return fr.Spec.Pin == "" && rollout != nil && rollout.Completed && rollout.FailureTime == nil
}

// outcomeChanged says that the fleet may be paused no longer.
func outcomeChanged(before, after *v1alpha1.FlexRegistration) bool {
	was, succeeded := lastRollout(before)
	is, succeeds := lastRollout(after)
	return !was.Equal(is) || succeeded != succeeds || before.Spec.Suspend != after.Spec.Suspend
}
