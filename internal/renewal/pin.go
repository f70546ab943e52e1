package renewal

import "strings"

// pin is the fingerprint of the certificate that a person wants to stay, "" where that is none; known is false where it is
// not recorded.
func (o Observation) pin() (fingerprint string, known bool) {
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
func (o Observation) pins() bool { return o.Pin != "" && !o.Follow }

// pinned follows what a person wants to stay: a pin is taken up once, and left once.
func (m moment) pinned() *Decision {
	fingerprint, known := m.pin()
	if !known || fingerprint == m.Record.Pin {
		return nil
	}
	d := do(StepPin, RollingOut, "certificate %s is to stay, as spec.pin says", m.Pin)
	if fingerprint == "" {
		d = do(StepPin, RollingOut, "spec.pin was removed: going on with certificate %s", m.Record.Newest.SerialNumber)
	}
	d.Pin = fingerprint
	return d
}

// pinReplaced tells that something else stands in the Secret than what is pinned. Who pins does not want to be fought, and
// what somebody else has made must not be lost.
func (m moment) pinReplaced() *Decision {
	if _, known := m.pin(); !m.pins() || !known || m.Standing == Same || m.Unpublished() {
		return nil
	}
	if d := m.noted(); d != nil && m.Standing == Older {
		return d
	}
	return wait(Pinned, "the gateway's Secret holds certificate %s (expires %s) instead of %s, which spec.pin names: remove spec.pin to go on with the newer of them, or put %s back",
		m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter), m.Pin, m.Pin)
}

// stays keeps a certificate that is pinned from being renewed, whatever it costs: a person says so. Nothing is renewed
// either where it is not known which one is meant.
func (m moment) stays() *Decision {
	_, known := m.pin()
	switch {
	case !known:
		names := m.Record.Newest.SerialNumber
		if m.Record.Previous.SerialNumber != "" && !m.PreviousForeign {
			names += " and " + m.Record.Previous.SerialNumber
		}
		return m.afterRollout(wait(PinUnknown, "spec.pin names certificate %s, but only %s can be gone back to: correct it, or remove it", m.Pin, names))
	case m.pins() && m.Due:
		return m.afterRollout(wait(Pinned, "a renewal is due, but spec.pin keeps certificate %s, which expires at %s: remove spec.pin to renew", m.Certificate.SerialNumber, stamp(m.Certificate.NotAfter)))
	default:
		return nil
	}
}
