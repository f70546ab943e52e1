package controllers

import (
	"context"

	"k8s.io/client-go/rest"
)

// Warnings is the operator's rest.WarningHandlerWithContext. What the API server warns of in a rehearsal goes there; anything
// else goes to the handler that is embedded.
type Warnings struct{ rest.WarningHandlerWithContext }

// HandleWarningHeaderWithContext is the rest.WarningHandlerWithContext's.
func (w Warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, agent, text string) {
	if kept, ok := ctx.Value(warningsKey{}).(*[]string); ok {
		*kept = append(*kept, text)
		return
	}
	w.WarningHandlerWithContext.HandleWarningHeaderWithContext(ctx, code, agent, text)
}

type warningsKey struct{}

// keepingWarnings adds to a list what the API server warns of in requests with this context, which are made one after another.
func keepingWarnings(ctx context.Context, kept *[]string) context.Context {
	return context.WithValue(ctx, warningsKey{}, kept)
}
