package renewal

import (
	"slices"
	"strings"
)

// observing does nothing, and says what would be done.
func (m moment) observing() *Decision {
	switch {
	case !m.ObserveOnly:
		return nil
	case m.Excluded != nil:
		return found(m.Excluded)
	case m.Blocked != nil:
		return found(m.Blocked)
	case m.Due:
		return wait(Observing, "a renewal is due, but the operator runs with --observe-only: it neither renews nor rolls anything")
	}
	return wait(Observing, "a renewal will be due at %s; the operator runs with --observe-only, so it only watches", stamp(m.RenewalTime))
}

// follows leaves the renewal to somebody else, and warns where none comes.
func (m moment) follows() *Decision {
	if !m.Follow || !m.Due {
		return nil
	}
	d := wait(Following, "certificate %s expires at %s, and spec.renewal.policy is Follow: whoever renews this registration is to put the renewed one into the gateway's Secret", m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter)).until(m.urgentFrom())
	return m.afterRollout(d)
}

// unapproved waits for a person, however urgent the renewal is.
func (m moment) unapproved() *Decision {
	serial := m.Certificate.SerialNumber
	if !m.Manual || !m.Due || m.approved() {
		return nil
	}
	d := wait(AwaitingApproval, "the renewal of certificate %s, which expires at %s, awaits approval: set spec.renewal.approve, or the annotation gateway.flexops.dev/approve, to %s. "+
		"Then Anypoint is asked for a new certificate, which is written to the gateway's Secret%s", serial, stamp(m.Certificate.NotAfter), serial, m.restarts()).until(m.urgentFrom())
	if len(m.Approved) > 0 {
		d.Message += "; what was approved is another certificate: " + strings.Join(m.Approved, ", ")
	}
	return m.afterRollout(d)
}

func (o Observation) approved() bool {
	return slices.ContainsFunc(o.Approved, func(serial string) bool {
		return strings.EqualFold(serial, o.Certificate.SerialNumber)
	})
}

// restarts says what a renewal restarts.
func (o Observation) restarts() string {
	var names []string
	for _, d := range o.Deployments {
		names = append(names, d.Name)
	}
	if len(names) == 0 || o.RolloutNever {
		return ""
	}
	return ", and the pods of Deployment " + strings.Join(names, ", then of ") + " are replaced"
}

// republished keeps what is published for somebody else to carry from bringing back what is not desired any more, once
// something was published.
func (m moment) republished() *Decision {
	if !m.External || m.Follow || m.Publication == "" || m.Publication == m.Record.Desired().Fingerprint || m.Unwritable != nil {
		return nil
	}
	return m.publishes()
}

func (o Observation) publishes() *Decision {
	return do(StepPublish, Renewing, "publishing certificate %s to the Secret of spec.publish.secretRef", o.Record.Desired().SerialNumber)
}

// awaited publishes what is desired for somebody else to carry to the source of the gateway's Secret, and waits until it
// arrives there.
func (m moment) awaited() *Decision {
	desired := m.Record.Desired()
	if m.Publication != desired.Fingerprint {
		if m.Unwritable != nil {
			return found(m.Unwritable)
		}
		return m.publishes()
	}
	return wait(AwaitingSync, "certificate %s (expires %s) is published to the Secret of spec.publish.secretRef, and the gateway's Secret still holds %s (expires %s): carry it to the source that the gateway's Secret is made from; it is rolled as soon as it arrives",
		desired.SerialNumber, stamp(desired.NotAfter), m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter)).until(m.urgentFrom())
}

// noted records since when pods may come up with what the gateway's Secret holds, where that was not recorded.
func (o Observation) noted() *Decision {
	if v := o.Record.Revert; !v.Since.IsZero() && firstToExpire(v.Held, o.Certificate) == v.Held {
		return nil
	}
	return do(StepNote, Reverted, "noting since when pods may come up with certificate %s", o.Certificate.SerialNumber)
}

// renews says that a renewal which is due is going to start, sooner or later.
func (m moment) renews() bool {
	return m.Due && !m.pins() && !m.Follow && (!m.Manual || m.approved())
}
