package renewal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPlanConverges carries the plan out in worlds where everything fails at random for a while, and the operator
// dies between any two steps. The promises hold all the time; once the faults end, everything comes to rest.
func TestPlanConverges(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(5000) {
		w := newWorld(seed)
		if err := w.live(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, w.tail())
		}
		for event, n := range w.events {
			total[event] += n
		}
	}
	// The worlds are of no use if nothing ever happens in them.
	for _, event := range []string{"Adopt", "Renew", "Publish", "Advance", "Roll", "Complete", "died before a write", "died after a write", "died while asking",
		"answer lost", "refused", "unavailable", "renewed by hand", "requested", "clock put back", "capped", "rollout failed", "put back", "Restore", "Restored", "contested",
		"Fail", "Retry", "not stable", "Pin", "pinned", "unpinned"} {
		if total[event] < 100 {
			t.Errorf("%q happened %d times in all worlds: %v", event, total[event], total)
		}
	}
}

// world is a gateway, what the operator has stored, and the platform.
type world struct {
	random *rand.Rand
	calm   bool // no more faults
	events map[string]int
	log    []string

	clock  time.Time // the operator's
	secret Certificate
	// changed is when it was written, past what it has held.
	changed time.Time
	past    []Certificate
	record  Record
	spec    Observation // what people have set
	good    bool        // the credentials are

	stubborn    int // percent: how often somebody puts an old registration back
	validity    time.Duration
	issued      int
	deployments []*pods
	sequences   map[int64]string
	renewals    map[string]*renewals
}

// renewals of one certificate.
type renewals struct {
	recorded, unresolved int
	lastClaim            time.Time
	lastRequest          string
}

// pods of one Deployment.
type pods struct {
	Deployment
	rolls map[string]int         // by annotation
	holds map[string]Certificate // what some of them may run with
	since map[string]Certificate // what the Secret has held since they are being replaced
	// They come up, and, where crashAt is not zero, go down once more for a while.
	readyAt, crashAt, backAt time.Time
}

func newWorld(seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 5))
	w := &world{random: random, events: map[string]int{}, clock: noon, good: true, sequences: map[int64]string{}, renewals: map[string]*renewals{}}
	w.validity = []time.Duration{3 * time.Hour, 3 * day, 40 * day, lifetime}[random.IntN(4)]
	w.stubborn = []int{0, 3, 3, 3, 3, 50}[random.IntN(6)]
	w.secret = w.issue()
	w.secret.NotAfter = noon.Add(time.Duration(random.IntN(40)-5) * day)
	w.secret.NotBefore = w.secret.NotAfter.Add(-w.validity)
	w.spec = Observation{Cluster: "here", Credentials: "0", Settle: time.Minute, Jitter: random.Float64(), RolloutNever: random.IntN(4) == 0}
	if random.IntN(3) == 0 {
		w.spec.RolloutTimeout = time.Hour
	}
	w.spec.Manual = random.IntN(5) == 0
	for i := range random.IntN(4) {
		w.deployments = append(w.deployments, &pods{
			Deployment: Deployment{Name: fmt.Sprint(i), UID: fmt.Sprint("uid-", i), Complete: true, Message: "as it says"},
			rolls:      map[string]int{}, holds: map[string]Certificate{w.secret.Fingerprint: w.secret},
		})
	}
	return w
}

func (w *world) tail() string {
	text := ""
	for _, line := range w.log[max(0, len(w.log)-60):] {
		text += line + "\n"
	}
	return text
}

func (w *world) note(event, format string, args ...any) {
	w.events[event]++
	w.log = append(w.log, fmt.Sprintf("%s %s: ", w.clock.Format("01-02 15:04:05.000"), event)+fmt.Sprintf(format, args...))
}

// happens says whether a fault takes place.
func (w *world) happens(percent int) bool { return !w.calm && w.random.IntN(100) < percent }

func (w *world) issue() Certificate {
	w.issued++
	start := w.clock.Truncate(time.Second)
	return Certificate{SerialNumber: fmt.Sprint(w.issued), Fingerprint: fmt.Sprintf("f%d", w.issued), NotBefore: start, NotAfter: start.Add(w.validity)}
}

func (w *world) of(c Certificate) *renewals {
	if w.renewals[c.Fingerprint] == nil {
		w.renewals[c.Fingerprint] = &renewals{}
	}
	return w.renewals[c.Fingerprint]
}

