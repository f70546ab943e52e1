package controllers

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// pausedIndex finds the FlexRegistrations whose renewal waits because the rollouts of others have failed.
const pausedIndex = "fleet-paused"

func indexPaused(object client.Object) []string {
	if fr, ok := object.(*v1alpha1.FlexRegistration); ok && reasonOf(fr, v1alpha1.ConditionReady) == v1alpha1.ReasonFleetPaused {
		return []string{"true"}
	}
	return nil
}

// observeFleet looks at what the last rollouts of all gateways have come to, in their status. It is done where a renewal is
// about to start. Who is suspended is known to fail, and does not count.
func (r *Reconciler) observeFleet(ctx context.Context, o *observation) error {
	var all v1alpha1.FlexRegistrationList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing all FlexRegistrations: %w", err)
	}
	var success time.Time
	for i := range all.Items {
		if completed, failed := outcome(&all.Items[i]); completed.After(success) && completed.After(failed) {
			success = completed
		}
	}
	o.Fleet = renewal.Fleet{Most: r.MaxFailedRollouts}
	for i := range all.Items {
		fr := &all.Items[i]
		completed, failed := outcome(fr)
		if failed.After(completed) && failed.After(success) && !fr.Spec.Suspend && fr.DeletionTimestamp.IsZero() {
			o.Fleet.Failed++
			if fr.Namespace == o.flexRegistration.Namespace {
				o.Fleet.Here = append(o.Fleet.Here, fr.Name)
			}
		}
		for _, tried := range []time.Time{failed, timeOf(fr.Status.LastRenewalTime)} {
			if tried.After(o.Fleet.Last) {
				o.Fleet.Last = tried
			}
		}
	}
	if o.Fleet.Failed >= o.Fleet.Most {
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
	for i := range all.Items {
		if fr := &all.Items[i]; fr.Status.Rollout != nil && reasonOf(fr, v1alpha1.ConditionReady) == v1alpha1.ReasonRollingOut {
			r.claims.keepTurn("", client.ObjectKeyFromObject(fr), timeOf(fr.Status.Rollout.StartTime).Add(turnTime))
		}
	}
	r.recalled = true
	return nil
}

// outcome says when the last rollout of a gateway was completed, and when it failed, zero where it has not.
func outcome(fr *v1alpha1.FlexRegistration) (completed, failed time.Time) {
	if fr.Status.Rollout == nil {
		return time.Time{}, time.Time{}
	}
	return timeOf(fr.Status.Rollout.CompletionTime), timeOf(fr.Status.Rollout.FailureTime)
}

// outcomeChanged says that the fleet may be paused no longer.
func outcomeChanged(before, after *v1alpha1.FlexRegistration) bool {
	was, had := outcome(before)
	is, has := outcome(after)
	return !was.Equal(is) || !had.Equal(has) || before.Spec.Suspend != after.Spec.Suspend
}
