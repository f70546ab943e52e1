package renewal

import (
	"fmt"
	"slices"
	"time"
)

// Record is what must survive the operator: it is kept in a Secret beside the registrations themselves. Its
// methods return changed copies; nothing is done until the copy is stored.
type Record struct {
	// Newest and Previous are read from the recorded registrations.
	Newest   Certificate `json:"-"`
	Previous Certificate `json:"-"`

	// Cluster is the identity of the cluster in which the record is used.
	Cluster string `json:"cluster"`
	// UnusedSince is when the record was first seen without a FlexRegistration; zero where there is one.
	UnusedSince time.Time `json:"unusedSince,omitzero"`
	// Intent is a renewal that was started and whose outcome is not recorded.
	Intent *Intent `json:"intent,omitempty"`
	// Attempts are those since the last success.
	Attempts Attempts `json:"attempts,omitzero"`
	// Renewed is the last successful renewal.
	Renewed Renewed `json:"renewed,omitzero"`
	// HandledRequest is the renewal request that was handled last.
	HandledRequest string `json:"handledRequest,omitempty"`
	// Pin is the fingerprint of the recorded registration that a person wants the gateway to have; "" for the newest.
	Pin string `json:"pin,omitempty"`
	// Rollout is the newest one.
	Rollout Rollout `json:"rollout"`
	// Revert is what is known of older registrations that somebody has put back into the gateway's Secret.
	Revert Revert `json:"revert,omitzero"`
	// History is what has been done, the newest last.
	History []Entry `json:"history,omitempty"`
}

// Revert counts how often the newest registration was restored, so that nobody is fought endlessly.
type Revert struct {
	// Count is how often, Last when it was done last, Written when the older one had been written that it was done for.
	Count   int       `json:"count"`
	Last    time.Time `json:"last"`
	Written time.Time `json:"written"`
	// Since is when pods may have begun to come up with the older registration, and Held the one of them that expires
	// first. They are set until it is known that no pod has it, or until a rollout replaces those that do.
	Since time.Time   `json:"since,omitzero"`
	Held  Certificate `json:"held,omitzero"`
	// Request is the renewal request that stood then: it asks once for restoring.
	Request string `json:"request,omitempty"`
}

// Noted records that an older registration was put back, at a time by the API server's clock.
func (r Record) Noted(held Certificate, written time.Time) Record {
	r.Revert.Since, r.Revert.Held = soonest(r.Revert.Since, written), firstToExpire(r.Revert.Held, held)
	return r
}

// Reverting records that the newest registration is about to be restored, in the place of one that was written at a
// time by the API server's clock. Trying the same again counts once.
func (r Record) Reverting(held Certificate, written, now time.Time, request string) Record {
	r = r.Noted(held, written)
	v := &r.Revert
	v.Request = request
	if written.Equal(v.Written) {
		return r
	}
	if !waiting(v.Last.Add(day), now) {
		v.Count = 0
	}
	v.Count, v.Written, v.Last = v.Count+1, written, now
	return r
}

// Restored records that no pod runs with what was put back.
func (r Record) Restored() Record {
	r.Revert.Since, r.Revert.Held = time.Time{}, Certificate{}
	return r
}

// Intent says that somebody is asking the platform to renew a certificate.
type Intent struct {
	// Fingerprint of the certificate that is being renewed.
	Fingerprint string    `json:"fingerprint"`
	Attempt     int       `json:"attempt"`
	Since       time.Time `json:"since"`
	// Until is when it has ended for sure.
	Until time.Time `json:"until"`
	// By names the operator's process.
	By string `json:"by"`
	// Job renews, where it is not the operator's process itself: any operator can go on with it, for the FlexRegistration
	// with this UID.
	Job string `json:"job,omitempty"`
	For string `json:"for,omitempty"`
	// What is tried: the version of the credentials and the image of flexctl. Both may have changed when the outcome is
	// known.
	Credentials string `json:"credentials,omitempty"`
	Image       string `json:"image,omitempty"`
	// Cause says why it is renewed, and who asked for it.
	Cause string `json:"cause,omitempty"`
}

// cause of an intent, "" where there is none.
func (i *Intent) cause() string {
	if i == nil {
		return ""
	}
	return i.Cause
}

// Attempts to renew one certificate.
type Attempts struct {
	// Fingerprint of the certificate; attempts for another one don't count.
	Fingerprint string `json:"fingerprint"`
	// Failed counts those that failed, Unresolved those whose outcome on the platform is not known.
	Failed     int `json:"failed"`
	Unresolved int `json:"unresolved"`
	// The newest failure: what it was, when, in scrubbed words, and when it may be repeated.
	State   State     `json:"state,omitempty"`
	Message string    `json:"message,omitempty"`
	Last    time.Time `json:"last,omitzero"`
	Next    time.Time `json:"next,omitzero"`
	// Refused is the version of the credentials that were refused, where a change of them ends the wait.
	Refused string `json:"refused,omitempty"`
	// Image is the image whose flexctl could not be used, where another one ends the wait.
	Image string `json:"image,omitempty"`
	// Request is the renewal request that stood when it was made.
	Request string `json:"request,omitempty"`
}