// live goes through a time of faults and a time without.
func (w *world) live() error {
	ends := noon.Add(min(20*day, 5*w.validity))
	for moments := 0; w.clock.Before(ends); moments++ {
		if moments > 4000 {
			return fmt.Errorf("never at rest: %d moments by %v", moments, w.clock)
		}
		w.disturb()
		if err := w.moment(); err != nil {
			return err
		}
	}
	w.calm, w.good = true, true
	w.spec.Suspended, w.spec.Blocked, w.spec.Refused, w.spec.Pin = false, nil, nil, ""
	w.spec.Manual = false
	w.spec.Credentials += "+"
	for moments := 0; ; moments++ {
		if err := w.moment(); err != nil {
			return err
		}
		d := Plan(w.observe(), w.clock)
		if w.secret == w.record.Newest && w.observe().RolledOut() && !w.record.unrolled() && d.State == Scheduled && w.record.Intent == nil {
			return w.settled()
		}
		if w.clock.After(ends.Add(3 * day)) {
			return fmt.Errorf("three days after the last fault: %+v", d)
		}
		if moments > 500 {
			return fmt.Errorf("never at rest after the last fault: %+v", d)
		}
	}
}

func (w *world) settled() error {
	for _, d := range w.deployments {
		for fingerprint := range d.holds {
			if w.record.Rollout.Sequence > 0 && fingerprint != w.secret.Fingerprint {
				return fmt.Errorf("rolled, but pods of %s run with %s", d.Name, fingerprint)
			}
		}
	}
	return nil
}

// disturb changes what the operator sees.
func (w *world) disturb() {
	if w.random.IntN(100) < 5 {
		w.spec.Suspended = !w.spec.Suspended
	}
	if w.random.IntN(100) < 5 {
		w.spec.Blocked = nil
		if w.random.IntN(2) == 0 {
			w.spec.Blocked = &Finding{State: "Blocked", Message: "it is so"}
		}
	}
	if w.random.IntN(100) < 5 {
		w.good = w.random.IntN(2) == 0
		w.spec.Credentials = fmt.Sprint(len(w.log), w.good)
	}
	if w.random.IntN(100) < 2 {
		w.spec.RenewRequest = fmt.Sprint(len(w.log))
		w.note("requested", "%s", w.spec.RenewRequest)
	}
	if w.random.IntN(100) < 20 {
		w.spec.Approved = []string{w.secret.SerialNumber}
	}
	if w.random.IntN(100) < 3 {
		w.spec.Pin = []string{"", w.record.Newest.SerialNumber, w.record.Previous.SerialNumber}[w.random.IntN(3)]
	}
	// What is replaced before anybody has looked was never there for the operator.
	unseen := w.secret.Fingerprint != w.record.Newest.Fingerprint
	if w.random.IntN(100) < 2 && !unseen {
		if c := w.issue(); w.record.Exists() && c.NotAfter.After(w.secret.NotAfter) && c.NotAfter.After(w.record.Newest.NotAfter) {
			w.publish(c)
			w.note("renewed by hand", "%s", c.Fingerprint)
			unseen = true
		}
	}
	if w.random.IntN(100) < w.stubborn && len(w.past) > 0 && !unseen {
		if old := w.past[w.random.IntN(len(w.past))]; old.NotAfter.Before(w.secret.NotAfter) {
			w.publish(old)
			w.note("put back", "%s", old.Fingerprint)
		}
	}
	if w.random.IntN(100) < 2 {
		by := randomDuration(w.random, time.Hour)
		w.clock = w.clock.Add(-by)
		w.note("clock put back", "%v", by)
	}
	for _, d := range w.deployments {
		if w.random.IntN(100) < 5 { // a pod is restarted
			d.holds[w.secret.Fingerprint] = w.secret
		}
	}
}

func (w *world) publish(c Certificate) {
	w.past = append(w.past, w.secret)
	w.secret, w.changed = c, w.clock
	for _, d := range w.deployments {
		if d.since != nil {
			d.since[c.Fingerprint] = c
		}
	}
}

// observe is what the controller's observation amounts to.
func (w *world) observe() Observation {
	for _, d := range w.deployments {
		if d.since != nil && !w.clock.Before(d.readyAt) {
			d.holds, d.since, d.Complete, d.Failed, d.UpSince = d.since, nil, true, false, d.readyAt
			d.Down, d.WasComplete = false, true
		}
		if d.since == nil && !d.crashAt.IsZero() && !w.clock.Before(d.crashAt) {
			w.events["not stable"]++
			d.Unstable, d.Complete, d.Down, d.crashAt = "it crashes", false, true, time.Time{}
		}
		if d.Unstable != "" && !d.Complete && !w.clock.Before(d.backAt) {
			d.Complete, d.Down, d.UpSince = true, false, d.backAt
		}
	}
	o := w.spec
	o.Certificate, o.Record, o.SecretChanged = w.secret, w.record, w.changed
	newest := w.record.Newest
	switch {
	case !w.record.Exists() || w.secret.Fingerprint == w.record.Desired().Fingerprint:
		o.Standing = Same
	case w.secret.Fingerprint == w.record.Previous.Fingerprint, w.secret.Fingerprint == newest.Fingerprint:
		o.Standing = Older
	case w.secret.NotAfter.After(newest.NotAfter):
		o.Standing = Newer
	default:
		o.Standing = Older
	}
	o.Deployments = nil
	for _, d := range w.deployments {
		seen := d.Deployment
		may := maps.Clone(d.holds) // and those that are coming up
		maps.Copy(may, d.since)
		for fingerprint := range may {
			if fingerprint != w.secret.Fingerprint {
				seen.OldPods++
				if !w.record.Revert.Since.IsZero() {
					seen.RevertedPods++
				}
			}
		}
		o.Deployments = append(o.Deployments, seen)
	}
	return o
}

