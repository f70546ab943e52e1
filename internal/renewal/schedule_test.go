package renewal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestSchedule(t *testing.T) {
	// valid makes a certificate from noon on.
	valid := func(d time.Duration) Certificate {
		return Certificate{Fingerprint: "f", NotBefore: noon, NotAfter: noon.Add(d)}
	}
	renewedAt := func(after time.Duration) Renewed { return Renewed{Fingerprint: "f", Time: noon.Add(after)} }
	for name, c := range map[string]struct {
		certificate Certificate
		before      time.Duration
		renewed     Renewed
		at          time.Duration // after noon
		effective   time.Duration
	}{
		"the default":                        {valid(450 * day), 0, Renewed{}, 420 * day, 30 * day},
		"asked for":                          {valid(450 * day), 10 * day, Renewed{}, 440 * day, 10 * day},
		"a second":                           {valid(450 * day), time.Second, Renewed{}, 450*day - time.Second, time.Second},
		"less than a second":                 {valid(450 * day), time.Millisecond, Renewed{}, 450 * day, 0},
		"a third":                            {valid(450 * day), 200 * day, Renewed{}, 300 * day, 150 * day},
		"longer than the validity":           {valid(90 * day), 1000 * day, Renewed{}, 60 * day, 30 * day},
		"as long as can be":                  {valid(90 * day), 1<<63 - 1, Renewed{}, 60 * day, 30 * day},
		"a month":                            {valid(30 * day), 0, Renewed{}, 20 * day, 10 * day},
		"an hour":                            {valid(time.Hour), 0, Renewed{}, 40 * time.Minute, 20 * time.Minute},
		"a second's validity":                {valid(time.Second), 0, Renewed{}, time.Second, 0},
		"a third is a whole second":          {valid(10 * time.Second), 0, Renewed{}, 7 * time.Second, 3 * time.Second},
		"renewed":                            {valid(450 * day), 0, renewedAt(time.Minute), 420 * day, 30 * day},
		"renewed, an hour":                   {valid(time.Hour), 0, renewedAt(time.Second), 40*time.Minute + time.Second, 20*time.Minute - time.Second},
		"renewed, skewed by half a second":   {valid(450 * day), 0, renewedAt(500 * time.Millisecond), 420 * day, 30 * day},
		"renewed, platform's clock is ahead": {valid(450 * day), 0, renewedAt(-5 * time.Minute), 420 * day, 30 * day},
		"renewed with a year gone":           {valid(450 * day), 0, renewedAt(366 * day), 422 * day, 28 * day},
		"renewed with a week left":           {valid(450 * day), 0, renewedAt(443 * day), 447*day + 16*time.Hour, 56 * time.Hour},
		"renewed with a quarter left":        {valid(450 * day), 0, renewedAt(450*day - 15*time.Minute), 450*day - 5*time.Minute, 5 * time.Minute},
		"renewed with a minute left":         {valid(450 * day), 0, renewedAt(450*day - time.Minute), 450 * day, 20 * time.Second},
		"renewed when it had expired":        {valid(450 * day), 0, renewedAt(451 * day), 450 * day, 0},
		"another one was renewed":            {valid(450 * day), 0, Renewed{Fingerprint: "other", Time: noon.Add(449 * day)}, 420 * day, 30 * day},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			at, effective := schedule(c.certificate, c.before, 0, c.renewed)
			g.Expect(effective).To(Equal(c.effective))
			g.Expect(at.Sub(noon)).To(Equal(c.at))
		})
	}
}