// Renewed is a successful renewal.
type Renewed struct {
	Fingerprint string    `json:"fingerprint"`
	Time        time.Time `json:"time"`
}

// Rollout of the pods to a certificate.
type Rollout struct {
	// Sequence grows by one with each rollout; 0 where none was needed yet.
	Sequence int64 `json:"sequence"`
	// Fingerprint of the newest certificate that was seen in the gateway's Secret.
	Fingerprint string `json:"fingerprint"`
	// Started is when the rollout was decided, Published when the Secret was written (the API server's clock).
	Started   time.Time `json:"started,omitzero"`
	Published time.Time `json:"published,omitzero"`
	// Completed is when every Deployment was done. One that appears later is looked at all the same.
	Completed time.Time `json:"completedAt,omitzero"`
	// Failed is when a Deployment did not come up, or did not stay up, for the last time. Problem says what was wrong, and
	// is empty after that was mended, or while the rollout is tried anew. Retries counts how often it was.
	Failed  time.Time `json:"failed,omitzero"`
	Problem string    `json:"problem,omitempty"`
	Retries int       `json:"retries,omitempty"`
	// Rolled are the Deployments that this rollout has come to. None is annotated twice under one sequence: whoever
	// takes the annotation away would have the gateway restarted endlessly.
	Rolled []Rolled `json:"rolled,omitempty"`
	// Held is the earliest-expiring certificate that pods may hold which are not rolled out.
	Held Certificate `json:"held,omitzero"`
}

// Rolled is a Deployment that a rollout has come to.
type Rolled struct {
	UID string `json:"uid"`
	// At is when it was annotated; zero where that was not needed.
	At time.Time `json:"at,omitzero"`
	// Done: all its pods were seen to run with the published registration.
	Done bool `json:"done,omitempty"`
}

// Annotation is the value that the pod template carries after this rollout, "" where there was none.
func (r Rollout) Annotation() string {
	if r.Sequence == 0 {
		return ""
	}
	return fmt.Sprintf("%s-%d", r.Fingerprint, r.Sequence)
}

// Begun says when the Deployment was annotated, and false if it was not.
func (r Rollout) Begun(uid string) (time.Time, bool) {
	at := r.rolled(uid).At
	return at, !at.IsZero()
}

// Done says that the Deployment needs nothing more of this rollout.
func (r Rollout) Done(uid string) bool { return r.Sequence == 0 || r.rolled(uid).Done }

func (r Rollout) rolled(uid string) Rolled {
	for _, rolled := range r.Rolled {
		if rolled.UID == uid {
			return rolled
		}
	}
	return Rolled{UID: uid}
}

func (r Rollout) with(changed Rolled) Rollout {
	r.Rolled = append(slices.DeleteFunc(slices.Clone(r.Rolled), func(other Rolled) bool { return other.UID == changed.UID }), changed)
	return r
}

// Exists says whether the gateway was seen before.
func (r Record) Exists() bool { return r.Newest.Fingerprint != "" }

// Desired is the certificate that the gateway is to have.
func (r Record) Desired() Certificate {
	if r.Pin != "" && r.Pin == r.Previous.Fingerprint {
		return r.Previous
	}
	return r.Newest
}

// other is the recorded certificate that the gateway is not to have.
func (r Record) other() Certificate {
	if r.Desired() == r.Newest {
		return r.Previous
	}
	return r.Newest
}

// Pinned records which of the recorded registrations a person wants the gateway to have: the one with a fingerprint, or,
// where that is "", the newest.
func (r Record) Pinned(fingerprint string) Record {
	r.Pin = fingerprint
	return r
}

// unrolled says that the desired registration was not seen in the gateway's Secret since it is desired.
func (r Record) unrolled() bool {
	return r.Exists() && r.Rollout.Fingerprint != r.Desired().Fingerprint
}

// AttemptsFor returns the attempts to renew a certificate.
func (r Record) AttemptsFor(fingerprint string) Attempts {
	if r.Attempts.Fingerprint != fingerprint {
		return Attempts{Fingerprint: fingerprint}
	}
	return r.Attempts
}

// Used records the cluster in which a FlexRegistration uses the record.
func (r Record) Used(cluster string) Record {
	if cluster != "" {
		r.Cluster = cluster
	}
	r.UnusedSince = time.Time{}
	return r
}

// Seen records the first sight of a gateway, whose pods are taken to run with what its Secret holds. handled is
// the renewal request that an earlier record, which was lost, had handled.
func (r Record) Seen(c Certificate, handled string) Record {
	r.Newest, r.HandledRequest = c, handled
	r.Rollout = Rollout{Fingerprint: c.Fingerprint}
	return r
}

// Adopted records a registration that somebody else has made. What it replaces stays as the previous one.
func (r Record) Adopted(c Certificate) Record {
	if r.unrolled() { // Pods can't have the one that is replaced, so what they may hold would be forgotten.
		r.Rollout.Held = firstToExpire(r.Rollout.Held, r.Previous)
	}
	r.Previous, r.Newest, r.Pin = r.Newest, c, ""
	r.Intent, r.Attempts = nil, Attempts{}
	return r
}

