package renewal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Windows say when a renewal may start; without any, always. Whether the platform still accepts the old certificate once
// it has renewed is not known, so a rollout belongs to a renewal, and a start needs room for it.
type Windows struct {
	Windows []Window
	Freezes []Freeze
}

// Window opens again and again, and stays open for a while.
type Window struct {
	schedule cron.Schedule
	location *time.Location
	open     time.Duration
}

// Freeze is a time in which no renewal starts, whatever windows say: from From on and before To.
type Freeze struct{ From, To time.Time }

// fiveFields is the grammar of schedules: minute, hour, day of the month, month, day of the week. Where both kinds of day
// are given, either counts, as in every cron.
var fiveFields = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)

// NewWindow makes a window that opens by a schedule of five cron fields in an IANA time zone ("" for UTC). Where clocks are
// put forward, an opening that they leap over comes by so much later; where they are put back, one that there is twice
// comes twice.
func NewWindow(schedule, timeZone string, open time.Duration) (Window, error) {
	if strings.Contains(schedule, "=") {
		return Window{}, errors.New("a time zone belongs into timeZone")
	}
	parsed, err := fiveFields.Parse(schedule)
	if err != nil {
		return Window{}, fmt.Errorf("schedule %q is not five cron fields (minute, hour, day of the month, month, day of the week): %w", schedule, err)
	}
	location, err := time.LoadLocation(timeZone)
	if err != nil || timeZone == "Local" {
		return Window{}, fmt.Errorf("timeZone %q is not one of the IANA time zones, such as Europe/Berlin", timeZone)
	}
	return Window{parsed, location, open}, nil
}

// Next is the first moment, at or after t, at which a renewal may start whose rollout takes so long; zero where none
// comes within years.
func (w Windows) Next(t time.Time, rollout time.Duration) time.Time {
	for {
		at := w.opening(t, rollout)
		i := slices.IndexFunc(w.Freezes, func(f Freeze) bool { return !at.Before(f.From) && at.Before(f.To) })
		if at.IsZero() || i < 0 {
			return at
		}
		t = w.Freezes[i].To // Each round leaves a freeze behind.
	}
}

func (w Windows) opening(t time.Time, rollout time.Duration) time.Time {
	if len(w.Windows) == 0 {
		return t
	}
	var first time.Time
	for _, window := range w.Windows {
		first = soonest(first, window.next(t, rollout))
	}
	return first
}

// next is t where the window is open, and has been for no longer than leaves room; else its next opening.
func (w Window) next(t time.Time, rollout time.Duration) time.Time {
	late := max(w.open/2, w.open-rollout)
	opening := w.schedule.Next(t.Add(-late).In(w.location))
	if opening.IsZero() || opening.After(t) {
		return opening
	}
	return t
}
