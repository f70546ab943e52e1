package renewal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestPlanProperties plans for random observations, also impossible ones.
func TestPlanProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	steps, states := map[Step]int{}, map[State]int{}
	for range 250_000 {
		o := randomObservation(random)
		d := Plan(o, noon)
		steps[d.Step]++
		states[d.State]++
		if problem := contradiction(o, d); problem != "" {
			t.Fatalf("%s\nobservation: %+v\ndecision: %+v", problem, o, d)
		}
		if again := Plan(o, noon); again != d {
			t.Fatalf("the same observation gives another decision: %+v, then %+v", d, again)
		}
	}
	g := NewWithT(t)
	for _, step := range []Step{StepWait, StepConfirm, StepTidy, StepAdopt, StepRenew, StepPublish, StepRestore, StepRestored, StepNote, StepAdvance, StepRoll, StepFail, StepRetry, StepComplete, StepPin} {
		g.Expect(steps[step]).To(BeNumerically(">", 50), "%s: %v", step, steps)
	}
	for _, state := range []State{Scheduled, Suspended, Renewing, Interrupted, RollingOut, Reverted, Restoring, UnresolvedAttempts, RolloutFailed, RestartRequired, Pinned, PinUnknown, FleetPaused, Observing, AwaitingApproval, Following, AwaitingSync,
		"Unreadable", "Excluded", "Blocked", "Refused", "Failed"} {
		g.Expect(states[state]).To(BeNumerically(">", 20), "%s: %v", state, states)
	}
}