// moment takes steps until there is nothing to do, and lets time pass.
func (w *world) moment() error {
	for range 20 {
		o := w.observe()
		if err := w.check(o); err != nil {
			return err
		}
		d := Plan(o, w.clock)
		if d.Step == StepWait {
			w.rest(o, d)
			return nil
		}
		w.note(string(d.Step), "%s", d.Message)
		if err := w.act(o, d); err != nil {
			return err
		}
	}
	return fmt.Errorf("the plan does not come to rest at %v", w.clock)
}

func (w *world) rest(o Observation, d Decision) {
	until := d.At
	switch d.State {
	case UnresolvedAttempts:
		w.events["capped"]++
	case Reverted:
		w.events["contested"]++
	case RolloutFailed:
		w.events["rollout failed"]++
	case RestartRequired: // which a person does after a while
		for i, p := range w.deployments {
			if o.Deployments[i].OldPods > 0 && (w.calm || w.random.IntN(3) == 0) {
				p.holds = map[string]Certificate{w.secret.Fingerprint: w.secret}
				until = w.clock.Add(min(time.Minute, until.Sub(w.clock)))
			}
		}
	}
	for _, p := range w.deployments { // a change of it is seen
		for _, at := range []time.Time{p.readyAt, p.crashAt, p.backAt} {
			if at.After(w.clock) && at.Before(until) {
				until = at
			}
		}
	}
	if w.random.IntN(3) == 0 { // something else is seen
		until = w.clock.Add(time.Duration(w.random.Int64N(int64(until.Sub(w.clock)) + 1)))
	}
	if w.random.IntN(3) == 0 { // timers are late
		until = until.Add(time.Duration(w.random.IntN(1e9)))
	}
	w.clock = until
}

// store writes the record, where the operator does not die before or after it. It returns false where the step
// ends there.
func (w *world) store(r Record) bool {
	if w.happens(5) {
		w.note("died before a write", "")
		return false
	}
	w.record = r
	if w.happens(5) {
		w.note("died after a write", "")
		return false
	}
	return true
}

func (w *world) act(o Observation, d Decision) error {
	w.clock = w.clock.Add(time.Duration(w.random.IntN(2e9)))
	switch d.Step {
	case StepConfirm:
		w.record.Cluster = o.Cluster
	case StepAdopt:
		r := w.record
		r.Cluster = o.Cluster
		if r.Exists() {
			r = r.Adopted(o.Certificate).Published(w.clock, w.clock, o.RolledOut())
		} else {
			r = r.Seen(o.Certificate, "")
		}
		if w.store(r); w.record.Rollout.Sequence == r.Rollout.Sequence {
			w.sequences[r.Rollout.Sequence] = r.Rollout.Fingerprint
		}
	case StepRenew:
		return w.renew(o)
	case StepRestore:
		if w.store(w.record.Reverting(o.Certificate, o.SecretChanged, w.clock, o.RenewRequest)) && !w.happens(10) {
			w.publish(w.record.Newest)
		}
	case StepNote:
		w.store(w.record.Noted(o.Certificate, o.SecretChanged))
	case StepRestored:
		w.store(w.record.Restored())
	case StepPublish:
		if !w.happens(10) {
			w.publish(w.record.Desired())
		}
	case StepAdvance:
		r := w.record.Published(w.clock, w.clock, o.RolledOut(), o.Undisturbed()...)
		if w.store(r); w.record.Rollout.Sequence == r.Rollout.Sequence {
			if had, ok := w.sequences[r.Rollout.Sequence]; ok && had != r.Rollout.Fingerprint {
				return fmt.Errorf("sequence %d stands for two certificates", r.Rollout.Sequence)
			}
			w.sequences[r.Rollout.Sequence] = r.Rollout.Fingerprint
		}
	case StepPin:
		if w.note(map[bool]string{true: "pinned", false: "unpinned"}[d.Pin != ""], ""); o.Pin != "" && d.Pin != w.record.Newest.Fingerprint && d.Pin != w.record.Previous.Fingerprint {
			return fmt.Errorf("%s is pinned, which nobody has", d.Pin)
		}
		w.store(w.record.Pinned(d.Pin))
	case StepRoll:
		return w.roll(d.Deployment)
	case StepFail:
		w.store(w.record.RolloutFailed(d.Problem, w.clock))
	case StepRetry:
		r := w.record.Retried()
		if w.store(r); w.record.Rollout.Sequence == r.Rollout.Sequence {
			w.sequences[r.Rollout.Sequence] = r.Rollout.Fingerprint
		}
	case StepComplete:
		i := slices.IndexFunc(w.deployments, func(p *pods) bool { return p.Name == d.Deployment })
		uid := ""
		if i >= 0 {
			uid = w.deployments[i].UID
		}
		w.store(w.record.RolledOut(uid, len(o.Undone()) <= 1, w.clock))
	}
	return nil
}

