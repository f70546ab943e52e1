package renewal

import (
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestPlan(t *testing.T) {
	request := func(value string) func(*Observation) {
		return func(o *Observation) { o.RenewRequest = value }
	}
	suspended := func(o *Observation) { o.Suspended = true }
	blocked := func(o *Observation) {
		o.Blocked = &Finding{State: "CredentialsNotFound", Message: "no credentials"}
	}
	excluded := func(o *Observation) { o.Excluded = &Finding{State: "Duplicate", Message: "another one"} }
	unreadable := func(o *Observation) {
		o.Unreadable = &Finding{State: "RegistrationInvalid", Message: "no YAML: 100%"}
	}
	refused := func(until time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Refused = &Refusal{Finding: Finding{State: "CredentialsRejected", Message: "refused next door"}, Until: noon.Add(until)}
		}
	}
	standing := func(s Standing, c Certificate) func(*Observation) {
		return func(o *Observation) { o.Standing, o.Certificate = s, c }
	}
	record := func(change func(Record) Record) func(*Observation) {
		return func(o *Observation) { o.Record = change(o.Record) }
	}
	// failed has an attempt fail so long before noon.
	failed := func(f Failure, ago time.Duration) func(*Observation) {
		return record(func(r Record) Record {
			return r.Claimed(older, "", intent(noon.Add(-ago), "me")).Failed(f, older, noon.Add(-ago))
		})
	}
	claimed := func(ago time.Duration) func(*Observation) {
		return record(func(r Record) Record { return r.Claimed(older, "", intent(noon.Add(-ago), "someone")) })
	}
	// inJob has an operator begin a renewal in a Job so long before noon.
	inJob := func(ago time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Resumable = true
			o.Record = o.Record.Claimed(o.Record.Newest, "", Intent{Since: noon.Add(-ago), Until: noon.Add(-ago + 20*time.Minute), By: "someone", Job: "ingress-renew-1"})
		}
	}
	// reverts has the newest registration restored so often, the last time so long before noon.
	reverts := func(count int, ago time.Duration) func(Record) Record {
		return func(r Record) Record {
			for i := range count {
				r = r.Reverting(older, noon.Add(time.Duration(i-count)*time.Second), noon.Add(-ago), "")
			}
			return r
		}
	}
	unwritable := func(o *Observation) { o.Unwritable = &Finding{State: "SecretImmutable", Message: "immutable"} }
	unable := func(o *Observation) { o.Resumable = false }
	leftovers := func(o *Observation) { o.Leftovers = 2 }
	image := func(name string) func(*Observation) { return func(o *Observation) { o.Image = name } }
	outdated := Failure{State: "FlexctlTooOld", Message: "old", Retry: RetrySlowly, Image: "flex:1"}
	never := func(old int) func(*Observation) {
		return func(o *Observation) { o.RolloutNever, o.Deployments[0].OldPods = true, old }
	}
	timeout := func(d time.Duration) func(*Observation) {
		return func(o *Observation) { o.RolloutTimeout = d }
	}
	deploymentFailed := func(o *Observation) { o.Deployments[0].Failed = true }
	// due makes the present certificate due.
	due := func(o *Observation) {
		o.Certificate.NotBefore, o.Certificate.NotAfter, o.Record.Renewed = noon.Add(-lifetime), noon.Add(day), Renewed{}
	}

	// rolledAt is a gateway with one Deployment whose rollout was begun at a time and is complete.
	rolledAt := func(at time.Time) Observation {
		o := published(older, newest, deployment("a", newest, 1, true))
		o.Settle, o.Record.Rollout.Started, o.Record.Rollout.Rolled = time.Minute, at, []Rolled{{UID: "uid-a", At: at}}
		return o
	}
	takenBack := func(o *Observation) { o.Deployments[0].Annotation = "" }
	incomplete := func(o *Observation) {
		o.Deployments[0].Complete, o.Deployments[0].Down, o.Deployments[0].Failed = false, true, true
	}
	mended := func(o *Observation) { o.Deployments[0].Failed = false } // by a new revision that is coming up
	wasComplete := func(o *Observation) { o.Deployments[0].WasComplete = true }
	unstable := func(o *Observation) { o.Deployments[0].Unstable, o.Deployments[0].WasComplete = "it crashes", true }
	up := func(ago time.Duration) func(*Observation) {
		return func(o *Observation) { o.Deployments[0].UpSince = noon.Add(-ago) }
	}
	problem := func(ago time.Duration) func(*Observation) {
		return record(func(r Record) Record { return r.RolloutFailed("it crashes", noon.Add(-ago)) })
	}
	retried := func(times int) func(*Observation) {
		return record(func(r Record) Record { r.Rollout.Retries = times; return r })
	}
	noOldPods := func(o *Observation) { o.Deployments[0].OldPods = 0 }
	pin := func(c Certificate) func(*Observation) { return func(o *Observation) { o.Pin = c.SerialNumber } }
	pinnedTo := func(c Certificate) func(*Observation) {
		return func(o *Observation) { o.Pin, o.Record.Pin = c.SerialNumber, c.Fingerprint }
	}
	// pinnedAt is a gateway that was renewed to the newest certificate, and has gone back to an older one.
	pinnedAt := func(c Certificate) Observation {
		o := published(c, newest).with(record(rolledOut), pinnedTo(c))
		o.Certificate = c
		o.Record = rolledOut(o.Record.Published(noon, noon, true))
		return o
	}
	weekly := func(o *Observation) { // open now
		window, err := NewWindow("0 11 * * "+strconv.Itoa(int(noon.Weekday())), "", 4*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		o.Windows.Windows = []Window{window}
	}
	wait72 := func(o *Observation) { o.UrgentWait = true }
	dueLater := func(o *Observation) {
		o.Certificate.NotBefore, o.Certificate.NotAfter, o.Record.Renewed = noon.Add(-lifetime), noon.Add(10*day), Renewed{}
	}
	observe := func(o *Observation) { o.ObserveOnly = true }
	follow := func(o *Observation) { o.Follow = true }
	manual := func(approved ...string) func(*Observation) {
		return func(o *Observation) { o.Manual, o.Approved = true, approved }
	}
	external := func(carried bool) func(*Observation) {
		return func(o *Observation) {
			if o.External = true; carried {
				o.Publication = o.Record.Desired().Fingerprint
			}
		}
	}
	fleet := func(failed int, ago time.Duration) func(*Observation) {
		return func(o *Observation) {
			o.Fleet = Fleet{Failed: failed, Most: 2, Here: []string{"ingress"}, Last: noon.Add(-ago)}
		}
	}

	renewalTime := newest.NotAfter.Add(-defaultBefore)
	rolling := published(older, newest, deployment("a", newest, 1, false), deployment("b", newest, 0, true))

	for name, c := range map[string]struct {
		o          Observation
		step       Step
		state      State
		at         time.Time // "": a day later
		deployment string
		message    string
	}{
		// Where nothing is to do.
		"scheduled":                       {o: seen(newest), step: StepWait, state: Scheduled, message: "is renewed at 2032-06-24T12:00:00Z"},
		"scheduled within a day":          {o: seen(certificate("x", 720*time.Hour+time.Hour)), step: StepWait, state: Scheduled, at: noon.Add(time.Hour)},
		"scheduled, one second before":    {o: seen(certificate("x", 720*time.Hour+time.Second)), step: StepWait, state: Scheduled, at: noon.Add(time.Second)},
		"scheduled, a nanosecond before":  {o: seen(certificate("x", 720*time.Hour+1)), step: StepWait, state: Scheduled, at: noon.Add(1)},
		"scheduled, handled request":      {o: seen(newest).with(request("x"), func(o *Observation) { o.Record.HandledRequest = "x" }), step: StepWait, state: Scheduled},
		"scheduled, not yet valid":        {o: seen(Certificate{Fingerprint: "f", NotBefore: noon.Add(time.Hour), NotAfter: noon.Add(lifetime)}), step: StepWait, state: Scheduled, at: noon.Add(time.Hour)},
		"scheduled, credentials refused":  {o: seen(newest).with(refused(time.Hour)), step: StepWait, state: Scheduled},
		"scheduled, attempt of old":       {o: seen(newest).with(failed(unavailable, 0)), step: StepWait, state: Scheduled},
		"scheduled, intent of old":        {o: seen(newest).with(claimed(0)), step: StepWait, state: Scheduled},
		"scheduled, other cluster's name": {o: seen(newest).with(func(o *Observation) { o.Cluster = "" }), step: StepWait, state: Scheduled},

		// Renewing.
		"due":               {o: seen(older), step: StepRenew, state: Renewing, message: "renewing certificate 5EB"},
		"due, exactly":      {o: seen(certificate("x", 720*time.Hour)), step: StepRenew, state: Renewing},
		"due, expired":      {o: seen(certificate("x", -lifetime)), step: StepRenew, state: Renewing},
		"due, before is 8d": {o: seen(older).with(func(o *Observation) { o.Before = 8 * day }), step: StepWait, state: Scheduled},
		"requested":         {o: seen(newest).with(request("x")), step: StepRenew, state: Renewing},
		"requested, again":  {o: seen(newest).with(request("y"), func(o *Observation) { o.Record.HandledRequest = "x" }), step: StepRenew, state: Renewing},

		// What comes first.
		"unreadable":            {o: Observation{}.with(unreadable), step: StepWait, state: "RegistrationInvalid", message: "no YAML: 100%"},
		"unreadable, excluded":  {o: seen(older).with(unreadable, excluded, suspended), step: StepWait, state: "RegistrationInvalid"},
		"excluded":              {o: seen(newest).with(excluded), step: StepWait, state: "Duplicate", message: "another one"},
		"suspended, excluded":   {o: seen(older).with(suspended, excluded), step: StepWait, state: Suspended},
		"excluded, first sight": {o: Observation{Certificate: older}.with(excluded), step: StepWait, state: "Duplicate"},
		"excluded, elsewhere":   {o: seen(older).with(excluded, func(o *Observation) { o.Cluster = "there" }), step: StepWait, state: "Duplicate"},
		"excluded, unpublished": {o: replaced(older, newest).with(excluded), step: StepWait, state: "Duplicate"},

		"suspended":              {o: seen(newest).with(suspended), step: StepWait, state: Suspended, message: "a renewal will be due at 2032-06-24T12:00:00Z"},
		"suspended, due":         {o: seen(older).with(suspended), step: StepWait, state: Suspended, message: "a renewal is due but spec.suspend is set"},
		"suspended, requested":   {o: seen(newest).with(suspended, request("x")), step: StepWait, state: Suspended, message: "a renewal is due but spec.suspend is set"},
		"suspended, elsewhere":   {o: seen(newest).with(suspended, func(o *Observation) { o.Cluster = "there" }), step: StepWait, state: Suspended},
		"suspended, first sight": {o: Observation{Certificate: older}.with(suspended), step: StepWait, state: Suspended},
		"suspended, newer":       {o: seen(older).with(suspended, standing(Newer, newest)), step: StepWait, state: Suspended, at: noon.Add(day)},
		"suspended, unpublished": {o: replaced(older, newest).with(suspended), step: StepWait, state: Suspended},
		"suspended, unrolled":    {o: replaced(older, newest).with(suspended, standing(Same, newest)), step: StepWait, state: Suspended},
		"suspended, rolling":     {o: rolling.with(suspended), step: StepWait, state: Suspended},
		"suspended, blocked":     {o: seen(older).with(suspended, blocked), step: StepWait, state: Suspended},

		"other cluster":             {o: seen(older).with(func(o *Observation) { o.Cluster = "there" }), step: StepConfirm, state: Scheduled},
		"first sight":               {o: Observation{Certificate: older, Cluster: "here"}, step: StepAdopt, state: Scheduled},
		"newer":                     {o: seen(older).with(standing(Newer, newest)), step: StepAdopt, state: RollingOut, message: "adopting certificate 5EC, which somebody else has renewed"},
		"newer, intent":             {o: seen(older).with(claimed(0), standing(Newer, newest)), step: StepAdopt, state: RollingOut},
		"newer than an unpublished": {o: replaced(older, newest).with(standing(Newer, certificate("D", 2*lifetime))), step: StepAdopt, state: RollingOut},
		"newer, blocked":            {o: seen(older).with(standing(Newer, newest), blocked), step: StepAdopt, state: RollingOut},
		"registered anew":           {o: seen(newest).with(standing(Reregistered, older)), step: StepAdopt, state: RollingOut, message: "of a new registration"},
		"rolled and taken back": {o: published(older, newest, deployment("a", newest, 1, true)).with(func(o *Observation) { o.Deployments[0].Annotation = "" }),
			step: StepRetry, state: RollingOut, deployment: "a"},
		"taken back a moment ago":       {o: rolledAt(noon).with(takenBack), step: StepWait, state: RollingOut, at: noon.Add(10 * time.Minute), message: "is tried anew at 2031-05-01T12:10:00Z"},
		"taken back, a minute too late": {o: rolledAt(noon.Add(-61 * time.Minute)).with(takenBack), step: StepWait, state: RestartRequired, message: "was taken back and is not repeated"},
		"taken back again and again":    {o: rolledAt(noon).with(takenBack, record(func(r Record) Record { r.Rollout.Retries = 2; return r })), step: StepWait, state: RestartRequired},
		"taken back after it failed":    {o: rolledAt(noon).with(takenBack, problem(0)), step: StepWait, state: RestartRequired, message: "was taken back and is not repeated"},
		"taken back, due":               {o: rolledAt(noon.Add(-time.Hour)).with(takenBack, due), step: StepRenew, state: Renewing},
		"taken back, all pods newer":    {o: rolledAt(noon).with(takenBack, func(o *Observation) { o.Deployments[0].OldPods = 0 }), step: StepComplete, state: RollingOut, deployment: "a"},
		"taken back, paused":            {o: rolledAt(noon.Add(-time.Hour)).with(takenBack, func(o *Observation) { o.Deployments[0].Paused = true }), step: StepWait, state: RolloutFailed},
		"restarted by somebody else":    {o: published(older, newest, deployment("a", newest, 0, true)).with(func(o *Observation) { o.Deployments[0].OldPods = 0 }), step: StepComplete, state: RollingOut, deployment: "a"},
		"rolled but not noted":          {o: published(older, newest, deployment("a", newest, 1, false)).with(func(o *Observation) { o.Record.Rollout.Rolled = nil }), step: StepRoll, state: RollingOut, deployment: "a"},
		"unpublished":                   {o: replaced(older, newest), step: StepPublish, state: Renewing, message: "writing certificate 5EC"},
		"unpublished, due":              {o: replaced(older, newest).with(request("x")), step: StepPublish, state: Renewing},
		"unpublished, blocked":          {o: replaced(older, newest).with(blocked), step: StepPublish, state: Renewing},
		"unpublished while rolling":     {o: rolling.with(standing(Older, newest), record(func(r Record) Record { return r.Succeeded(certificate("D", 2*lifetime), "", noon) })), step: StepPublish, state: Renewing},
		"reverted":                      {o: published(older, newest).with(standing(Older, older)), step: StepRestore, state: Restoring, message: "restoring certificate 5EC, in whose place somebody has put 5EB back"},
		"reverted, due":                 {o: published(older, newest).with(standing(Older, older), request("x")), step: StepRestore, state: Restoring},
		"reverted, blocked":             {o: published(older, newest).with(standing(Older, older), blocked), step: StepRestore, state: Restoring},
		"reverted, suspended":           {o: published(older, newest).with(standing(Older, older), func(o *Observation) { o.Suspended = true }), step: StepWait, state: Suspended},
		"reverted after the first":      {o: seen(newest).with(standing(Older, older)), step: StepRestore, state: Restoring},
		"reverted, the third time":      {o: published(older, newest).with(standing(Older, older), record(reverts(2, 0))), step: StepRestore, state: Restoring},
		"reverted, the fourth time":     {o: published(older, newest).with(standing(Older, older), record(reverts(3, time.Hour))), step: StepWait, state: Reverted, at: noon.Add(23 * time.Hour), message: "for the 4. time within a day, in the place of 5EC"},
		"reverted, about to expire":     {o: published(older, newest).with(standing(Older, certificate("A", 12*time.Hour)), record(reverts(4, 59*time.Minute)), record(func(r Record) Record { return r.Noted(certificate("A", 12*time.Hour), noon) })), step: StepWait, state: Reverted, at: noon.Add(time.Minute)},
		"reverted, once an hour":        {o: published(older, newest).with(standing(Older, certificate("A", 12*time.Hour)), record(reverts(4, time.Hour))), step: StepRestore, state: Restoring},
		"reverted, asked for once":      {o: published(older, newest).with(standing(Older, older), record(reverts(4, time.Hour)), request("x"), func(o *Observation) { o.Record.Revert.Request = "x" }), step: StepWait, state: Reverted},
		"reverted, asked for":           {o: published(older, newest).with(standing(Older, older), record(reverts(4, time.Hour)), request("x")), step: StepRestore, state: Restoring},
		"reverted, not noted":           {o: published(older, newest).with(standing(Older, older), record(func(r Record) Record { return reverts(3, time.Hour)(r).Restored() })), step: StepNote, state: Reverted},
		"reverted, but unwritable":      {o: published(older, newest).with(standing(Older, older), unwritable), step: StepWait, state: "SecretImmutable"},
		"unpublished, but unwritable":   {o: replaced(older, newest).with(unwritable), step: StepWait, state: "SecretImmutable"},
		"reverted, not written since":   {o: published(older, newest).with(standing(Older, older), record(reverts(3, 0)), func(o *Observation) { o.SecretChanged = noon.Add(-time.Second) }), step: StepRestore, state: Restoring},
		"reverted, once a day":          {o: published(older, newest).with(standing(Older, older), record(reverts(9, day))), step: StepRestore, state: Restoring},
		"restored, and pods had it":     {o: published(older, newest, deployment("a", newest, 0, true)).with(record(reverts(1, 0)), func(o *Observation) { o.Deployments[0].RevertedPods = 1 }), step: StepAdvance, state: RollingOut, message: "pods of Deployment a came up with certificate 5EB"},
		"restored, a moment ago":        {o: seen(newest).with(record(reverts(1, 0))), step: StepWait, state: Restoring, at: noon.Add(restoredMargin)},
		"restored, and no pod had it":   {o: seen(newest).with(record(reverts(1, restoredMargin))), step: StepRestored, state: Restoring},
		"restored, and renewed since":   {o: replaced(older, newest).with(record(reverts(1, 0))), step: StepPublish, state: Renewing},
		"published":                     {o: replaced(older, newest).with(standing(Same, newest)), step: StepAdvance, state: RollingOut},
		"adopted":                       {o: seen(older).with(standing(Same, newest), record(func(r Record) Record { return r.Adopted(newest) })), step: StepAdvance, state: RollingOut},
		"published while rolling":       {o: rolling.with(record(func(r Record) Record { return r.Adopted(certificate("D", 2*lifetime)) }), standing(Same, certificate("D", 2*lifetime))), step: StepAdvance, state: RollingOut},
		"published, due and blocked":    {o: replaced(older, newest).with(standing(Same, newest), due, blocked), step: StepAdvance, state: RollingOut},

		// Rolling, one Deployment after another.
		"roll the first":           {o: published(older, newest, deployment("a", newest, 0, true), deployment("b", newest, 0, true)), step: StepRoll, state: RollingOut, deployment: "a"},
		"roll the first, other's":  {o: published(older, newest, deployment("a", older, 1, true)), step: StepRoll, state: RollingOut, deployment: "a"},
		"wait for the first":       {o: rolling, step: StepWait, state: RollingOut, message: "Deployment a is being rolled to certificate 5EC"},
		"wait, with a timeout":     {o: rolling.with(timeout(90 * time.Minute)), step: StepWait, state: RollingOut, at: noon.Add(30 * time.Minute)},
		"roll the second":          {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 0, true)).with(record(rolledFirst)), step: StepRoll, state: RollingOut, deployment: "b"},
		"roll the third":           {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 1, true), deployment("c", newest, 0, false)).with(record(rolledSecond)), step: StepRoll, state: RollingOut, deployment: "c"},
		"wait for the last":        {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 1, false)).with(record(rolledFirst)), step: StepWait, state: RollingOut},
		"complete":                 {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 1, true)), step: StepComplete, state: RollingOut, deployment: "a"},
		"complete without any":     {o: published(older, newest), step: StepComplete, state: RollingOut},
		"complete, late":           {o: published(older, newest, deployment("a", newest, 1, true)).with(timeout(time.Minute), deploymentFailed), step: StepComplete, state: RollingOut, deployment: "a"},
		"complete the second":      {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 1, true)).with(record(rolledFirst)), step: StepComplete, state: RollingOut, deployment: "b"},
		"the first in need again":  {o: published(older, newest, deployment("a", newest, 1, false), deployment("b", newest, 0, true)).with(record(rolledFirst), deploymentFailed), step: StepRoll, state: RollingOut, deployment: "b"},
		"the first taken back":     {o: published(older, newest, deployment("a", newest, 1, true), deployment("b", newest, 0, true)).with(takenBack, problem(0)), step: StepWait, state: RestartRequired, message: "not rolled before that: b"},
		"a new one, old pods":      {o: published(older, newest, deployment("a", newest, 1, true)).with(record(rolledOut), func(o *Observation) { o.Deployments = append(o.Deployments, deployment("b", newest, 0, true)) }), step: StepRoll, state: RollingOut, deployment: "b"},
		"roll refused":             {o: published(older, newest, deployment("a", newest, 0, true)).with(due, func(o *Observation) { o.RollRefused = true }), step: StepRenew, state: Renewing},
		"paused":                   {o: rolling.with(timeout(5*time.Hour), func(o *Observation) { o.Deployments[0].Paused = true }), step: StepWait, state: RolloutFailed},
		"Never, while it rolls":    {o: rolling.with(func(o *Observation) { o.RolloutNever, o.Deployments[0].OldPods = true, 0 }), step: StepWait, state: RollingOut},
		"rolled":                   {o: published(older, newest, deployment("a", newest, 1, true)).with(record(rolledOut)), step: StepWait, state: Scheduled, at: noon.Add(day)},
		"rolled, annotation gone":  {o: published(older, newest, deployment("a", newest, 0, false)).with(record(rolledOut)), step: StepWait, state: Scheduled},
		"roll, a failure not ours": {o: published(older, newest, deployment("a", newest, 0, false)).with(deploymentFailed), step: StepRoll, state: RollingOut, deployment: "a"},
		"roll, due":                {o: published(older, newest, deployment("a", newest, 0, true)).with(due), step: StepRoll, state: RollingOut, deployment: "a"},
		"roll, blocked":            {o: published(older, newest, deployment("a", newest, 0, true)).with(blocked), step: StepRoll, state: RollingOut, deployment: "a"},
		"pending, due":             {o: rolling.with(due), step: StepRenew, state: Renewing},
		"pending, requested":       {o: rolling.with(request("x")), step: StepRenew, state: Renewing},
		"pending, due, blocked":    {o: rolling.with(due, blocked), step: StepWait, state: "CredentialsNotFound"},
		"fails, Deployment's":      {o: rolling.with(deploymentFailed), step: StepFail, state: RolloutFailed, deployment: "a"},
		"fails, timeout":           {o: rolling.with(timeout(time.Hour)), step: StepFail, state: RolloutFailed, deployment: "a"},
		"fails, due":               {o: rolling.with(deploymentFailed, due), step: StepFail, state: RolloutFailed, deployment: "a"},
		"failed": {o: rolling.with(deploymentFailed, problem(time.Minute)), step: StepWait, state: RolloutFailed,
			message: "Deployment a is not rolled out to certificate 5EC: it crashes. Pods with the certificate before it can serve until 2031-05-11T12:00:00Z. Look at its new pods; the rollout goes on when they stay up; not rolled before that: b"},
		"failed, to be tried anew":         {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(time.Minute)), step: StepWait, state: RolloutFailed, at: noon.Add(9 * time.Minute), message: "and is tried anew at 2031-05-01T12:09:00Z"},
		"failed, tried anew":               {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(10*time.Minute)), step: StepRetry, state: RollingOut, deployment: "a"},
		"failed again":                     {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(10*time.Minute), retried(1)), step: StepWait, state: RolloutFailed, at: noon.Add(20 * time.Minute)},
		"failed again, tried anew":         {o: rolledAt(noon.Add(-50*time.Minute)).with(incomplete, problem(30*time.Minute), retried(1)), step: StepRetry, state: RollingOut, deployment: "a"},
		"failed three times":               {o: rolledAt(noon.Add(-50*time.Minute)).with(incomplete, problem(30*time.Minute), retried(2)), step: StepWait, state: RolloutFailed},
		"failed, a retry too late":         {o: rolledAt(noon.Add(-51*time.Minute)).with(incomplete, problem(0)), step: StepWait, state: RolloutFailed},
		"failed, the hour is over":         {o: rolledAt(noon.Add(-61*time.Minute)).with(incomplete, problem(30*time.Minute)), step: StepWait, state: RolloutFailed},
		"failed, Never since":              {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(10*time.Minute), never(0)), step: StepWait, state: RolloutFailed},
		"tried anew, to be rolled":         {o: rolledAt(noon).with(incomplete, record(Record.Retried), never(0), func(o *Observation) { o.RolloutNever = false }), step: StepRoll, state: RollingOut, deployment: "a"},
		"up again, not yet for long":       {o: rolledAt(noon.Add(-20*time.Minute)).with(problem(10*time.Minute), up(time.Second)), step: StepWait, state: RolloutFailed, at: noon.Add(59 * time.Second)},
		"up again":                         {o: rolledAt(noon.Add(-20*time.Minute)).with(problem(10*time.Minute), up(time.Minute), unstable), step: StepComplete, state: RollingOut, deployment: "a"},
		"watched":                          {o: rolledAt(noon.Add(-2 * time.Minute)).with(up(time.Second)), step: StepWait, state: RollingOut, at: noon.Add(59 * time.Second), message: "when its new pods are up, they are watched for 1m0s"},
		"watched, a nanosecond less":       {o: rolledAt(noon.Add(-2 * time.Minute)).with(up(time.Minute - 1)), step: StepWait, state: RollingOut, at: noon.Add(1)},
		"watched for long enough":          {o: rolledAt(noon.Add(-2 * time.Minute)).with(up(time.Minute)), step: StepComplete, state: RollingOut, deployment: "a"},
		"watched, due":                     {o: rolledAt(noon.Add(-2*time.Minute)).with(up(time.Second), due), step: StepRenew, state: Renewing},
		"does not stay up":                 {o: rolledAt(noon.Add(-2*time.Minute)).with(up(time.Second), unstable), step: StepFail, state: RolloutFailed, deployment: "a"},
		"does not stay up, all gone":       {o: rolledAt(noon.Add(-2*time.Minute)).with(incomplete, unstable), step: StepFail, state: RolloutFailed, deployment: "a"},
		"does not stay up, paused":         {o: rolledAt(noon.Add(-2*time.Minute)).with(incomplete, unstable, func(o *Observation) { o.Deployments[0].Paused = true }), step: StepWait, state: RolloutFailed},
		"failed, undone, no old pods":      {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(10*time.Minute), takenBack, noOldPods), step: StepWait, state: RolloutFailed},
		"failed, undone, up for a moment":  {o: rolledAt(noon.Add(-20*time.Minute)).with(problem(10*time.Minute), takenBack, noOldPods, up(time.Second)), step: StepWait, state: RolloutFailed, at: noon.Add(59 * time.Second)},
		"failed, mended by hand":           {o: rolledAt(noon.Add(-20*time.Minute)).with(problem(10*time.Minute), takenBack, noOldPods, up(time.Minute)), step: StepComplete, state: RollingOut, deployment: "a"},
		"failed, being mended":             {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, mended, problem(10*time.Minute)), step: StepWait, state: RolloutFailed},
		"failed, up, an added pod is not":  {o: rolledAt(noon.Add(-20*time.Minute)).with(func(o *Observation) { o.Deployments[0].Complete, o.Deployments[0].WasComplete = false, true }, problem(10*time.Minute)), step: StepWait, state: RolloutFailed},
		"late, but it was complete":        {o: rolledAt(noon.Add(-2*time.Hour)).with(func(o *Observation) { o.Deployments[0].Complete = false }, wasComplete, timeout(time.Hour)), step: StepWait, state: RollingOut},
		"complete, a pod is down":          {o: rolledAt(noon.Add(-2 * time.Minute)).with(func(o *Observation) { o.Deployments[0].Down = true }), step: StepWait, state: RollingOut, at: noon.Add(time.Minute), message: "Deployment a is being rolled"},
		"undone to an earlier rollout":     {o: rolledAt(noon).with(func(o *Observation) { o.Deployments[0].Annotation = "earlier-1" }), step: StepWait, state: RestartRequired},
		"tried anew, Never since":          {o: rolledAt(noon).with(record(Record.Retried), never(0)), step: StepComplete, state: RollingOut, deployment: "a"},
		"a later one failed and recovered": {o: rolledAt(noon.Add(-2*time.Minute)).with(record(func(r Record) Record { r.Rollout.Completed = noon.Add(-time.Hour); return r }), up(time.Hour)), step: StepComplete, state: RollingOut, deployment: "a"},
		"timeout, not Deployment's":        {o: rolling.with(timeout(2*time.Hour), deploymentFailed), step: StepWait, state: RollingOut, at: noon.Add(time.Hour)},
		"failed, due":                      {o: rolling.with(deploymentFailed, problem(0), due), step: StepRenew, state: Renewing},
		"failed, blocked":                  {o: rolling.with(deploymentFailed, problem(0), blocked), step: StepWait, state: "CredentialsNotFound"},

		// Where a certificate is to stay.
		"pinned":                        {o: published(older, newest).with(record(rolledOut), pin(older)), step: StepPin, state: RollingOut, message: "certificate 5EB is to stay"},
		"pinned, in lower case":         {o: published(older, newest).with(record(rolledOut), func(o *Observation) { o.Pin = "5eb" }), step: StepPin, state: RollingOut},
		"pinned to the newest":          {o: published(older, newest).with(record(rolledOut), pin(newest)), step: StepPin, state: RollingOut},
		"pinned to what is not known":   {o: published(older, newest).with(record(rolledOut), pin(oldest)), step: StepWait, state: PinUnknown, message: "spec.pin names certificate 5EA, but only 5EC and 5EB can be gone back to"},
		"pinned, one is known":          {o: seen(newest).with(pin(oldest)), step: StepWait, state: PinUnknown, message: "but only 5EC can be"},
		"pinned, publish":               {o: published(older, newest).with(record(rolledOut), pinnedTo(older), standing(Older, newest)), step: StepPublish, state: Renewing, message: "writing certificate 5EB"},
		"pinned, advance":               {o: published(older, newest).with(record(rolledOut), pinnedTo(older), standing(Same, older)), step: StepAdvance, state: RollingOut},
		"pinned, due":                   {o: pinnedAt(older), step: StepWait, state: Pinned, message: "a renewal is due, but spec.pin keeps certificate 5EB"},
		"pinned, requested":             {o: pinnedAt(older).with(request("x")), step: StepWait, state: Pinned},
		"pinned, not due":               {o: pinnedAt(older).with(func(o *Observation) { o.Before = day }), step: StepWait, state: Pinned, message: "the gateway stays with certificate 5EB"},
		"pinned, put back, unnoted":     {o: pinnedAt(older).with(standing(Older, newest)), step: StepNote, state: Reverted},
		"pinned, previous is another's": {o: published(older, newest).with(record(rolledOut), pin(older), func(o *Observation) { o.PreviousForeign = true }), step: StepWait, state: PinUnknown, message: "but only 5EC can be"},
		"pinned, unknown, rolls on":     {o: published(older, newest, deployment("a", newest, 0, true)).with(pin(oldest)), step: StepRoll, state: RollingOut, deployment: "a"},
		"pinned, put back":              {o: pinnedAt(older).with(standing(Older, newest), record(func(r Record) Record { return r.Noted(newest, noon) })), step: StepWait, state: Pinned, message: "holds certificate 5EC (expires 2032-07-24T12:00:00Z) instead of 5EB"},
		"pinned, a newer one":           {o: pinnedAt(older).with(standing(Newer, certificate("D", 2*lifetime))), step: StepWait, state: Pinned},
		"pinned, not yet, a newer one":  {o: published(older, newest).with(record(rolledOut), pinnedTo(older), standing(Newer, certificate("D", 2*lifetime))), step: StepWait, state: Pinned},
		"pinned, another registration":  {o: pinnedAt(older).with(standing(Reregistered, certificate("D", 2*lifetime))), step: StepWait, state: Pinned},
		"pinned, reverted, now unknown": {o: pinnedAt(older).with(pin(oldest), standing(Older, newest)), step: StepRestore, state: Restoring, message: "restoring certificate 5EB, in whose place somebody has put 5EC back"},
		"unpinned":                      {o: pinnedAt(older).with(pin(Certificate{})), step: StepPin, state: RollingOut, message: "going on with certificate 5EC"},
		"unpinned, publish":             {o: pinnedAt(older).with(record(func(r Record) Record { return r.Pinned("") }), pin(Certificate{}), standing(Older, older)), step: StepPublish, state: Renewing, message: "writing certificate 5EC"},
		"pinned, suspended":             {o: published(older, newest).with(record(rolledOut), pin(older), suspended), step: StepWait, state: Suspended},
		"pinned, rolls though due":      {o: pinnedAt(older).with(func(o *Observation) { o.Deployments = []Deployment{deployment("b", newest, 1, true)} }), step: StepRoll, state: RollingOut, deployment: "b"},

		// Where the rollouts of other gateways fail.
		"fleet paused":                  {o: seen(older).with(fleet(2, time.Hour)), step: StepWait, state: FleetPaused, at: noon.Add(23 * time.Hour), message: "the last 2 rollouts of gateways have failed, one after another (in this namespace: ingress)"},
		"fleet, one failed":             {o: seen(older).with(fleet(1, time.Hour)), step: StepRenew, state: Renewing},
		"fleet, not counted":            {o: seen(older).with(fleet(9, time.Hour), func(o *Observation) { o.Fleet.Most = 0 }), step: StepRenew, state: Renewing},
		"fleet, a day later":            {o: seen(older).with(fleet(2, day)), step: StepRenew, state: Renewing},
		"fleet, requested":              {o: seen(older).with(fleet(2, 0), request("x")), step: StepRenew, state: Renewing},
		"fleet, urgent":                 {o: seen(certificate("x", 72*time.Hour)).with(fleet(2, 0)), step: StepRenew, state: Renewing},
		"fleet, urgent soon":            {o: seen(certificate("x", 73*time.Hour)).with(fleet(2, 0)), step: StepWait, state: FleetPaused, at: noon.Add(time.Hour)},
		"fleet, the last window":        {o: seen(certificate("x", 6*day)).with(fleet(2, time.Hour), weekly, wait72), step: StepRenew, state: Renewing},
		"fleet, windows before it ends": {o: seen(certificate("x", 20*day)).with(fleet(2, time.Hour), weekly, wait72), step: StepWait, state: FleetPaused},
		"fleet, own rollout failed":     {o: rolling.with(fleet(2, time.Hour), deploymentFailed, problem(0), dueLater), step: StepWait, state: RolloutFailed},
		"fleet, nothing due":            {o: seen(newest).with(fleet(2, 0)), step: StepWait, state: Scheduled},

		// Who renews, and who writes the Secret.
		"observing":                     {o: seen(newest).with(observe), step: StepWait, state: Observing},
		"observing, first sight":        {o: Observation{Certificate: older, Cluster: "here"}.with(observe), step: StepWait, state: Observing, message: "a renewal is due, but"},
		"observing, everything to do":   {o: replaced(older, newest).with(observe, leftovers, inJob(time.Minute)), step: StepWait, state: Observing},
		"observing, unreadable":         {o: Observation{}.with(observe, unreadable), step: StepWait, state: "RegistrationInvalid"},
		"Follow, due":                   {o: seen(older).with(follow), step: StepWait, state: Following, message: "certificate 5EB expires at"},
		"Follow, due, until urgent":     {o: seen(certificate("x", 72*time.Hour+time.Minute)).with(follow), step: StepWait, state: Following, at: noon.Add(time.Minute)},
		"Follow, not due":               {o: seen(newest).with(follow), step: StepWait, state: Scheduled},
		"Follow, requested":             {o: seen(newest).with(follow, request("x")), step: StepWait, state: Following},
		"Follow, expired":               {o: seen(certificate("x", -day)).with(follow), step: StepWait, state: Following},
		"Follow, one arrives":           {o: seen(older).with(follow, standing(Newer, newest)), step: StepAdopt, state: RollingOut},
		"Follow, rolls":                 {o: published(older, newest, deployment("a", newest, 0, true)).with(follow), step: StepRoll, state: RollingOut, deployment: "a"},
		"Follow, rollout failed, due":   {o: rolling.with(follow, due, deploymentFailed, problem(0)), step: StepWait, state: RolloutFailed},
		"Follow, failed, due, retried":  {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(time.Minute), due, follow), step: StepWait, state: RolloutFailed, at: noon.Add(9 * time.Minute)},
		"Manual, failed, due, retried":  {o: rolledAt(noon.Add(-20*time.Minute)).with(incomplete, problem(time.Minute), due, manual()), step: StepWait, state: RolloutFailed, at: noon.Add(9 * time.Minute)},
		"Follow, reverted":              {o: published(older, newest).with(follow, standing(Older, older)), step: StepNote, state: Reverted},
		"Follow, reverted, noted":       {o: published(older, newest).with(follow, standing(Older, older), record(func(r Record) Record { return r.Noted(older, noon) })), step: StepWait, state: Reverted, message: "it is not restored, since spec.renewal.policy is Follow"},
		"Follow, unpublished":           {o: replaced(older, newest).with(follow), step: StepWait, state: Following, message: "set another policy until it is published"},
		"Manual, due":                   {o: seen(older).with(manual()), step: StepWait, state: AwaitingApproval, message: "set spec.renewal.approve, or the annotation gateway.flexops.dev/approve, to 5EB"},
		"Manual, approved":              {o: seen(older).with(manual("5eb")), step: StepRenew, state: Renewing},
		"Manual, another approved":      {o: seen(older).with(manual("5EA")), step: StepWait, state: AwaitingApproval, message: "what was approved is another certificate: 5EA"},
		"Manual, urgent":                {o: seen(certificate("x", time.Hour)).with(manual()), step: StepWait, state: AwaitingApproval},
		"Manual, requested":             {o: seen(newest).with(manual(), request("x")), step: StepWait, state: AwaitingApproval},
		"Manual, blocked":               {o: seen(older).with(manual(), blocked), step: StepWait, state: "CredentialsNotFound"},
		"Manual, rolls though due":      {o: rolling.with(manual(), due), step: StepWait, state: RollingOut},
		"Manual, says what it restarts": {o: seen(older).with(manual(), func(o *Observation) { o.Deployments = []Deployment{{Name: "a"}, {Name: "b"}} }), step: StepWait, state: AwaitingApproval, message: "the pods of Deployment a, then of b are replaced"},
		"External, publish":             {o: replaced(older, newest).with(external(false)), step: StepPublish, state: Renewing, message: "to the Secret of spec.publish.secretRef"},
		"External, published":           {o: replaced(older, newest).with(external(true)), step: StepWait, state: AwaitingSync, message: "certificate 5EC (expires 2032-07-24T12:00:00Z) is published"},
		"External, refused":             {o: replaced(older, newest).with(external(false), unwritable), step: StepWait, state: "SecretImmutable"},
		"External, arrived":             {o: replaced(older, newest).with(external(true), standing(Same, newest)), step: StepAdvance, state: RollingOut},
		"External, reverted":            {o: published(older, newest).with(external(true), standing(Older, older)), step: StepNote, state: Reverted},
		"External, reverted, noted":     {o: published(older, newest).with(external(false), standing(Older, older), record(func(r Record) Record { return r.Noted(older, noon) })), step: StepPublish, state: Renewing},
		"External, stale":               {o: seen(newest).with(external(false), func(o *Observation) { o.Publication = older.Fingerprint }), step: StepPublish, state: Renewing},
		"External, stale, refused":      {o: seen(newest).with(external(false), unwritable, func(o *Observation) { o.Publication = older.Fingerprint }), step: StepWait, state: Scheduled},
		"External, pinned":              {o: pinnedAt(older).with(external(false), func(o *Observation) { o.Publication = newest.Fingerprint }), step: StepPublish, state: Renewing, message: "publishing certificate 5EB"},
		"Follow, pinned":                {o: published(older, newest).with(record(rolledOut), follow, pin(older)), step: StepWait, state: Scheduled},
		"Follow, in a clone":            {o: seen(newest).with(follow, func(o *Observation) { o.Cluster = "there" }), step: StepWait, state: Scheduled},
		"observing, excluded":           {o: seen(older).with(observe, excluded, blocked), step: StepWait, state: "Duplicate"},
		"observing, blocked":            {o: seen(older).with(observe, blocked), step: StepWait, state: "CredentialsNotFound"},
		"restored by somebody else":     {o: seen(newest).with(record(func(r Record) Record { return r.Noted(older, noon.Add(-time.Hour)) }), func(o *Observation) { o.SecretChanged = noon }), step: StepWait, state: Restoring, at: noon.Add(restoredMargin)},
		"External, due":                 {o: seen(older).with(external(false)), step: StepRenew, state: Renewing},
		"External, newer":               {o: seen(older).with(external(false), standing(Newer, newest)), step: StepAdopt, state: RollingOut},

		// Where a person restarts the pods.
		"restart":                 {o: published(older, newest, deployment("a", newest, 0, true)).with(never(2)), step: StepWait, state: RestartRequired, message: "2 pods may still run with a certificate that expires at 2031-05-11T12:00:00Z"},
		"restart, being done":     {o: published(older, newest, deployment("a", newest, 0, false)).with(never(1)), step: StepWait, state: RestartRequired},
		"restarted":               {o: published(older, newest, deployment("a", newest, 0, true)).with(never(0)), step: StepComplete, state: RollingOut, deployment: "a"},
		"restart, due":            {o: published(older, newest, deployment("a", newest, 0, true)).with(never(2), due), step: StepRenew, state: Renewing},
		"restart, advances first": {o: replaced(older, newest).with(standing(Same, newest), func(o *Observation) { o.RolloutNever = true }), step: StepAdvance, state: RollingOut},

		// An attempt without an outcome.
		"interrupted":                  {o: seen(older).with(claimed(time.Minute)), step: StepWait, state: Interrupted, at: noon.Add(Hold - time.Minute), message: "attempt 1 to renew certificate 5EB was started at 2031-05-01T11:59:00Z by someone"},
		"interrupted, last moment":     {o: seen(older).with(claimed(Hold - 1)), step: StepWait, state: Interrupted, at: noon.Add(1)},
		"interrupted, held no longer":  {o: seen(older).with(claimed(Hold)), step: StepRenew, state: Renewing},
		"interrupted, of another":      {o: seen(older).with(record(func(r Record) Record { return r.Claimed(oldest, "", intent(noon, "someone")) })), step: StepRenew, state: Renewing},
		"interrupted, not due":         {o: seen(newest).with(record(func(r Record) Record { return r.Claimed(newest, "", intent(noon, "someone")) })), step: StepWait, state: Scheduled},
		"interrupted, requested":       {o: seen(older).with(claimed(time.Minute), request("x")), step: StepWait, state: Interrupted},
		"interrupted, backoff":         {o: seen(older).with(failed(credentialsRejected("1"), time.Hour), claimed(time.Minute)), step: StepWait, state: Interrupted},
		"interrupted, blocked":         {o: seen(older).with(claimed(time.Minute), blocked), step: StepWait, state: Interrupted},
		"interrupted, clock put back":  {o: seen(older).with(claimed(-time.Hour)), step: StepWait, state: Interrupted, at: noon.Add(time.Hour + Hold)},
		"interrupted, clock years off": {o: seen(older).with(claimed(-1000 * day)), step: StepRenew, state: Renewing},

		// A renewal that goes on in a Job.
		"resumed":                    {o: seen(older).with(inJob(time.Minute)), step: StepRenew, state: Renewing, message: "Job ingress-renew-1"},
		"resumed, late":              {o: seen(older).with(inJob(day)), step: StepRenew, state: Renewing},
		"resumed, suspended":         {o: seen(older).with(inJob(time.Minute), func(o *Observation) { o.Suspended = true }), step: StepRenew, state: Renewing},
		"resumed, duplicate":         {o: seen(older).with(inJob(time.Minute), func(o *Observation) { o.Excluded = &Finding{State: "Duplicate"} }), step: StepRenew, state: Renewing},
		"resumed, not due":           {o: seen(newest).with(inJob(time.Minute)), step: StepRenew, state: Renewing},
		"resumed, replaced by hand":  {o: seen(older).with(inJob(time.Minute), standing(Newer, newest)), step: StepRenew, state: Renewing},
		"resumed, with leftovers":    {o: seen(older).with(inJob(time.Minute), leftovers), step: StepRenew, state: Renewing},
		"not resumed by Exec":        {o: seen(older).with(inJob(time.Minute), unable), step: StepWait, state: Interrupted, at: noon.Add(19 * time.Minute)},
		"not resumed by Exec, ended": {o: seen(older).with(inJob(20*time.Minute), unable), step: StepRenew, state: Renewing},
		"Exec's is not resumed":      {o: seen(older).with(claimed(time.Minute)), step: StepWait, state: Interrupted, at: noon.Add(Hold - time.Minute)},
		"tidied":                     {o: seen(newest).with(leftovers), step: StepTidy, state: Scheduled},
		"tidied, suspended":          {o: seen(newest).with(leftovers, func(o *Observation) { o.Suspended = true }), step: StepTidy, state: Scheduled},
		"tidied, unreadable":         {o: seen(newest).with(leftovers, unreadable), step: StepWait, state: "RegistrationInvalid"},
		"image, same":                {o: seen(older).with(failed(outdated, time.Minute), image("flex:1")), step: StepWait, state: "FlexctlTooOld", at: noon.Add(14 * time.Minute), message: "or as soon as flexctl's image changes"},
		"image, changed":             {o: seen(older).with(failed(outdated, time.Minute), image("flex:2")), step: StepRenew, state: Renewing},

		"blocked":                {o: seen(newest).with(blocked), step: StepWait, state: "CredentialsNotFound", message: "no credentials"},
		"blocked, due":           {o: seen(older).with(blocked), step: StepWait, state: "CredentialsNotFound"},
		"blocked, requested":     {o: seen(older).with(blocked, request("x")), step: StepWait, state: "CredentialsNotFound"},
		"blocked, refused":       {o: seen(older).with(blocked, refused(time.Hour)), step: StepWait, state: "CredentialsNotFound"},
		"refused":                {o: seen(older).with(refused(time.Hour)), step: StepWait, state: "CredentialsRejected", at: noon.Add(time.Hour), message: "refused next door; they are tried again when the credentials Secret changes, or at 2031-05-01T13:00:00Z"},
		"refused, over":          {o: seen(older).with(refused(0)), step: StepRenew, state: Renewing},
		"refused, requested":     {o: seen(older).with(refused(time.Hour), request("x")), step: StepRenew, state: Renewing},
		"refused, clock is back": {o: seen(older).with(refused(1000 * day)), step: StepRenew, state: Renewing},

		// Backing off.
		"backoff":                     {o: seen(older).with(failed(unavailable, 30*time.Second)), step: StepWait, state: "PlatformUnavailable", at: noon.Add(30 * time.Second), message: "attempt 1 to renew certificate 5EB failed at 2031-05-01T11:59:30Z: down; the next is at 2031-05-01T12:00:30Z"},
		"backoff, over":               {o: seen(older).with(failed(unavailable, time.Minute)), step: StepRenew, state: Renewing},
		"backoff, credentials change": {o: seen(older).with(failed(unavailable, 0), func(o *Observation) { o.Credentials = "2" }), step: StepWait, state: "PlatformUnavailable", at: noon.Add(time.Minute)},
		"backoff, requested":          {o: seen(older).with(failed(unavailable, 0), request("x")), step: StepRenew, state: Renewing},
		"backoff, same request": {o: seen(older).with(request("x"), record(func(r Record) Record {
			return r.Claimed(older, "x", intent(noon, "me")).Failed(unavailable, older, noon)
		})), step: StepWait, state: "PlatformUnavailable", at: noon.Add(time.Minute)},
		"backoff, clock put back":      {o: seen(older).with(failed(unavailable, -20*time.Hour)), step: StepWait, state: "PlatformUnavailable", at: noon.Add(20*time.Hour + time.Minute)},
		"backoff, clock years off":     {o: seen(older).with(failed(unavailable, -1000*day)), step: StepRenew, state: Renewing},
		"refused once":                 {o: seen(older).with(failed(credentialsRejected("1"), time.Hour)), step: StepWait, state: "CredentialsRejected", at: noon.Add(23 * time.Hour), message: "as soon as the credentials Secret changes"},
		"refused once, changed":        {o: seen(older).with(failed(credentialsRejected("0"), time.Hour)), step: StepRenew, state: Renewing},
		"refused once, a day ago":      {o: seen(older).with(failed(credentialsRejected("1"), day)), step: StepRenew, state: Renewing},
		"refused, skewed by a second":  {o: seen(older).with(failed(credentialsRejected("1"), -time.Second)), step: StepWait, state: "CredentialsRejected", at: noon.Add(day)},
		"refused once, requested":      {o: seen(older).with(failed(credentialsRejected("1"), time.Hour), request("x")), step: StepRenew, state: Renewing},
		"refused, then interrupted":    {o: seen(older).with(failed(credentialsRejected("1"), time.Hour), claimed(time.Hour)), step: StepWait, state: "CredentialsRejected", at: noon.Add(23 * time.Hour)},
		"unresolved, two":              {o: seen(older).with(failed(lost, 3*time.Hour), failed(lost, 2*time.Hour)), step: StepRenew, state: Renewing},
		"unresolved, three":            {o: seen(older).with(failed(lost, 3*time.Hour), failed(lost, 3*time.Hour), failed(lost, 2*time.Hour)), step: StepWait, state: UnresolvedAttempts, at: noon.Add(22 * time.Hour), message: "3 attempts to renew certificate 5EB ended without an answer from Anypoint, the last at 2031-05-01T10:00:00Z (broken)"},
		"unresolved, a day ago":        {o: seen(older).with(failed(lost, 2*day), failed(lost, 2*day), failed(lost, day)), step: StepRenew, state: Renewing},
		"unresolved, four":             {o: seen(older).with(failed(lost, 2*day), failed(lost, 2*day), failed(lost, 2*day), failed(lost, day-1)), step: StepWait, state: UnresolvedAttempts, at: noon.Add(1)},
		"unresolved, with the open":    {o: seen(older).with(failed(lost, 3*time.Hour), failed(lost, 3*time.Hour), claimed(time.Hour)), step: StepWait, state: UnresolvedAttempts, at: noon.Add(23 * time.Hour)},
		"unresolved, only interrupted": {o: seen(older).with(claimed(3*time.Hour), claimed(2*time.Hour), claimed(time.Hour)), step: StepWait, state: UnresolvedAttempts, at: noon.Add(23 * time.Hour), message: "the operator stopped"},
		"unresolved, requested":        {o: seen(older).with(failed(lost, time.Hour), failed(lost, time.Hour), failed(lost, 0), request("x")), step: StepRenew, state: Renewing},
		"unresolved, not due": {o: seen(newest).with(record(func(r Record) Record {
			return r.Failed(lost, newest, noon).Failed(lost, newest, noon).Failed(lost, newest, noon)
		})), step: StepWait, state: Scheduled},
		"unresolved, of another": {o: seen(older).with(record(func(r Record) Record {
			return r.Failed(lost, oldest, noon).Failed(lost, oldest, noon).Failed(lost, oldest, noon)
		})), step: StepRenew, state: Renewing},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			d := Plan(c.o, noon)
			g.Expect(d.Step).To(Equal(c.step), d.Message)
			g.Expect(d.State).To(Equal(c.state), d.Message)
			g.Expect(d.Deployment).To(Equal(c.deployment))
			g.Expect(d.Message).To(ContainSubstring(c.message))
			switch {
			case c.step != StepWait:
				g.Expect(d.At).To(BeZero())
			case c.at.IsZero():
				g.Expect(d.At).To(BeTemporally("<=", noon.Add(day)))
				g.Expect(d.At).To(BeTemporally(">", noon))
			default:
				g.Expect(d.At).To(Equal(c.at))
			}
			if c.o.Unreadable == nil {
				g.Expect(d.RenewalTime).NotTo(BeZero())
				g.Expect(d.Before).NotTo(BeZero())
			}
		})
	}
	NewWithT(t).Expect(Plan(seen(newest), noon).RenewalTime).To(Equal(renewalTime))
}

