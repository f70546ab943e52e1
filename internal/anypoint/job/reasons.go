package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// waitsFor says what a Job waits for whose flexctl was not started, where somebody may have to act; "" where it may just take
// its time.
func (a *attempt) waitsFor(ctx context.Context, job *batchv1.Job, pod *corev1.Pod, now time.Time) (why string, err error) {
	uid := job.UID
	if pod != nil {
		if why := gateway.PodProblem(pod); why != "" {
			return why, nil
		}
		uid = pod.UID
	}
	if now.Before(a.intent.Since.Add(eventsAfter)) {
		return "", nil
	}
	return a.lastWarning(ctx, uid)
}

// lastWarning is the newest warning Event about an object, "" if there is none.
func (a *attempt) lastWarning(ctx context.Context, uid types.UID) (string, error) {
	var events corev1.EventList
	if err := a.APIReader.List(ctx, &events, client.InNamespace(a.fr.Namespace), client.MatchingFields{"involvedObject.uid": string(uid), "type": corev1.EventTypeWarning}); err != nil {
		return "", fmt.Errorf("listing the Events of Job %s: %w", a.intent.Job, err)
	}
	if len(events.Items) == 0 {
		return "", nil
	}
	newest := slices.MaxFunc(events.Items, func(a, b corev1.Event) int { return seen(a).Compare(seen(b)) })
	return fmt.Sprintf("%s: %s", newest.Reason, gateway.Bounded(newest.Message)), nil
}

func seen(e corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}
