package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Moment is what pods there were, by their UID, between two changes.
type Moment map[types.UID]corev1.Pod

// History is all that has happened to the pods of a namespace: a look now and then would miss what is short.
type History struct {
	mu      sync.Mutex
	moments []Moment
	err     error
}

// RecordPods begins a history with the pods that there are. It ends with ctx.
func (e *Environment) RecordPods(ctx context.Context, namespace string) (*History, error) {
	var list corev1.PodList
	if err := e.Admin.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list the pods of namespace %s: %w", namespace, err)
	}
	watching, err := e.Admin.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return nil, fmt.Errorf("watch the pods of namespace %s: %w", namespace, err)
	}
	now := Moment{}
	for _, pod := range list.Items {
		now[pod.UID] = pod
	}
	h := &History{moments: []Moment{now}}
	go func() {
		defer watching.Stop()
		for event := range watching.ResultChan() {
			h.add(event)
		}
		if ctx.Err() == nil {
			h.fail(fmt.Errorf("the watch of the pods of namespace %s has ended too early", namespace))
		}
	}()
	return h, nil
}

func (h *History) add(event watch.Event) {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		h.fail(fmt.Errorf("the watch of pods shows %s: %v", event.Type, event.Object))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := maps.Clone(h.moments[len(h.moments)-1])
	if now[pod.UID] = *pod; event.Type == watch.Deleted {
		delete(now, pod.UID)
	}
	h.moments = append(h.moments, now)
}

func (h *History) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = errors.Join(h.err, err)
}

// Moments returns them in their order, and an error if some may be missing.
func (h *History) Moments() ([]Moment, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.moments), h.err
}

// Serving counts the pods that are ready and are not to go.
func (m Moment) Serving() int {
	n := 0
	for _, pod := range m {
		if Ready(&pod) && pod.DeletionTimestamp.IsZero() {
			n++
		}
	}
	return n
}

// String tells of each pod what matters here.
func (m Moment) String() string {
	var pods []string
	for _, pod := range m {
		pods = append(pods, fmt.Sprintf("%s (%s, ready: %t, to go: %t)", pod.Name, pod.Status.Phase, Ready(&pod), !pod.DeletionTimestamp.IsZero()))
	}
	slices.Sort(pods)
	return strings.Join(pods, ", ")
}

// Ready says that a pod is.
func Ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