func (w *world) renew(o Observation) error {
	certificate := o.Certificate
	of := w.of(certificate)
	claimed := w.record.Claimed(certificate, o.RenewRequest, intent(w.clock, "me"))
	anew := o.RenewRequest != of.lastRequest && o.RenewRequest != ""
	if of.recorded > 0 {
		return fmt.Errorf("certificate %s is renewed once more", certificate.Fingerprint)
	}
	if of.unresolved >= MaxUnresolved && w.clock.Before(of.lastClaim.Add(day)) && !anew {
		return fmt.Errorf("claim after %d unresolved ones, the last at %v", of.unresolved, of.lastClaim)
	}
	alive := w.store(claimed)
	if w.record.Intent != claimed.Intent {
		return nil
	}
	of.lastClaim, of.lastRequest = w.clock, o.RenewRequest
	if !alive {
		of.unresolved++
		return nil
	}
	took := time.Duration(w.random.Int64N(int64(Deadline)))
	if w.happens(10) {
		w.note("died while asking", "")
		of.unresolved++
		return nil
	}
	var outcome Record
	success, without := false, false
	switch {
	case !w.good:
		w.note("refused", "")
		outcome = w.record.Failed(credentialsRejected(o.Credentials), certificate, w.clock.Add(took))
	case w.happens(20):
		w.note("unavailable", "")
		outcome = w.record.Failed(unavailable, certificate, w.clock.Add(took))
	case w.happens(30):
		w.note("answer lost", "")
		without = true
		outcome = w.record.Failed(lost, certificate, w.clock.Add(took))
	default:
		success = true
		outcome = w.record.Succeeded(w.issue(), o.RenewRequest, w.clock.Add(took))
	}
	w.clock = w.clock.Add(took)
	w.store(outcome)
	switch {
	case without || w.record.Intent != nil: // it was not stored
		of.unresolved++
	case success:
		of.recorded++
	}
	return nil
}

func (w *world) roll(name string) error {
	i := slices.IndexFunc(w.deployments, func(p *pods) bool { return p.Name == name })
	p, annotation := w.deployments[i], w.record.Rollout.Annotation()
	if w.happens(10) {
		return nil
	}
	for _, other := range w.deployments {
		if other != p && !w.record.Rollout.Done(other.UID) && other.Annotation == annotation {
			return fmt.Errorf("%s and %s are rolled at the same time", p.Name, other.Name)
		}
	}
	defer func() { w.store(w.record.Rolling(p.UID, w.clock)) }()
	if p.Annotation == annotation { // the same again changes nothing
		return nil
	}
	if p.rolls[annotation]++; p.rolls[annotation] > 1 {
		return fmt.Errorf("%s is rolled again to %s", p.Name, annotation)
	}
	p.Annotation, p.Complete, p.Failed, p.Unstable, p.UpSince = annotation, false, w.happens(20), "", time.Time{}
	p.Down, p.WasComplete = true, false
	p.since = map[string]Certificate{w.secret.Fingerprint: w.secret}
	maps.Copy(p.holds, p.since)
	p.readyAt = w.clock.Add(time.Duration(w.random.Int64N(int64(20 * time.Minute))))
	if w.happens(20) {
		p.readyAt = w.clock.Add(time.Duration(w.random.Int64N(int64(day))))
	}
	if p.crashAt = (time.Time{}); w.happens(20) {
		p.crashAt = p.readyAt.Add(time.Duration(w.random.Int64N(int64(2 * time.Minute))))
		p.backAt = p.crashAt.Add(time.Duration(w.random.Int64N(int64(time.Hour))))
	}
	return nil
}

// check compares what is told of the expiry with what pods really hold.
func (w *world) check(o Observation) error {
	until := o.ServingUntil()
	for _, d := range w.deployments {
		for _, held := range d.holds {
			if until.After(held.NotAfter) {
				return fmt.Errorf("told to serve until %v, but pods hold %s, which expires at %v: %+v", until, held.Fingerprint, held.NotAfter, o.Record)
			}
		}
	}
	return nil
}
