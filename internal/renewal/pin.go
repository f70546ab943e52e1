package renewal

import (
	"strings"
	"time"
)

// pin is the fingerprint of the certificate that a person wants to stay, "" where that is none; known is false where it is
// not recorded.
func pin(o Observation) (fingerprint string, known bool) {
	switch r := o.Record; {
	case o.Follow:
		return r.Pin, true
	case o.Pin == "":
		return "", true
	case strings.EqualFold(o.Pin, r.Newest.SerialNumber):
		return r.Newest.Fingerprint, true
	case strings.EqualFold(o.Pin, r.Previous.SerialNumber) && !o.PreviousForeign:
		return r.Previous.Fingerprint, true
	default:
		return "", false
	}
}

// pins says that a person wants a certificate to stay. Where somebody else renews and writes the Secret, nobody here can.
func pins(o Observation) bool { return o.Pin != "" && !o.Follow }

// pinned follows what a person wants to stay: a pin is taken up once, and left once.
func pinned(o Observation, _ Decision, _ time.Time) *Decision {
	fingerprint, known := pin(o)
	if !known || fingerprint == o.Record.Pin {
		return nil
	}
	d := do(StepPin, RollingOut, "certificate %s is to stay, as spec.pin says", o.Pin)
	if fingerprint == "" {
		d = do(StepPin, RollingOut, "spec.pin was removed: going on with certificate %s", o.Record.Newest.SerialNumber)
	}
	d.Pin = fingerprint
	return d
}

// pinReplaced tells that something else stands in the Secret than what is pinned. Who pins does not want to be fought, and
// what somebody else has made must not be lost.
func pinReplaced(o Observation, _ Decision, _ time.Time) *Decision {
	if _, known := pin(o); !pins(o) || !known || o.Standing == Same || o.Unpublished() {
		return nil
	}
	if d := noted(o); d != nil && o.Standing == Older {
		return d
	}
	return wait(Pinned, "the gateway's Secret holds certificate %s (expires %s) instead of %s, which spec.pin names: remove spec.pin to go on with the newer of them, or put %s back",
		o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter), o.Pin, o.Pin)
}

// stays keeps a certificate that is pinned from being renewed, whatever it costs: a person says so. Nothing is renewed
// either where it is not known which one is meant.
func stays(o Observation, base Decision, now time.Time) *Decision {
	_, known := pin(o)
	switch {
	case !known:
		names := o.Record.Newest.SerialNumber
		if o.Record.Previous.SerialNumber != "" && !o.PreviousForeign {
			names += " and " + o.Record.Previous.SerialNumber
		}
		return afterRollout(o, wait(PinUnknown, "spec.pin names certificate %s, but only %s can be gone back to: correct it, or remove it", o.Pin, names), now)
	case pins(o) && base.Due:
		return afterRollout(o, wait(Pinned, "a renewal is due, but spec.pin keeps certificate %s, which expires at %s: remove spec.pin to renew", o.Certificate.SerialNumber, stamp(o.Certificate.NotAfter)), now)
	default:
		return nil
	}
}