// contradiction says what a decision must never be.
func contradiction(o Observation, d Decision) string {
	r := o.Record
	hands := d.Step != StepWait
	follows := o.Resumable && r.Intent != nil
	_, isPinned := o.pin()
	switch {
	case follows && o.Unreadable == nil && !o.ObserveOnly && d.Step != StepRenew:
		return "leaving a renewal that goes on"
	case d.Step == StepTidy && o.Leftovers == 0:
		return "tidying what is not there"
	case d.State == "" || d.Message == "":
		return "a decision without words"
	case d.Step == StepWait && !d.At.After(noon):
		return "waiting for what has passed"
	case d.Step == StepWait && d.At.After(noon.Add(day)):
		return "waiting for longer than a day"
	case hands && !d.At.IsZero():
		return "acting and waiting"
	case hands && o.Unreadable != nil, hands && !follows && d.Step != StepTidy && (o.Suspended || o.Excluded != nil):
		return "acting where hands are to be kept off"
	case slices.Contains([]Step{StepRoll, StepFail, StepRetry}, d.Step) != (d.Deployment != "") && d.Step != StepComplete:
		return "rolling nothing, or naming what isn't rolled"
	case o.ObserveOnly && hands:
		return "doing something where only to observe"
	case o.Follow && (d.Step == StepRestore || d.Step == StepPublish && !o.External || d.Step == StepPin || d.Step == StepRenew && !follows):
		return "writing what somebody else writes"
	case o.Manual && d.Step == StepRenew && !follows && !slices.Contains(o.Approved, o.Certificate.SerialNumber):
		return "renewing without approval"
	case o.External && (d.Step == StepRestore || d.Step == StepPublish && o.Publication == r.Desired().Fingerprint):
		return "writing what another controller makes, or publishing again"
	case d.Step == StepFail && (d.Problem == "" || r.Rollout.Problem != ""):
		return "noting a problem again, or none"
	case d.Step == StepRetry && (o.RolloutNever || r.Rollout.Retries >= len(retryDelays) || noon.After(r.Rollout.Started.Add(time.Hour))):
		return "trying a rollout anew without end"
	case d.Step == StepPin && d.Pin != "" && d.Pin != r.Newest.Fingerprint && d.Pin != r.Previous.Fingerprint:
		return "pinning what is not there"
	case d.Step == StepPin && d.Pin == r.Pin:
		return "pinning again"
	case o.pins() && (d.Step == StepRenew && !follows || isPinned && (d.Step == StepRestore || d.Step == StepAdopt && r.Exists())):
		return "changing what is pinned"
	case d.Step == StepRoll && o.RolloutNever:
		return "rolling what a person rolls"
	case d.Step == StepRoll && o.RollRefused:
		return "rolling what was refused a moment ago"
	case d.Step == StepRoll && o.RolledOut():
		return "rolling without a rollout"
	case d.Step == StepAdvance && o.Standing != Same:
		return "advancing to what is not published"
	case d.Step == StepRestore && (o.Standing != Older || r.Rollout.Fingerprint != r.Desired().Fingerprint):
		return "restoring what is there, or was never published"
	case d.Step == StepRestore && r.Revert.Count >= maxContests && !r.Revert.Written.Equal(o.SecretChanged) && !noon.Before(r.Revert.Last) && noon.Before(r.Revert.Last.Add(time.Hour)) && (!o.Requested() || o.RenewRequest == r.Revert.Request):
		return "fighting somebody"
	case d.Step == StepRestored && r.Revert.Since.IsZero():
		return "nothing was put back"
	case d.Step == StepPublish && !o.External && (o.Standing != Older || r.Rollout.Fingerprint == r.Desired().Fingerprint):
		return "publishing what was published before"
	case d.Step == StepAdopt && r.Exists() && o.Standing != Newer && o.Standing != Reregistered:
		return "adopting what is known"
	case o.Unreadable == nil && o.ServingUntil().After(o.Certificate.NotAfter):
		return "serving for longer than the Secret's certificate"
	}
	if d.Step == StepRoll {
		for _, deployment := range o.Deployments {
			if _, begun := r.Rollout.Begun(deployment.UID); begun && deployment.Name == d.Deployment {
				return "rolling what has been rolled"
			}
		}
	}
	if d.Step != StepRenew || follows {
		return ""
	}
	asked := o.RenewRequest != "" && o.RenewRequest != r.HandledRequest
	a := r.AttemptsFor(o.Certificate.Fingerprint)
	anew := asked && o.RenewRequest != a.Request
	held := func(until time.Time) bool { return until.After(noon) && until.Before(noon.Add(day+time.Hour)) }
	switch {
	case noon.Before(d.RenewalTime) && !asked:
		return "renewing what is not due"
	case o.Blocked != nil:
		return "renewing although it can't be carried out"
	case !r.Exists():
		return "renewing without a record"
	case o.Standing != Same:
		return "renewing what is not the newest"
	case r.Newest.Fingerprint != r.Rollout.Fingerprint:
		return "renewing before the last one is published"
	case r.Intent != nil && r.Intent.Fingerprint == o.Certificate.Fingerprint && held(r.Intent.Until):
		return "renewing while an intent is held"
	case held(a.Next) && !anew && (a.Refused == "" || a.Refused == o.Credentials) && (a.Image == "" || a.Image == o.Image):
		return "renewing before the next attempt"
	case o.Fleet.Most > 0 && o.Fleet.Failed >= o.Fleet.Most && held(o.Fleet.Last.Add(day)) && !asked && noon.Before(o.Certificate.NotAfter.Add(-defaultUrgentBefore)):
		return "renewing although rollouts fail everywhere"
	case o.Refused != nil && held(o.Refused.Until) && !anew:
		return "trying credentials that were refused next door"
	case a.Unresolved >= MaxUnresolved && r.Intent == nil && held(a.Last.Add(day)) && !anew:
		return "renewing beyond the cap"
	}
	return ""
}

