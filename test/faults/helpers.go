package faults

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// poll asks every few milliseconds, until the context ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	return pollEvery(ctx, 20*time.Millisecond, done)
}

func pollEvery(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

var _ io.Writer = &safeBuffer{}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
