// Package metrics tells Prometheus of FlexRegistrations. What is true of each is collected at the scrape from the manager's
// cache, so that nothing is stuck at an old value, or left behind by an object that is gone; what was done is counted.
package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// prefix of the names of metrics of FlexRegistrations.
const prefix = "flexregistration_"

// The values of the label result.
const (
	succeeded = "succeeded"
	failed    = "failed"
)

// reasons are those that a renewal fails for.
var reasons = []anypoint.Class{
	anypoint.CredentialsRejected, anypoint.MFARequired, anypoint.MissingScope, anypoint.RequestRefused, anypoint.RateLimited,
	anypoint.PlatformUnavailable, anypoint.TimedOut, anypoint.FlexctlUnusable, anypoint.FlexctlTooOld, anypoint.FlexctlFailed,
	anypoint.ResultInvalid, anypoint.HostNotAllowed, anypoint.JobNotStarted, anypoint.JobFailed,
}

// Activity counts what this process does, since it was started. It is not told apart by FlexRegistration, so that each
// counter is there from the start, at 0, and its first increase is seen; what is the matter with which one is collected.
// A nil *Activity counts nothing.
type Activity struct {
	renewals, rollouts, anypointRequests *prometheus.CounterVec
	restorations, adoptions, pins        prometheus.Counter
	renewalDuration, rolloutDuration     *prometheus.HistogramVec
}

// NewActivity registers counters that stand at 0. It panics where the registry has them already.
func NewActivity(registry prometheus.Registerer) *Activity {
	registered := promauto.With(registry)
	counter := func(name, help string) prometheus.Counter {
		return registered.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return registered.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return registered.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, []string{"result"})
	}
	a := &Activity{
		renewals:         counters("renewals_total", "Attempts to renew a registration, by result and, of a failure, its reason.", "result", "reason"),
		rollouts:         counters("rollouts_total", "Rollouts of a renewed registration that came to an end, by result.", "result"),
		restorations:     counter("restorations_total", "How often the newest registration was restored that somebody had put an older one in the place of."),
		adoptions:        counter("adoptions_total", "How often a registration was adopted that somebody else had renewed or made."),
		pins:             counter("pins_total", "How often a gateway was brought to another recorded registration with spec.pin."),
		renewalDuration:  histogram("renewal_duration_seconds", "How long attempts to renew took, from the claim until the outcome was known.", 1, 2, 5, 10, 20, 30, 60, 120, 300, 600),
		rolloutDuration:  histogram("rollout_duration_seconds", "How long rollouts took, from the publication until all pods had stayed up or some had failed.", 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
		anypointRequests: counters("anypoint_requests_total", "Requests of the operator itself to Anypoint, by call and HTTP status; the code is 0 where there was no answer.", "call", "code"),
	}
	a.renewals.WithLabelValues(succeeded, "")
	for _, class := range reasons {
		a.renewals.WithLabelValues(failed, string(class))
	}
	for _, result := range []string{succeeded, failed} {
		a.rollouts.WithLabelValues(result)
		a.renewalDuration.WithLabelValues(result)
		a.rolloutDuration.WithLabelValues(result)
	}
	return a
}

// Recorded counts the newest entry of a record's history, which was not there before.
func (a *Activity) Recorded(before, after renewal.Record) {
	if a == nil || len(after.History) == 0 {
		return
	}
	e := after.History[len(after.History)-1]
	result, reason := succeeded, ""
	if e.Outcome != renewal.Succeeded {
		result, reason = failed, e.Outcome
	}
	switch e.Action {
	case "Renewal":
		a.renewals.WithLabelValues(result, reason).Inc()
		if before.Intent != nil {
			a.renewalDuration.WithLabelValues(result).Observe(e.Time.Sub(before.Intent.Since).Seconds())
		}
	case renewal.ActionRollout:
		a.rollouts.WithLabelValues(result).Inc()
		a.rolloutDuration.WithLabelValues(result).Observe(e.Time.Sub(after.Rollout.Started).Seconds())
	case "Restoration":
		a.restorations.Inc()
	case "Adoption":
		a.adoptions.Inc()
	case "Pin":
		a.pins.Inc()
	}
}

// Requested counts a request to Anypoint; the status is 0 where there was no answer.
func (a *Activity) Requested(call string, status int) {
	a.anypointRequests.WithLabelValues(call, strconv.Itoa(status)).Inc()
}
