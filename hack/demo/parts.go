package main

import (
	"context"
	"fmt"
	"time"
)

// part is one of those that have to be there before the story begins.
type part struct {
	what  string
	start func(context.Context) error
}

// bringUp starts one part after the other, and tells how long each has taken.
func bringUp(ctx context.Context, parts ...part) error {
	for _, part := range parts {
		fmt.Printf("  %-60s", part.what)
		began := time.Now()
		if err := part.start(ctx); err != nil {
			fmt.Println()
			return fmt.Errorf("%s: %w", part.what, err)
		}
		fmt.Printf("%5.1fs\n", time.Since(began).Seconds())
	}
	return nil
}