func randomObservation(random *rand.Rand) Observation {
	chance := func(percent int) bool { return random.IntN(100) < percent }
	near := func() time.Time {
		before := randomDuration(random, 60*day)
		return noon.Add(randomDuration(random, 60*day) - before)
	}
	some := func() Certificate {
		name := string(rune('A' + random.IntN(3)))
		c := Certificate{SerialNumber: name, Fingerprint: name, NotAfter: near().Add(randomDuration(random, 500*day))}
		c.NotBefore = c.NotAfter.Add(-time.Second - randomDuration(random, 500*day))
		return c
	}
	finding := func(state State) *Finding {
		if chance(5) {
			return &Finding{State: state, Message: "it is so"}
		}
		return nil
	}
	o := Observation{
		Resumable: chance(50),
		Suspended: chance(5), RolloutNever: chance(30),
		Unreadable: finding("Unreadable"), Excluded: finding("Excluded"), Blocked: finding("Blocked"),
		Certificate: some(), Cluster: "here", Credentials: fmt.Sprint(random.IntN(2)),
	}
	if chance(30) {
		o.Before = randomDuration(random, 1000*day)
	}
	if chance(30) {
		o.RolloutTimeout = randomDuration(random, day)
	}
	if chance(20) {
		o.RenewRequest = fmt.Sprint(random.IntN(3))
	}
	o.RollRefused = chance(10)
	o.ObserveOnly, o.Follow, o.Manual, o.External = chance(3), chance(10), chance(10), chance(40)
	if chance(50) {
		o.Publication = some().Fingerprint
	}
	if chance(50) {
		o.Approved = []string{some().SerialNumber}
	}
	o.Image = fmt.Sprint(random.IntN(2))
	if chance(5) {
		o.Leftovers = 1
	}
	if chance(15) {
		o.Refused = &Refusal{Finding: Finding{State: "Refused", Message: "it is so"}, Until: near()}
	}
	if chance(10) {
		return o // the first sight
	}
	r := &o.Record
	r.Cluster, r.Newest, r.HandledRequest = "here", some(), fmt.Sprint(random.IntN(3))
	if chance(5) {
		r.Cluster = "there"
	}
	if chance(60) {
		r.Newest = o.Certificate
	}
	if r.Newest.Fingerprint != o.Certificate.Fingerprint {
		o.Standing = Newer + Standing(random.IntN(3))
	}
	if chance(70) {
		r.Previous = some()
	}
	r.Rollout = Rollout{Sequence: int64(random.IntN(3)), Fingerprint: r.Newest.Fingerprint, Started: near(), Published: near()}
	if chance(50) {
		r.Rollout.Started = noon.Add(-randomDuration(random, time.Hour))
	}
	if chance(50) {
		r.Rollout.Completed = near()
	}
	if chance(30) {
		r.Rollout.Failed, r.Rollout.Retries = noon.Add(-randomDuration(random, time.Hour)), random.IntN(4)
		if chance(50) {
			r.Rollout.Problem = "it crashes"
		}
	}
	if chance(20) {
		o.Pin = some().SerialNumber
	}
	if chance(20) {
		r.Pin = some().Fingerprint
	}
	o.Settle, o.Jitter = randomDuration(random, time.Hour), random.Float64()
	if chance(60) {
		o.Fleet = Fleet{Failed: random.IntN(4), Most: random.IntN(4), Last: near()}
	}
	if chance(10) {
		r.Rollout.Fingerprint = some().Fingerprint
	}
	if r.Rollout.Sequence > 0 && chance(90) {
		r.Rollout.Held = some()
	}
	if chance(30) {
		r.Revert = Revert{Count: random.IntN(6), Last: near(), Written: near(), Since: near(), Held: some()}
		if chance(50) {
			r.Revert.Since, r.Revert.Held = time.Time{}, Certificate{}
		}
	}
	if chance(50) {
		o.SecretChanged = near()
	}
	if chance(30) {
		r.Renewed = Renewed{Fingerprint: some().Fingerprint, Time: near()}
	}
	if chance(40) {
		r.Attempts = Attempts{Fingerprint: some().Fingerprint, Failed: random.IntN(10), Unresolved: random.IntN(6), State: "Failed", Message: "it did",
			Last: near(), Next: near(), Request: fmt.Sprint(random.IntN(3))}
		if chance(30) {
			r.Attempts.Refused = fmt.Sprint(random.IntN(2))
		}
		if chance(30) {
			r.Attempts.Image = fmt.Sprint(random.IntN(2))
		}
	}
	if chance(30) {
		r.Intent = &Intent{Fingerprint: some().Fingerprint, Attempt: 1, Since: near(), By: "someone"}
		r.Intent.Until = r.Intent.Since.Add(randomDuration(random, time.Hour))
		if chance(30) {
			r.Intent.Job = "job"
		}
	}
	for i := range random.IntN(4) {
		d := Deployment{Name: fmt.Sprint(i), UID: fmt.Sprint(i), Complete: chance(50), Failed: chance(30), OldPods: random.IntN(3), RevertedPods: random.IntN(2), Message: "it is so"}
		if chance(50) {
			d.UpSince = near()
		}
		d.Down, d.WasComplete = chance(30), chance(50)
		if chance(20) {
			d.Unstable = "it crashes"
		}
		if chance(50) {
			d.Annotation = r.Rollout.Annotation()
		}
		if chance(50) {
			r.Rollout.Rolled = append(r.Rollout.Rolled, Rolled{UID: d.UID, At: near(), Done: chance(50)})
		}
		o.Deployments = append(o.Deployments, d)
	}
	return o
}
