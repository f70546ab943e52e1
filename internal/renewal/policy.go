package renewal

import (
	"slices"
	"strings"
	"time"
)

// observing does nothing, and says what would be done.
func observing(o Observation, base Decision, _ time.Time) *Decision {
	switch {
	case !o.ObserveOnly:
		return nil
	case o.Excluded != nil:
		return found(o.Excluded)
	case o.Blocked != nil:
		return found(o.Blocked)
	case base.Due:
		return wait(Observing, "a renewal is due, but the operator runs with --observe-only: it neither renews nor rolls anything")
	}
	return wait(Observing, "a renewal will be due at %s; the operator runs with --observe-only, so it only watches", stamp(base.RenewalTime))
}

// follows leaves the renewal to somebody else, and warns where none comes.
func follows(o Observation, base Decision, now time.Time) *Decision {
	if !o.Follow || !base.Due {
		return nil
	}
	d := wait(Following, "certificate %s expires at %s, and spec.renewal.policy is Follow: whoever renews this registration is to put the renewed one into the gateway's Secret", o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter)).until(urgentFrom(o, base))
	return afterRollout(o, d, now)
}

// unapproved waits for a person, however urgent the renewal is.
func unapproved(o Observation, base Decision, now time.Time) *Decision {
	serial := o.Certificate.SerialNumber
	if !o.Manual || !base.Due || approved(o) {
		return nil
	}
	d := wait(AwaitingApproval, "the renewal of certificate %s, which expires at %s, awaits approval: set spec.renewal.approve, or the annotation gateway.flexops.dev/approve, to %s. "+
		"Then Anypoint is asked for a new certificate, which is written to the gateway's Secret%s", serial, stamp(o.Certificate.NotAfter), serial, restarts(o)).until(urgentFrom(o, base))
	if len(o.Approved) > 0 {
		d.Message += "; what was approved is another certificate: " + strings.Join(o.Approved, ", ")
	}
	return afterRollout(o, d, now)
}

func approved(o Observation) bool {
	return slices.ContainsFunc(o.Approved, func(serial string) bool {
		return strings.EqualFold(serial, o.Certificate.SerialNumber)
	})
}

// restarts says what a renewal restarts.
func restarts(o Observation) string {
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
func republished(o Observation, _ Decision, _ time.Time) *Decision {
	if !o.External || o.Follow || o.Publication == "" || o.Publication == o.Record.Desired().Fingerprint || o.Unwritable != nil {
		return nil
	}
	return publishes(o)
}

func publishes(o Observation) *Decision {
	return do(StepPublish, Renewing, "publishing certificate %s to the Secret of spec.publish.secretRef", o.Record.Desired().SerialNumber)
}

// awaited publishes what is desired for somebody else to carry to the source of the gateway's Secret, and waits until it
// arrives there.
func awaited(o Observation, base Decision) *Decision {
	desired := o.Record.Desired()
	if o.Publication != desired.Fingerprint {
		if o.Unwritable != nil {
			return found(o.Unwritable)
		}
		return publishes(o)
	}
	return wait(AwaitingSync, "certificate %s (expires %s) is published to the Secret of spec.publish.secretRef, and the gateway's Secret still holds %s (expires %s): carry it to the source that the gateway's Secret is made from; it is rolled as soon as it arrives",
		desired.SerialNumber, stamp(desired.NotAfter), o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter)).until(urgentFrom(o, base))
}

// noted records since when pods may come up with what the gateway's Secret holds, where that was not recorded.
func noted(o Observation) *Decision {
	if v := o.Record.Revert; !v.Since.IsZero() && o.Record.Noted(o.Certificate, o.SecretChanged).Revert.Held == v.Held {
		return nil
	}
	return do(StepNote, Reverted, "noting since when pods may come up with certificate %s", o.Certificate.SerialNumber)
}

// renews says that a renewal which is due is going to start, sooner or later.
func renews(o Observation, base Decision) bool {
	return base.Due && !pins(o) && !o.Follow && (!o.Manual || approved(o))
}