// Waiting wakes up when an expiry shows, not only when a step is due.
func TestWaitWakesWhenAConditionChanges(t *testing.T) {
	g := NewWithT(t)
	suspended := seen(certificate("x", time.Hour))
	suspended.Suspended = true
	g.Expect(Plan(suspended, noon).At).To(Equal(noon.Add(time.Hour)), "it expires")

	pending := published(certificate("x", time.Hour), newest, deployment("a", newest, 1, false))
	g.Expect(Plan(pending, noon).At).To(Equal(noon.Add(time.Hour)), "what pods hold expires")
	g.Expect(Plan(pending, noon.Add(time.Hour)).At).To(Equal(noon.Add(25 * time.Hour)))
}

func TestServingUntil(t *testing.T) {
	third := certificate("D", 2*lifetime)
	standing := func(s Standing, c Certificate) func(*Observation) {
		return func(o *Observation) { o.Standing, o.Certificate = s, c }
	}
	record := func(change func(Record) Record) func(*Observation) {
		return func(o *Observation) { o.Record = change(o.Record) }
	}
	suspended := func(o *Observation) { o.Suspended = true }
	for name, c := range map[string]struct {
		o    Observation
		want Certificate
	}{
		"nothing recorded":                 {Observation{Certificate: newest}, newest},
		"seen":                             {seen(newest), newest},
		"not published yet":                {replaced(older, newest), older},
		"published":                        {replaced(older, newest).with(standing(Same, newest)), older},
		"rolling":                          {published(older, newest), older},
		"rolled":                           {published(older, newest).with(record(rolledOut)), newest},
		"adopted":                          {seen(older).with(record(func(r Record) Record { return r.Adopted(newest) }), standing(Same, newest)), older},
		"newer, not adopted as suspended":  {seen(older).with(standing(Newer, newest), suspended), older},
		"registered anew, not adopted":     {seen(older).with(standing(Reregistered, newest), suspended), older},
		"registered anew, expires earlier": {seen(newest).with(standing(Reregistered, older), suspended), older},
		"reverted":                         {published(older, newest).with(record(rolledOut), standing(Older, older)), older},
		"reverted while rolling":           {published(older, newest).with(standing(Older, older)), older},
		"reverted to a later one":          {seen(older).with(standing(Older, newest)), older},
		"not published, the last unrolled": {published(oldest, older).with(record(func(r Record) Record { return r.Succeeded(newest, "", noon) }), standing(Older, older)), oldest},
		"published, the last unrolled":     {published(oldest, older).with(record(func(r Record) Record { return r.Succeeded(newest, "", noon) }), standing(Same, newest)), oldest},
		"rolling, the last unrolled":       {published(oldest, older).with(record(func(r Record) Record { return r.Succeeded(newest, "", noon).Published(noon, noon, false) }), standing(Same, newest)), oldest},
		"reverted, the last unrolled":      {published(oldest, older).with(record(func(r Record) Record { return r.Succeeded(newest, "", noon).Published(noon, noon, false) }), standing(Older, older)), oldest},
		"adopted over an unpublished":      {replaced(oldest, older).with(record(func(r Record) Record { return r.Adopted(newest) }), standing(Same, newest)), oldest},
		"adopted over one, rolling":        {replaced(oldest, older).with(record(func(r Record) Record { return r.Adopted(newest).Published(noon, noon, false) }), standing(Same, newest)), oldest},
		"adopted over one, rolled": {replaced(oldest, older).with(record(func(r Record) Record {
			return r.Adopted(newest).Published(noon, noon, false).RolledOut("uid-a", true, noon)
		}), standing(Same, newest)), newest},
		"a record without its previous":     {published(older, newest).with(func(o *Observation) { o.Record.Previous, o.Record.Rollout.Held = Certificate{}, Certificate{} }), newest},
		"unrolled without its previous":     {replaced(older, newest).with(standing(Same, newest), func(o *Observation) { o.Record.Previous = Certificate{} }), newest},
		"adopted, the earlier one expiring": {seen(newest).with(record(func(r Record) Record { return r.Adopted(older) }), standing(Same, older)), older},
		"rolling to one expiring earlier":   {seen(third).with(record(func(r Record) Record { return r.Adopted(older).Published(noon, noon, false) }), standing(Same, older)), older},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(c.o.ServingUntil()).To(Equal(c.want.NotAfter))
		})
	}
}

