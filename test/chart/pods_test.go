package chart

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// pods holds up the pods of Jobs.
type pods struct {
	mu      sync.Mutex
	release chan struct{}
}

// hold keeps pods from starting until the returned function is called.
func (p *pods) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.release = held
	return sync.OnceFunc(func() { close(held) })
}

func (p *pods) wait(ctx context.Context, _ *corev1.Pod, _ string) {
	p.mu.Lock()
	held := p.release
	p.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
}
