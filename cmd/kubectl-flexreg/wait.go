package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// await watches a resource from its change on until the operator has done what was asked for, or says that it can't,
// and tells each state on the way.
func (p *plugin) await(ctx context.Context, c client.WithWatch, before, changed *resource, e edit, value any) error {
	about := cmp.Or(e.about, v1alpha1.ConditionReady)
	told := ""
	look := func(r *resource) (bool, error) {
		if now := state(r.condition(about)); now != told {
			told = now
			fmt.Fprintln(p.ErrOut, p.clock.Now().UTC().Format(time.RFC3339), r.String()+": "+now)
		}
		ready := about == v1alpha1.ConditionReady
		switch done := e.reached(r, value); {
		case done && (ready || r.is(about)):
			return true, nil
		case done || ready && answered(before, r) && givenUp(r):
			return false, notReady(r.String() + ": " + told)
		}
		return false, nil
	}
	if done, err := look(changed); done || err != nil {
		return err
	}
	_, err := watchtools.Until(ctx, changed.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		return c.Watch(ctx, emptyList(changed.kind()), client.InNamespace(changed.Namespace), &client.ListOptions{Raw: &o, FieldSelector: fields.OneTermEqualSelector("metadata.name", changed.Name)})
	}}, func(event watch.Event) (bool, error) {
		object, is := event.Object.(*unstructured.Unstructured)
		switch {
		case event.Type == watch.Error || !is:
			return false, apierrors.FromObject(event.Object)
		case event.Type == watch.Deleted:
			return false, notReady(changed.String() + " was deleted")
		}
		r, err := newResource(object)
		if err != nil {
			return false, err
		}
		return look(r)
	})
	switch {
	case err == nil || errors.As(err, new(notReady)):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return notReady(fmt.Sprintf("%s: timed out waiting; it goes on without. The last state: %s", changed, told))
	case ctx.Err() != nil:
		err = context.Cause(ctx) // Until says that it has timed out.
	}
	return fmt.Errorf("waiting for %s: %w", changed, err)
}

// state is what a condition says, in one line whatever its message has.
func state(c metav1.Condition) string {
	if c.Reason == "" {
		return "the operator has told no condition " + c.Type + " yet"
	}
	return oneLine(fmt.Sprintf("%s is %s, %s: %s", c.Type, c.Status, c.Reason, c.Message))
}

// answered says that the status speaks of what was changed: of the spec's generation or, for an annotation, which has none, by
// telling something else than before.
func answered(before, now *resource) bool {
	if now.Generation != before.Generation {
		return now.observed()
	}
	return state(before.ready()) != state(now.ready())
}

// givenUp says that nothing happens any more until somebody acts.
func givenUp(r *resource) bool {
	ready := r.ready()
	return ready.Reason == v1alpha1.ReasonAwaitingApproval || ready.Status == metav1.ConditionFalse && !r.is(v1alpha1.ConditionReconciling)
}

// settled says that the gateway's pods run with the certificate in its Secret, and that nothing is under way, by a status that
// speaks of the present spec.
func settled(r *resource, _ any) bool {
	return r.observed() && (r.connection != nil || r.is(v1alpha1.ConditionRolledOut)) &&
		r.is(v1alpha1.ConditionReady) && !r.is(v1alpha1.ConditionReconciling)
}