func TestRolloutState(t *testing.T) {
	never := func(o *Observation) { o.RolloutNever, o.Deployments[0].OldPods = true, 1 }
	failed := func(o *Observation) { o.Deployments[0].Failed = true }
	due := func(o *Observation) { o.RenewRequest = "x" }
	problem := func(o *Observation) { o.Record = o.Record.RolloutFailed("it crashes", noon) }
	for name, c := range map[string]struct {
		o    Observation
		want State // "" where it is complete
	}{
		"none":                     {seen(newest), ""},
		"complete":                 {published(older, newest).with(func(o *Observation) { o.Record = o.Record.RolledOut("uid-a", true, noon) }), ""},
		"published":                {replaced(older, newest), RollingOut},
		"rolling":                  {published(older, newest, deployment("a", newest, 1, false)), RollingOut},
		"rolling, due":             {published(older, newest, deployment("a", newest, 1, false)).with(due), RollingOut},
		"failed":                   {published(older, newest, deployment("a", newest, 1, false)).with(failed), RolloutFailed},
		"failed, due":              {published(older, newest, deployment("a", newest, 1, false)).with(failed, due), RolloutFailed},
		"failed, recorded, due":    {published(older, newest, deployment("a", newest, 1, false)).with(problem, due), RolloutFailed},
		"to begin, failed before":  {published(older, newest, deployment("a", newest, 0, false)).with(failed), RollingOut},
		"restart":                  {published(older, newest, deployment("a", newest, 0, true)).with(never), RestartRequired},
		"restart, failed for them": {published(older, newest, deployment("a", newest, 0, true)).with(never, failed), RestartRequired},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			finding := RolloutState(c.o, noon)
			if c.want == "" {
				g.Expect(finding).To(BeNil())
				return
			}
			g.Expect(finding).NotTo(BeNil())
			g.Expect(finding.State).To(Equal(c.want))
			g.Expect(finding.Message).NotTo(BeEmpty())
		})
	}
}

