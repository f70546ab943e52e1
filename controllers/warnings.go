package controllers

import (
	"context"
	"sync"

	"k8s.io/client-go/rest"
)

// Warnings is the operator's rest.WarningHandlerWithContext. What the API server warns of in a rehearsal goes there; anything
// else goes to the handler that is embedded.
type Warnings struct{ rest.WarningHandlerWithContext }

// HandleWarningHeaderWithContext is the rest.WarningHandlerWithContext's.
func (w Warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, agent, text string) {
	if kept, ok := ctx.Value(warningsKey{}).(*warnings); ok {
		kept.add(text)
		return
	}
	w.WarningHandlerWithContext.HandleWarningHeaderWithContext(ctx, code, agent, text)
}

type warningsKey struct{}

// warnings are those of the requests that are made with a context.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func withWarnings(ctx context.Context) (context.Context, *warnings) {
	w := &warnings{}
	return context.WithValue(ctx, warningsKey{}, w), w
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}
