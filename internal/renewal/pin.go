package renewal

import (
	"strings"
	"time"
)

// pinned follows what a person wants to stay: a pin is taken up once, and left once.
func pinned(o Observation, _ Decision, _ time.Time) *Decision {
	r := o.Record
	pin := ""
	switch {
	case o.Pin == "":
	case strings.EqualFold(o.Pin, r.Newest.SerialNumber):
		pin = r.Newest.Fingerprint
	case strings.EqualFold(o.Pin, r.Previous.SerialNumber):
		pin = r.Previous.Fingerprint
	default:
		known := r.Newest.SerialNumber
		if r.Previous.SerialNumber != "" {
			known += " and " + r.Previous.SerialNumber
		}
		return wait(PinUnknown, "spec.pin names certificate %s, but only %s can be gone back to: correct it, or remove it", o.Pin, known)
	}
	if pin == r.Pin {
		return nil
	}
	d := do(StepPin, RollingOut, "certificate %s is to stay, as spec.pin says", o.Pin)
	if pin == "" {
		d = do(StepPin, RollingOut, "spec.pin was removed: going on with certificate %s", r.Newest.SerialNumber)
	}
	d.Pin = pin
	return d
}

// pinReplaced tells that something else stands in the Secret than what is pinned. Who pins does not want to be fought, and
// what somebody else has made must not be lost.
func pinReplaced(o Observation, _ Decision, _ time.Time) *Decision {
	if o.Pin == "" || o.Standing == Same || o.Unpublished() {
		return nil
	}
	return wait(Pinned, "the gateway's Secret holds certificate %s (expires %s) instead of %s, which spec.pin names: remove spec.pin to go on with the newer of them, or put %s back",
		o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter), o.Pin, o.Pin)
}

// stays keeps a certificate that is pinned from being renewed, whatever it costs: a person says so.
func stays(o Observation, base Decision, now time.Time) *Decision {
	if o.Pin == "" || !base.Due {
		return nil
	}
	return afterRollout(o, wait(Pinned, "a renewal is due, but spec.pin keeps certificate %s, which expires at %s: remove spec.pin to renew", o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter)), now)
}
