package renewal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	. "github.com/onsi/gomega"
)

func window(t testing.TB, schedule, zone string, open time.Duration) Window {
	t.Helper()
	w, err := NewWindow(schedule, zone, open)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func at(t testing.TB, zone, s string) time.Time {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	layout := "2006-01-02 15:04:05"
	if strings.Count(s, " ") == 2 {
		layout += " MST"
	}
	parsed, err := time.ParseInLocation(layout, s, location)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestWindowNext(t *testing.T) {
	const berlin = "Europe/Berlin"
	night := window(t, "0 2 * * *", berlin, 2*time.Hour)
	sunday := window(t, "0 3 * * 0", berlin, time.Hour)
	for name, c := range map[string]struct {
		windows []Window
		freezes []Freeze
		rollout time.Duration
		t, want string
	}{
		"none":                               {nil, nil, 0, "2031-05-01 12:00:00", "2031-05-01 12:00:00"},
		"before":                             {[]Window{night}, nil, 10 * time.Minute, "2031-05-01 01:00:00", "2031-05-01 02:00:00"},
		"at the opening":                     {[]Window{night}, nil, 10 * time.Minute, "2031-05-01 02:00:00", "2031-05-01 02:00:00"},
		"open":                               {[]Window{night}, nil, 10 * time.Minute, "2031-05-01 03:49:59", "2031-05-01 03:49:59"},
		"open, too late for the rollout":     {[]Window{night}, nil, 10 * time.Minute, "2031-05-01 03:50:00", "2031-05-02 02:00:00"},
		"half of it always counts":           {[]Window{night}, nil, 5 * time.Hour, "2031-05-01 02:59:59", "2031-05-01 02:59:59"},
		"half of it, over":                   {[]Window{night}, nil, 5 * time.Hour, "2031-05-01 03:00:00", "2031-05-02 02:00:00"},
		"the first of several":               {[]Window{sunday, night}, nil, 0, "2031-05-01 12:00:00", "2031-05-02 02:00:00"},
		"they overlap":                       {[]Window{sunday, night}, nil, 0, "2031-05-04 03:30:00", "2031-05-04 03:30:00"},
		"longer than the time between":       {[]Window{window(t, "0 * * * *", berlin, 3*time.Hour)}, nil, time.Hour, "2031-05-01 12:34:56", "2031-05-01 12:34:56"},
		"frozen":                             {nil, []Freeze{{at(t, berlin, "2031-05-01 00:00:00"), at(t, berlin, "2031-05-03 00:00:00")}}, 0, "2031-05-01 12:00:00", "2031-05-03 00:00:00"},
		"freezes, one after the other":       {[]Window{night}, []Freeze{{at(t, berlin, "2031-05-02 00:00:00"), at(t, berlin, "2031-05-03 00:00:00")}, {at(t, berlin, "2031-05-01 00:00:00"), at(t, berlin, "2031-05-02 01:00:00")}}, 0, "2031-05-01 12:00:00", "2031-05-03 02:00:00"},
		"a freeze ends in a window":          {[]Window{night}, []Freeze{{at(t, berlin, "2031-05-01 00:00:00"), at(t, berlin, "2031-05-02 02:30:00")}}, 0, "2031-05-01 12:00:00", "2031-05-02 02:30:00"},
		"frozen again later":                 {[]Window{night}, []Freeze{{at(t, berlin, "2031-05-01 00:00:00"), at(t, berlin, "2031-05-02 00:00:00")}}, 0, "2031-05-02 12:00:00", "2031-05-03 02:00:00"},
		"clocks are put forward over it":     {[]Window{window(t, "30 2 * * *", berlin, time.Hour)}, nil, 0, "2031-03-30 01:00:00", "2031-03-30 03:30:00"},
		"clocks are put forward in it":       {[]Window{window(t, "30 1 * * *", berlin, time.Hour)}, nil, 0, "2031-03-30 03:20:00", "2031-03-30 03:20:00"},
		"clocks were put forward in it":      {[]Window{window(t, "30 1 * * *", berlin, time.Hour)}, nil, 0, "2031-03-30 03:31:00", "2031-03-31 01:30:00"},
		"clocks are put back":                {[]Window{window(t, "30 2 * * *", berlin, 30*time.Minute)}, nil, 0, "2031-10-26 00:00:00", "2031-10-26 02:30:00 CEST"},
		"clocks were put back":               {[]Window{window(t, "30 2 * * *", berlin, 30*time.Minute)}, nil, 0, "2031-10-26 02:00:00 CET", "2031-10-26 02:30:00 CET"},
		"either kind of day":                 {[]Window{window(t, "0 2 15 * 1", berlin, time.Hour)}, nil, 0, "2031-05-01 12:00:00", "2031-05-05 02:00:00"},
		"the other kind of day":              {[]Window{window(t, "0 2 15 * 1", berlin, time.Hour)}, nil, 0, "2031-05-12 12:00:00", "2031-05-15 02:00:00"},
		"a leap day":                         {[]Window{window(t, "0 2 29 2 *", berlin, time.Hour)}, nil, 0, "2031-05-01 12:00:00", "2032-02-29 02:00:00"},
		"the zone is the window's":           {[]Window{window(t, "0 2 * * *", "America/New_York", time.Hour)}, nil, 0, "2031-05-01 12:00:00", "2031-05-02 08:00:00"},
		"without a zone it is UTC":           {[]Window{window(t, "0 2 * * *", "", time.Hour)}, nil, 0, "2031-05-01 12:00:00", "2031-05-02 04:00:00"},
		"a zone of half an hour":             {[]Window{window(t, "0 2 * * *", "Asia/Kolkata", time.Hour)}, nil, 0, "2031-05-01 12:00:00", "2031-05-01 22:30:00"},
		"never":                              {[]Window{window(t, "0 2 31 2 *", berlin, time.Hour)}, nil, 0, "2031-05-01 12:00:00", ""},
		"never, and another":                 {[]Window{window(t, "0 2 31 2 *", berlin, time.Hour), night}, nil, 0, "2031-05-01 12:00:00", "2031-05-02 02:00:00"},
		"open, with a rollout of no time":    {[]Window{night}, nil, 0, "2031-05-01 03:59:59", "2031-05-01 03:59:59"},
		"closed at the end, not a bit later": {[]Window{night}, nil, 0, "2031-05-01 04:00:00", "2031-05-02 02:00:00"},
	} {
		got := Windows{c.windows, c.freezes}.Next(at(t, berlin, c.t), c.rollout)
		want := time.Time{}
		if c.want != "" {
			want = at(t, berlin, c.want)
		}
		if !got.Equal(want) {
			t.Errorf("%s: after %s comes %s, want %s", name, c.t, got.In(want.Location()), want)
		}
	}
}

func TestNewWindowRefuses(t *testing.T) {
	for _, c := range []struct{ schedule, zone, want string }{
		{"", "", "five cron fields"}, {"* * * *", "", "five cron fields"}, {"* * * * * *", "", "five cron fields"}, {"@daily", "", "five cron fields"},
		{"@every 1h", "", "five cron fields"}, {"61 * * * *", "", "five cron fields"}, {"* 24 * * *", "", "five cron fields"}, {"0 2 0 * *", "", "five cron fields"},
		{"TZ=Europe/Berlin 0 2 * * *", "", "timeZone"}, {"CRON_TZ=UTC 0 2 * * *", "", "timeZone"},
		{"0 2 * * *", "Europe/Nowhere", "IANA"}, {"0 2 * * *", "Local", "IANA"}, {"0 2 * * *", "../etc/passwd", "IANA"}, {"0 2 * * *", "CEST", "IANA"},
	} {
		_, err := NewWindow(c.schedule, c.zone, time.Hour)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v, want an error with %q", c.schedule, c.zone, err, c.want)
		}
	}
}

// TestWindowProperties compares windows of random schedules, in zones with and without daylight saving, with a count of
// the minutes, and asks what always holds.
func TestWindowProperties(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll"}
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		zone := zones[random.IntN(len(zones))]
		minute, hour := random.IntN(60), random.IntN(24)
		open := time.Duration(2+2*random.IntN(18*60)) * time.Minute
		rollout := time.Duration(random.IntN(120)) * time.Minute
		days, day := "*", -1
		if random.IntN(2) == 0 {
			day = random.IntN(7)
			days = fmt.Sprint(day)
		}
		w := Windows{Windows: []Window{window(t, fmt.Sprintf("%d %d * * %s", minute, hour, days), zone, open)}}
		from := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(random.IntN(2*365*24*60)) * time.Minute)
		next := w.Next(from, rollout)

		what := fmt.Sprintf("%d %d * * %s in %s for %s, rollout %s, from %s: %s", minute, hour, days, zone, open, rollout, from, next)
		if next.Before(from) {
			t.Fatalf("it goes back in time: %s", what)
		}
		if again := w.Next(next, rollout); !again.Equal(next) {
			t.Fatalf("asked again at that moment it says %s: %s", again, what)
		}
		if next.After(from) && next.Sub(from) > 8*24*time.Hour {
			t.Fatalf("a window of each week is missed: %s", what)
		}
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if leaps(location, from.Add(-open), next) {
			continue // What counts around a change of the clocks is in the table.
		}
		late := max(open/2, open-rollout)
		var opening, counted time.Time
		for m := from.Add(-late); counted.IsZero(); m = m.Add(time.Minute) {
			local := m.In(location)
			if local.Minute() == minute && local.Hour() == hour && (day < 0 || int(local.Weekday()) == day) && m.After(from.Add(-late)) {
				opening = m
			}
			if !m.Before(from) && !opening.IsZero() && m.Sub(opening) < late {
				counted = m
			}
		}
		if !counted.Equal(next) {
			t.Fatalf("counting minutes gives %s: %s", counted, what)
		}
	}
}