func TestPodsDecide(t *testing.T) {
	rolled := func(change func(*Observation)) Observation {
		o := published(older, newest, deployment("a", newest, 1, true)).with(change)
		o.Settle, o.Record.Rollout.Rolled = time.Minute, []Rolled{{UID: "uid-a", At: noon.Add(-time.Hour)}}
		return o
	}
	first := func(change func(*Deployment)) func(*Observation) {
		return func(o *Observation) { change(&o.Deployments[0]) }
	}
	for name, c := range map[string]struct {
		o    Observation
		want bool
	}{
		"not rolled yet":         {rolled(first(func(d *Deployment) { d.Annotation = "" })), true},
		"gets on":                {rolled(first(func(d *Deployment) { d.Complete = false })), false},
		"has not got on":         {rolled(first(func(d *Deployment) { d.Complete, d.Failed = false, true })), true},
		"takes too long":         {rolled(func(o *Observation) { o.Deployments[0].Complete, o.RolloutTimeout = false, time.Hour }), true},
		"does not take too long": {rolled(func(o *Observation) { o.Deployments[0].Complete, o.RolloutTimeout = false, time.Hour+1 }), false},
		"up, not for long":       {rolled(first(func(d *Deployment) { d.WasComplete, d.UpSince = true, noon.Add(1-time.Minute) })), false},
		"up for long enough":     {rolled(first(func(d *Deployment) { d.WasComplete, d.UpSince = true, noon.Add(-time.Minute) })), true},
		"up, nobody knows since": {rolled(first(func(*Deployment) {})), true},
		"was up":                 {rolled(first(func(d *Deployment) { d.Complete, d.WasComplete, d.UpSince = false, true, noon })), true},
		"failed before, gets on": {rolled(func(o *Observation) {
			o.Deployments[0].Complete = false
			o.Record = o.Record.RolloutFailed("it crashes", noon)
		}), true},
		"failed before, up again": {rolled(func(o *Observation) {
			o.Deployments[0].UpSince = noon
			o.Record = o.Record.RolloutFailed("it crashes", noon)
		}), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PodsDecide(c.o, c.o.Deployments[0], noon); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
