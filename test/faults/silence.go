package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkSilence, P7: once everything is done the operator asks nothing of the API server, by the server's own count,
// also when an hour passes on its clock. As many hours as there were faults, and one more, let through what those have put
// off.
func (r *run) checkSilence(ctx context.Context, faults int) error {
	if r.story.synced {
		faults += 2 // A sync can come after the end, and be followed by a rollout.
	}
	for hour := range faults + 2 {
		if err := poll(ctx, func() (bool, error) { return !r.busy(), nil }); err != nil {
			return fmt.Errorf("P5: a Job or a rollout goes on although everything is done: %w", err)
		}
		r.clock.Step(time.Hour)
		asked, err := r.askedUntilQuiet(ctx, hour == 0 && r.restarts > 0)
		if err != nil {
			return fmt.Errorf("P7: the operator does not come to rest: %w: %v", err, asked)
		}
		if hour > faults && len(asked) > 0 {
			return fmt.Errorf("P7: at rest the operator asked: %v", asked)
		}
	}
	return nil
}

// askedUntilQuiet lists what the operator asks for, watches aside, until it has asked nothing for a moment. One
// that may just have been started is given longer, for its caches.
func (r *run) askedUntilQuiet(ctx context.Context, started bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	begun, quiet := time.Now(), 300*time.Millisecond
	last := begun
	_, fired := r.breaker.report()
	// An Event that could not be written is tried again ten seconds later, by the machine's clock.
	retold := slices.ContainsFunc(fired, func(f Fault) bool { return f.Call.By == Operator && f.Call.Resource == "events" })
	var asked []string
	err := pollEvery(ctx, 100*time.Millisecond, func() (bool, error) {
		restarts := r.restarts
		if err := r.revive(); err != nil {
			return false, err
		}
		if started = started || r.restarts > restarts; started {
			quiet = time.Second
		}
		if time.Since(last) <= quiet {
			return false, nil
		}
		requests, err := r.bench.Cluster.Requests(r.user(), begun)
		asked = asked[:0]
		for _, request := range requests {
			// Looking for unused records is due once a day, an hour after the start for the first time.
			daily := request.Verb == "list" && strings.Contains(request.URI, "labelSelector=gateway.flexops.dev%2Fcomponent%3Drecord")
			again := retold && request.Verb == "create" && strings.Contains(request.URI, "/events")
			if request.Verb != "watch" && !daily && !again {
				last = request.Received
				asked = append(asked, request.Verb+" "+request.URI)
			}
		}
		return time.Since(last) > quiet, err
	})
	return asked, err
}
