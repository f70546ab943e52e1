package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestWhyAWaitEnds is told, where what is waited for does not come.
func TestWhyAWaitEnds(t *testing.T) {
	interrupted, interrupt := context.WithCancelCause(t.Context())
	interrupt(errors.New("interrupt signal received"))
	status := &unstructured.Unstructured{Object: map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": int64(410), "reason": "Expired", "message": "too old resource version"}}
	for name, c := range map[string]struct {
		ctx   context.Context
		event watch.Event
		want  string
	}{
		"interrupted": {interrupted, watch.Event{}, "waiting for FlexRegistration gateway/ingress: interrupt signal received"},
		"too old":     {t.Context(), watch.Event{Type: watch.Error, Object: status}, "waiting for FlexRegistration gateway/ingress: too old resource version"},
		"deleted":     {t.Context(), watch.Event{Type: watch.Deleted, Object: waitedFor().raw}, "FlexRegistration gateway/ingress was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			events := watch.NewFakeWithChanSize(1, false)
			if c.event.Object != nil {
				events.Action(c.event.Type, c.event.Object)
			}
			cluster := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
				Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
					return events, nil
				},
			})
			p := &plugin{IOStreams: genericiooptions.IOStreams{ErrOut: &bytes.Buffer{}}, clock: clocktesting.NewFakePassiveClock(noon)}
			never := edit{reached: func(*resource, any) bool { return false }}
			NewWithT(t).Expect(p.await(c.ctx, cluster, waitedFor(), waitedFor(), never, nil)).To(MatchError(c.want))
		})
	}
}

// waitedFor is a FlexRegistration as it was read.
func waitedFor() *resource {
	r := told("ingress", day, condition("Ready", "True", "Scheduled", ""))
	r.ResourceVersion = "7"
	r.raw = &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": r.Namespace, "name": r.Name, "resourceVersion": r.ResourceVersion}}}
	r.raw.SetGroupVersionKind(flexRegistration)
	return r
}
