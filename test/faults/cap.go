package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/renewal"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// LoseAnswers breaks a call in the same way each time that it is made, so that the platform renews and nobody has the
// answer. It checks the rest of P3: that is repeated as often as the cap allows, told, and tried again after a day.
func (b *Bench) LoseAnswers(ctx context.Context, story Story, namespace string, platform *simulator.Platform, fault Fault) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*maxRealTime)
	defer cancel()
	var faults []Fault
	for i := range 2 * renewal.MaxUnresolved {
		fault.Call.Occurrence = i + 1
		faults = append(faults, fault)
	}
	r := b.newRun(story, namespace, platform)
	defer func() { err = r.end(ctx, err) }()
	if err := r.arm(ctx, faults); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	given := story.told[0]
	if err := given.does(ctx, r); err != nil {
		return err
	}
	until := r.clock.Now().Add(4 * time.Hour)
	if err := r.live(ctx, steps(5*time.Minute), func(s sight) (bool, error) { return s.now.After(until), nil }); err != nil {
		return err
	}
	if got := r.renewals(); got != renewal.MaxUnresolved {
		return fmt.Errorf("P3: renewed %d times without an answer, the cap is %d", got, renewal.MaxUnresolved)
	}
	fr := operator.FlexRegistration(namespace, operator.GatewayName)
	if err := b.Admin.Get(ctx, client.ObjectKeyFromObject(fr), fr); err != nil {
		return err
	}
	renewed := meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionRenewed)
	if renewed == nil || renewed.Reason != string(renewal.UnresolvedAttempts) || !strings.HasPrefix(renewed.Message, fmt.Sprint(renewal.MaxUnresolved)) {
		return fmt.Errorf("P3: that no answer arrives is not told: %+v", fr.Status.Conditions)
	}

	// Answers arrive again.
	platform.ClearFaults()
	r.breaker.relent()
	if err := r.live(ctx, steps(time.Hour), func(s sight) (bool, error) { return given.ends(s), nil }); err != nil {
		return err
	}
	if got := r.renewals(); got != renewal.MaxUnresolved+1 {
		return fmt.Errorf("P3: renewed %d times, want once more than the cap, %d", got, renewal.MaxUnresolved)
	}
	return errors.Join(r.nothingIsLeft(ctx), r.spoils())
}