// Claimed records that a renewal is about to start. An intent that is still open is counted as unresolved. The caller
// says of the intent since when, until when, by whom and how.
func (r Record) Claimed(c Certificate, request string, intent Intent) Record {
	r.Attempts = r.AttemptsFor(c.Fingerprint)
	if r.Intent != nil && r.Intent.Fingerprint == c.Fingerprint {
		r.Attempts.Unresolved++
		r.Attempts.Failed++
	}
	r.Attempts.Request = request
	intent.Fingerprint, intent.Attempt = c.Fingerprint, r.Attempts.Failed+1
	r.Intent = &intent
	return r
}

// Succeeded records a renewed certificate.
func (r Record) Succeeded(c Certificate, request string, now time.Time) Record {
	r = r.Told(Entry{Time: now, Action: "Renewal", Cause: r.Intent.cause(), From: r.Newest.SerialNumber, To: c.SerialNumber, Outcome: Succeeded}).Adopted(c)
	r.Renewed = Renewed{Fingerprint: c.Fingerprint, Time: now}
	if request != "" {
		r.HandledRequest = request
	}
	return r
}

// Failed records a failed renewal and when it may be repeated.
func (r Record) Failed(f Failure, c Certificate, now time.Time) Record {
	r = r.Told(Entry{Time: now, Action: "Renewal", Cause: r.Intent.cause(), From: c.SerialNumber, Outcome: string(f.State)})
	r.Intent = nil
	a := r.AttemptsFor(c.Fingerprint)
	a.Failed++
	if f.Unresolved {
		a.Unresolved++
	}
	a.State, a.Message, a.Last = f.State, f.Message, now
	a.Next = now.Add(f.Retry.delay(a.Failed, c.NotAfter.Sub(now)))
	a.Refused, a.Image = "", f.Image
	if f.Retry == RetryOnChange {
		a.Refused = f.Credentials
	}
	r.Attempts = a
	return r
}

// Published records that the desired registration stands in the gateway's Secret, as which the pods are now to
// be rolled. changed is when the Secret was written, done that every Deployment was rolled out to the one before;
// undisturbed are the Deployments that need nothing of the new rollout.
func (r Record) Published(changed, now time.Time, done bool, undisturbed ...string) Record {
	held := firstToExpire(r.other(), r.Revert.Held)
	if !done {
		held = firstToExpire(held, r.Rollout.Held)
	}
	r = r.Restored()
	r.Rollout = Rollout{Sequence: r.Rollout.Sequence + 1, Fingerprint: r.Desired().Fingerprint, Started: now, Published: changed, Held: held}
	for _, uid := range undisturbed {
		r.Rollout = r.Rollout.with(Rolled{UID: uid, Done: true})
	}
	return r
}

// Rolling records that a Deployment was annotated.
func (r Record) Rolling(uid string, now time.Time) Record {
	if _, begun := r.Rollout.Begun(uid); !begun {
		r.Rollout, r.Rollout.Problem = r.Rollout.with(Rolled{UID: uid, At: now}), ""
	}
	return r
}

// RolloutFailed records that a Deployment did not come up, or did not stay up, and what was wrong in scrubbed words.
func (r Record) RolloutFailed(problem string, now time.Time) Record {
	r.Rollout.Failed, r.Rollout.Problem = now, problem
	return r.Told(Entry{Time: now, Action: ActionRollout, From: r.Rollout.Held.SerialNumber, To: r.Desired().SerialNumber, Outcome: string(RolloutFailed)})
}

// Retried records that the rollout is tried anew, for the Deployments that are not done.
func (r Record) Retried() Record {
	r.Rollout.Sequence, r.Rollout.Retries, r.Rollout.Problem = r.Rollout.Sequence+1, r.Rollout.Retries+1, ""
	r.Rollout.Rolled = slices.DeleteFunc(slices.Clone(r.Rollout.Rolled), func(rolled Rolled) bool { return !rolled.Done })
	return r
}

// RolledOut records that all pods of a Deployment run with the published registration, and whether it was the last
// one. The UID is "" where there is none.
func (r Record) RolledOut(uid string, last bool, now time.Time) Record {
	if uid != "" {
		rolled := r.Rollout.rolled(uid)
		rolled.Done = true
		r.Rollout = r.Rollout.with(rolled)
		r.Rollout.Problem = "" // It is the one that is waited for.
	}
	if !last || r.Rollout.Completed.After(r.Rollout.Failed) {
		return r
	}
	r.Rollout.Completed = now
	// Going back to what had worked before says nothing of the pods of renewed registrations, nor does what was not rolled.
	if r.Desired() != r.Newest || !slices.ContainsFunc(r.Rollout.Rolled, func(rolled Rolled) bool { return !rolled.At.IsZero() }) {
		return r
	}
	return r.Told(Entry{Time: now, Action: ActionRollout, From: r.Rollout.Held.SerialNumber, To: r.Desired().SerialNumber, Outcome: Succeeded})
}
