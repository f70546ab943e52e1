// Package renewal is the policy: from what was observed and the time, it decides the one next step for a
// gateway's registration. It is pure: it reads no clock, no cluster and no platform.
package renewal

import (
	"fmt"
	"time"
)

// Observation is what was seen of one gateway in one moment.
type Observation struct {
	// What the FlexRegistration asks for. Before 0 stands for defaultBefore, RolloutTimeout 0 for what the
	// Deployments' own progress deadline says, RenewRequest "" for no request. Pin is the serial number of the recorded
	// certificate that is to stay, "" for the newest, which is renewed.
	Suspended      bool
	Before         time.Duration
	RolloutNever   bool
	RolloutTimeout time.Duration
	Settle         time.Duration
	RenewRequest   string
	Pin            string

	// ObserveOnly: nothing at all is to be done. Follow: somebody else renews, and writes the gateway's Secret. Manual: a
	// renewal needs the approval of a person, who names serial numbers in Approved.
	ObserveOnly, Follow, Manual bool
	Approved                    []string
	// External: somebody else writes the gateway's Secret. Publication is the fingerprint of what the operator has published
	// for that, "" where there is nothing.
	External    bool
	Publication string
	// Jitter is how much earlier than it must a renewal is due, from 0 to 1 of what there is to spread a fleet.
	Jitter float64

	// Windows say when a renewal may start, UrgentBefore how long before the expiry it starts all the same; 0 stands for
	// defaultUrgentBefore. UrgentWait: not even then. WindowInvalid says what is wrong with a window.
	Windows       Windows
	UrgentBefore  time.Duration
	UrgentWait    bool
	WindowInvalid *Finding

	// Unreadable says why nothing can be inspected; nil where the registration was read.
	Unreadable *Finding
	// Excluded says why the operator must keep its hands off a registration that it can read.
	Excluded *Finding
	// Unwritable says why the gateway's Secret can't be written.
	Unwritable *Finding
	// Blocked says why a renewal could not be carried out, whether or not one is due.
	Blocked *Finding
	// Refused says that the credentials were refused for another gateway that shares them.
	Refused *Refusal

	// Fleet is what the rollouts of all gateways have come to. It is only filled in where a renewal is about to start.
	Fleet Fleet

	// Certificate is the one in the gateway's Secret, Standing how it relates to the record's desired one.
	Certificate Certificate
	Standing    Standing
	// SecretChanged is when the registration in the gateway's Secret was last written, by the API server's clock.
	SecretChanged time.Time

	// PreviousForeign says that the record's previous registration is of another agent id: nothing goes back to that.
	PreviousForeign bool

	// Cluster is the identity of this cluster, "" where it can't be told.
	Cluster string
	// Record is what the operator has recorded; its zero value at the first sight of a gateway.
	Record Record
	// Credentials is the version of the credentials Secret.
	Credentials string
	// Image is that of flexctl; "" where the operator runs flexctl itself.
	Image string
	// Resumable says that the open intent is of a Job of this FlexRegistration, which is to be followed.
	Resumable bool
	// Leftovers counts what renewals that have ended have left in the cluster.
	Leftovers int

	// Deployments are the gateway's, in the order in which they are rolled.
	Deployments []Deployment
	// RollRefused says that a Deployment could not be annotated, so that a due renewal goes before it.
	RollRefused bool
}

// Fleet is what the last rollouts of all gateways have come to.
type Fleet struct {
	// Failed counts those that failed since one was successful, anywhere; Most is how many of them make renewals pause,
	// and 0 where none do.
	Failed, Most int
	// Here names those of them that are in the gateway's namespace.
	Here []string
	// Last is when one failed, or a renewal was tried all the same, for the last time.
	Last time.Time
}

// Failing says that so many have failed that renewals pause.
func (f Fleet) Failing() bool { return f.Most > 0 && f.Failed >= f.Most }

// Requested says whether a person asked for a renewal that has not succeeded yet.
func (o Observation) Requested() bool {
	return o.RenewRequest != "" && o.RenewRequest != o.Record.HandledRequest
}

