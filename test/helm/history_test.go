package helm

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// history is what the API server told of a namespace: what the gateway's Secret held in the course of time, and when pods
// came up. No kubelet mounts anything here; this says what one would have mounted. Time is etcd's revision, which is the
// same for Secrets and pods.
type history struct {
	mu      sync.Mutex
	secrets []written
	pods    map[types.UID]life
}

// written is a state of the gateway's Secret.
type written struct {
	revision    uint64
	fingerprint string // "" where there is none
}

// life of a pod: when it was made, and when its containers started, or 0.
type life struct{ created, started uint64 }

// watchHistory begins with an empty namespace, and goes on until the spec ends.
func watchHistory(ctx context.Context, namespace string) *history {
	GinkgoHelper()
	h := &history{pods: map[types.UID]life{}}
	for _, w := range []struct {
		list client.ObjectList
		note func(watch.Event)
	}{{&corev1.SecretList{}, h.noteSecret}, {&corev1.PodList{}, h.notePod}} {
		events, err := admin.Watch(ctx, w.list, client.InNamespace(namespace))
		Expect(err).NotTo(HaveOccurred())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for event := range events.ResultChan() {
				w.note(event)
			}
		}()
		DeferCleanup(func() {
			events.Stop()
			<-done
		})
	}
	return h
}

func revision(object client.Object) uint64 {
	n, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return n
}

func (h *history) noteSecret(event watch.Event) {
	secret, ok := event.Object.(*corev1.Secret)
	if !ok || secret.Name != operator.SecretName {
		return
	}
	state := written{revision: revision(secret)}
	if event.Type != watch.Deleted {
		if r, err := registration.Parse(secret.Data, registration.DefaultKey); err == nil {
			state.fingerprint = r.Certificate().Fingerprint
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets = append(h.secrets, state)
}

func (h *history) notePod(event watch.Event) {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.pods[pod.UID]
	if event.Type == watch.Added {
		l.created = revision(pod)
	}
	if l.started == 0 && slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil }) {
		l.started = revision(pod)
	}
	h.pods[pod.UID] = l
}

// reverts counts how often another registration was put in the place of one.
func (h *history) reverts(of string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for i := range h.secrets {
		if i > 0 && h.secrets[i-1].fingerprint == of && h.secrets[i].fingerprint != of && h.secrets[i].fingerprint != "" {
			n++
		}
	}
	return n
}

// mounted says which registrations a pod may have mounted: all that the Secret held from when the pod was made until its
// containers started. The Secret is as it stands now, to know that nothing of its history is missing.
func (h *history) mounted(pod *corev1.Pod, secret *corev1.Secret) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.secrets) == 0 || h.secrets[len(h.secrets)-1].revision != revision(secret) {
		return nil, fmt.Errorf("following Secret %s/%s: its newest version has not been seen", secret.Namespace, secret.Name)
	}
	l := h.pods[pod.UID]
	if l.created == 0 || l.started == 0 {
		return nil, fmt.Errorf("following pod %s/%s: its containers have not been seen to start", pod.Namespace, pod.Name)
	}
	var held []string
	for i, state := range h.secrets {
		over := i+1 < len(h.secrets) && h.secrets[i+1].revision < l.created
		if !over && state.revision < l.started && !slices.Contains(held, state.fingerprint) {
			held = append(held, state.fingerprint)
		}
	}
	return held, nil
}
