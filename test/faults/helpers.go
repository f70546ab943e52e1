package faults

import (
	"context"
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