// Finding is something that stands in the way, in the words of a condition.
type Finding struct {
	State   State
	Message string
}

// NewFinding makes a finding; the format is fmt's.
func NewFinding(state State, format string, args ...any) *Finding {
	return &Finding{State: state, Message: fmt.Sprintf(format, args...)}
}

// Refusal is a finding that counts until a moment.
type Refusal struct {
	Finding
	Until time.Time
}

// Certificate is a gateway's client certificate. The fields are those of registration.Certificate.
type Certificate struct {
	SerialNumber string    `json:"serialNumber"`
	Fingerprint  string    `json:"fingerprint"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
}

// firstToExpire is the certificate that expires first; zero ones, which are none, don't count.
func firstToExpire(certificates ...Certificate) (first Certificate) {
	for _, c := range certificates {
		if c.Fingerprint != "" && (first.Fingerprint == "" || c.NotAfter.Before(first.NotAfter)) {
			first = c
		}
	}
	return first
}

// Standing is how the registration in the gateway's Secret relates to the desired one.
type Standing int

const (
	// Same certificate.
	Same Standing = iota
	// Newer: somebody else has renewed.
	Newer
	// Older: not published yet, or put back.
	Older
	// Reregistered: it belongs to another agent id.
	Reregistered
)

// Deployment is one of the gateway's Deployments.
type Deployment struct {
	Name, UID string
	// Annotation is the value of the registration annotation on its pod template.
	Annotation string
	// Complete: every replica is updated and available, and no old one is left. UpSince is when the last of the new pods
	// came up that are watched, zero where there are none; where pods were not looked at, when Kubernetes saw them all up.
	Complete bool
	UpSince  time.Time
	// Down: one of those pods is not up. WasComplete: the rollout of the present template was complete.
	Down, WasComplete bool
	// Unseen: its pods were not looked at, since they decided nothing then.
	Unseen bool
	// Failed: the Deployment exceeded its own progress deadline. Paused: it goes on when somebody resumes it.
	Failed, Paused bool
	// OldPods counts pods that may have started with another registration. It is only filled in where the rollout is not
	// done.
	OldPods int
	// RevertedPods counts pods that may have started with what somebody had put back. It is only filled in where that may
	// be so.
	RevertedPods int
	// Unstable says what has happened to a new pod after the rollout was complete.
	Unstable string
	// Message is what the Deployment says of its progress, Complaint what its new pods complain of.
	Message, Complaint string
}

// Unpublished says that the desired registration was not seen in the gateway's Secret since it is desired.
func (o Observation) Unpublished() bool { return o.Standing == Older && o.Record.unrolled() }

// RolledOut says that all pods run with the registration that was published last.
func (o Observation) RolledOut() bool {
	return (o.Record.Rollout.Sequence == 0 || !o.Record.Rollout.Completed.IsZero()) && o.Undone() == nil
}

// Undone are the Deployments that the rollout is not done with.
func (o Observation) Undone() []Deployment {
	var undone []Deployment
	for _, d := range o.Deployments {
		if !o.Record.Rollout.Done(d.UID) {
			undone = append(undone, d)
		}
	}
	return undone
}

// Undisturbed are the UIDs of Deployments whose pods all run with the desired registration although another one had been
// put back meanwhile.
func (o Observation) Undisturbed() []string {
	var uids []string
	for _, d := range o.Deployments {
		if !o.Record.Revert.Since.IsZero() && !o.Record.unrolled() && d.RevertedPods == 0 && o.Record.Rollout.Done(d.UID) {
			uids = append(uids, d.UID)
		}
	}
	return uids
}

// ServingUntil is when the first of the certificates expires that running pods may hold.
func (o Observation) ServingUntil() time.Time {
	held := []Certificate{o.Certificate, o.Record.Revert.Held}
	if o.Record.Rollout.Completed.IsZero() || !o.RolledOut() {
		held = append(held, o.Record.Rollout.Held)
	}
	switch {
	case o.Record.unrolled():
		held = append(held, o.Record.other())
	case o.Standing != Same:
		held = append(held, o.Record.Desired())
	}
	return firstToExpire(held...).NotAfter
}