// Whatever before is and whenever a certificate was renewed, it is due neither at once nor after its expiry.
func TestScheduleProperties(t *testing.T) {
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		c := Certificate{Fingerprint: "f", NotBefore: noon, NotAfter: noon.Add(time.Second + randomDuration(random, 500*day).Truncate(time.Second))}
		before := time.Second + randomDuration(random, 500*day)
		renewed := Renewed{Fingerprint: "f", Time: noon.Add(randomDuration(random, c.NotAfter.Sub(noon)))}
		at, effective := schedule(c, before, 0, renewed)
		told := fmt.Sprintf("%v of %v, renewed after %v: %v, %v", before, c.NotAfter.Sub(noon), renewed.Time.Sub(noon), at.Sub(noon), effective)
		g.Expect(at.After(c.NotAfter)).To(BeFalse(), told)
		left := c.NotAfter.Sub(renewed.Time)
		g.Expect(at.Sub(renewed.Time)).To(BeNumerically(">=", min(left, left*2/3)), told)
		g.Expect(effective).To(And(BeNumerically(">=", 0), BeNumerically("<=", left/3)), told)
		if left > 15*time.Minute {
			g.Expect(c.NotAfter.Sub(at)).To(BeNumerically(">", 0), told)
		}
	}
}

// A platform that answers with certificates which expire when the first one did is asked less and less.
func TestScheduleEndsWhereTheExpiryDoesNotMove(t *testing.T) {
	g := NewWithT(t)
	expiry := noon.Add(450 * day)
	now, renewals := noon.Add(449*day), 0
	c := Certificate{Fingerprint: "0", NotBefore: noon, NotAfter: expiry}
	renewed := Renewed{}
	for {
		at, _ := schedule(c, 1000*day, 0, renewed)
		if at.After(now) {
			now = at
		}
		if !now.Before(expiry) {
			break
		}
		renewals++
		c.Fingerprint = fmt.Sprint(renewals)
		c.NotBefore = now.Truncate(time.Second)
		renewed = Renewed{Fingerprint: c.Fingerprint, Time: now}
		g.Expect(renewals).To(BeNumerically("<", 10))
	}
	g.Expect(renewals).To(BeNumerically(">", 1))
}

func TestRetryDelays(t *testing.T) {
	for name, c := range map[string]struct {
		retry     Retry
		remaining time.Duration
		want      []time.Duration
	}{
		"backoff":               {RetryBackoff, 30 * day, []time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 256 * time.Minute, 6 * time.Hour, 6 * time.Hour}},
		"backoff, a day left":   {RetryBackoff, 18 * time.Hour, []time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 3 * time.Hour, 3 * time.Hour}},
		"backoff, an hour left": {RetryBackoff, time.Hour, []time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute}},
		"backoff, expired":      {RetryBackoff, -300 * day, []time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute, 30 * time.Minute}},
		"slowly":                {RetrySlowly, 30 * day, []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, day, day}},
		"slowly, a day left":    {RetrySlowly, day, []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour}},
		"slowly, expired":       {RetrySlowly, -time.Second, []time.Duration{15 * time.Minute, 30 * time.Minute, 30 * time.Minute}},
		"on change":             {RetryOnChange, 30 * day, []time.Duration{day, day, day}},
		"on change, expired":    {RetryOnChange, -day, []time.Duration{day, day, day}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, want := range c.want {
				NewWithT(t).Expect(c.retry.delay(i+1, c.remaining)).To(Equal(want), "after %d failures", i+1)
			}
			last := c.want[len(c.want)-1]
			for _, failed := range []int{100, 1 << 40} {
				NewWithT(t).Expect(c.retry.delay(failed, c.remaining)).To(Equal(last))
			}
		})
	}
}

// However late it begins to fail, a certificate is tried at least six times before it expires, and is tried on.
func TestRetryLeavesAttempts(t *testing.T) {
	for _, retry := range []Retry{RetryBackoff, RetrySlowly} {
		for _, remaining := range []time.Duration{3 * time.Hour, 10 * time.Hour, day, 10 * day, 30 * day} {
			for failed := range 20 {
				tries := 0
				for left := remaining; left > 0; tries++ {
					left -= retry.delay(failed+tries+1, left)
				}
				NewWithT(t).Expect(tries).To(BeNumerically(">=", 6), "%d, %v left, after %d failures", retry, remaining, failed)
				NewWithT(t).Expect(tries).To(BeNumerically("<", 200))
			}
		}
	}
}

// randomDuration is short as often as long.
func randomDuration(random *rand.Rand, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(random.Int64N(int64(most)>>random.IntN(30) + 1))
}