func leaps(location *time.Location, from, to time.Time) bool {
	_, first := from.In(location).Zone()
	for at := from; at.Before(to.Add(time.Hour)); at = at.Add(30 * time.Minute) {
		if _, offset := at.In(location).Zone(); offset != first {
			return true
		}
	}
	return false
}

// FuzzWindow never panics, and never opens in the past.
func FuzzWindow(f *testing.F) {
	f.Add("0 2 * * *", "Europe/Berlin", int64(3600), int64(1900000000))
	f.Add("*/5 1-3,22 1,L 1-12/2 mon#2", "UTC", int64(1), int64(0))
	f.Fuzz(func(t *testing.T, schedule, zone string, open, unix int64) {
		w, err := NewWindow(schedule, zone, time.Duration(open%(14*86400))*time.Second)
		if err != nil {
			return
		}
		from := time.Unix(unix%4e9, 0)
		if next := (Windows{Windows: []Window{w}}).Next(from, time.Hour); !next.IsZero() && next.Before(from) {
			t.Errorf("%q in %q: %s before %s", schedule, zone, next, from)
		}
	})
}

func TestUrgency(t *testing.T) {
	g := NewWithT(t)
	// A certificate that is due, with a month left, and a window each Sunday at noon. noon is a Thursday.
	certificate := Certificate{Fingerprint: "f", SerialNumber: "1", NotBefore: noon.Add(-335 * day), NotAfter: noon.Add(30 * day)}
	o := Observation{Certificate: certificate, Windows: Windows{Windows: []Window{window(t, "0 12 * * 0", "", time.Hour)}}}
	plan := func(change func(*Observation), now time.Time) Decision {
		o := o
		o.Record = Record{Newest: certificate, Rollout: Rollout{Fingerprint: "f"}}
		if change != nil {
			change(&o)
		}
		return Plan(o, now)
	}
	sunday := noon.Add(3 * day)
	d := plan(nil, noon)
	g.Expect(d.Step).To(Equal(StepWait))
	g.Expect(d.State).To(Equal(WaitingForWindow))
	g.Expect(d.NextAttempt).To(BeTemporally("==", sunday))
	g.Expect(d.Start).To(BeTemporally("==", sunday))
	g.Expect(d.At).To(BeTemporally("==", noon.Add(day)), "at the latest after a day")
	g.Expect(d.Message).To(ContainSubstring("it starts at " + stamp(sunday)))

	g.Expect(plan(nil, sunday).Step).To(Equal(StepRenew))
	g.Expect(plan(nil, sunday.Add(50*time.Minute)).Step).To(Equal(StepWait), "no room for a rollout")
	g.Expect(plan(func(o *Observation) { o.RolloutTimeout = 5 * time.Minute }, sunday.Add(50*time.Minute)).Step).To(Equal(StepRenew))

	// Within three days of the expiry.
	urgent := certificate.NotAfter.Add(-72 * time.Hour)
	d = plan(nil, urgent)
	g.Expect(d.Step).To(Equal(StepRenew))
	g.Expect(d.Message).To(ContainSubstring("urgent"))
	d = plan(nil, urgent.Add(-time.Hour))
	g.Expect(d.NextAttempt).To(BeTemporally("==", urgent))
	g.Expect(d.Message).To(ContainSubstring("when it is urgent, since no window opens before"))
	g.Expect(plan(func(o *Observation) { o.UrgentBefore = 48 * time.Hour }, urgent).Step).To(Equal(StepWait))
	g.Expect(plan(func(o *Observation) { o.UrgentWait = true }, urgent).Step).To(Equal(StepWait))
	g.Expect(plan(func(o *Observation) { o.UrgentWait = true }, certificate.NotAfter.Add(2*day)).NextAttempt).To(BeTemporally("==", noon.Add(38*day)))

	// A freeze until after the expiry.
	freeze := func(o *Observation) { o.Windows.Freezes = []Freeze{{noon, certificate.NotAfter.Add(day)}} }
	g.Expect(plan(freeze, sunday).NextAttempt).To(BeTemporally("==", urgent))
	g.Expect(plan(freeze, urgent).Step).To(Equal(StepRenew))

	// A window that never opens, and one that can't be read.
	never := func(o *Observation) { o.Windows.Windows = []Window{window(t, "0 2 31 2 *", "", time.Hour)} }
	g.Expect(plan(never, noon).NextAttempt).To(BeTemporally("==", urgent))
	d = plan(func(o *Observation) { never(o); o.UrgentWait = true }, noon)
	g.Expect(d.State).To(Equal(NoWindowInTime))
	g.Expect(d.Message).To(ContainSubstring("no window opens before the certificate expires"))
	d = plan(func(o *Observation) { never(o); o.UrgentWait, o.Before = true, 29*day }, noon)
	g.Expect(d.State).To(Equal(NoWindowInTime), "also before it is due")
	late := func(o *Observation) { freeze(o); o.UrgentWait = true }
	g.Expect(plan(late, noon).State).To(Equal(NoWindowInTime))
	g.Expect(plan(late, certificate.NotAfter.Add(2*day)).Step).To(Equal(StepWait))
	g.Expect(plan(never, certificate.NotAfter.Add(-time.Hour)).Message).To(ContainSubstring("urgent"))
	invalid := func(o *Observation) {
		o.Windows, o.WindowInvalid = Windows{}, &Finding{State: "WindowInvalid", Message: "schedule \"x\" is not"}
	}
	d = plan(invalid, noon)
	g.Expect(d.State).To(Equal(State("WindowInvalid")))
	g.Expect(d.NextAttempt).To(BeTemporally("==", urgent))
	g.Expect(plan(invalid, urgent).Step).To(Equal(StepRenew))

	// A person asks.
	g.Expect(plan(func(o *Observation) { o.RenewRequest = "now" }, noon).Step).To(Equal(StepRenew))

	// What has started in the window goes on for an hour after a failure.
	failed := func(ago time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Record = o.Record.Failed(Failure{State: "PlatformUnavailable", Message: "down"}, certificate, noon.Add(-ago))
		}
	}
	g.Expect(plan(failed(59*time.Minute), noon).Step).To(Equal(StepRenew))
	g.Expect(plan(failed(-time.Minute), noon).State).To(Equal(State("PlatformUnavailable")), "the clock was put back")
	d = plan(failed(time.Hour), noon)
	g.Expect(d.State).To(Equal(State("PlatformUnavailable")), "why it failed is not forgotten")
	g.Expect(d.NextAttempt).To(BeTemporally("==", sunday))
	refused := plan(func(o *Observation) {
		o.Credentials = "1"
		o.Record = o.Record.Failed(credentialsRejected("1"), certificate, noon.Add(-2*time.Hour))
	}, noon)
	g.Expect(refused.State).To(Equal(State("CredentialsRejected")))
	g.Expect(refused.NextAttempt).To(BeTemporally("==", sunday), "not when nothing may start")

	// What was interrupted goes on: the platform may have renewed.
	g.Expect(plan(func(o *Observation) {
		o.Record = o.Record.Claimed(certificate, "", intent(noon.Add(-10*time.Minute), "somebody"))
	}, noon).Step).To(Equal(StepRenew))

	// What a person has to do is told meanwhile.
	restart := plan(func(o *Observation) {
		o.RolloutNever, o.Deployments = true, []Deployment{{Name: "a", UID: "u", OldPods: 2}}
		o.Record.Rollout = Rollout{Sequence: 1, Fingerprint: "f"}
	}, noon)
	g.Expect(restart.State).To(Equal(RestartRequired))

	// Before it is due the plan tells the window.
	soon := plan(func(o *Observation) { o.Before = 29 * day }, noon)
	g.Expect(soon.State).To(Equal(Scheduled))
	g.Expect(soon.RenewalTime).To(BeTemporally("==", noon.Add(day)))
	g.Expect(soon.Start).To(BeTemporally("==", sunday))
	g.Expect(soon.Message).To(ContainSubstring("is renewed at " + stamp(sunday) + ", in the first window after " + stamp(noon.Add(day))))

	// Short-lived: urgent only in the second half of what is left once it is due.
	short := Certificate{Fingerprint: "f", NotBefore: noon.Add(-18 * time.Hour), NotAfter: noon.Add(6 * time.Hour)}
	at := plan(func(o *Observation) { o.Certificate, o.Record.Newest = short, short }, noon)
	g.Expect(at.NextAttempt).To(BeTemporally("==", short.NotAfter.Add(-4*time.Hour)))
}
