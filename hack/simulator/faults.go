package simulator

import "time"

// FaultKind says what goes wrong.
type FaultKind string

// Faults of any call. A Go client repeats a GET by itself that is dropped on a
// connection it used before; a POST it does not.
const (
	Unavailable503 FaultKind = "Unavailable503" // an outage
	RateLimited    FaultKind = "RateLimited"    // at capacity, with the X-RateLimit headers
	Status500      FaultKind = "Status500"
	Slow           FaultKind = "Slow"       // answers after Latency of real time, does nothing if the client has left
	Hang           FaultKind = "Hang"       // until the client leaves or the platform closes
	Garbage        FaultKind = "Garbage"    // 200 with something that is no JSON, nothing took effect
	DropBefore     FaultKind = "DropBefore" // closes the connection, nothing took effect
	DropAfter      FaultKind = "DropAfter"  // closes the connection after the call took effect
)

// Faults of a renewal's result. They apply to the call renew whatever Call
// says. The platform issues and counts the certificate (but for
// OldCertificate) before flexctl goes wrong in the way named.
const (
	TruncatedFile  FaultKind = "TruncatedFile"  // the first half of the file
	GarbageFile    FaultKind = "GarbageFile"    // a file that is no YAML
	EmptyFile      FaultKind = "EmptyFile"      // a file without a byte
	NoFile         FaultKind = "NoFile"         // exit status 0, but no file
	OldCertificate FaultKind = "OldCertificate" // the old certificate and key once more, none is issued
	OtherGateway   FaultKind = "OtherGateway"   // another gateway's agentId, with a certificate for it
	ChangedURL     FaultKind = "ChangedURL"     // the anypoint URL leads elsewhere
	ChangedField   FaultKind = "ChangedField"   // an additional field that nobody knows
	AlreadyExpired FaultKind = "AlreadyExpired" // a certificate that expired an hour ago
	NotYetValid    FaultKind = "NotYetValid"    // a certificate that is valid from tomorrow
	WrongKey       FaultKind = "WrongKey"       // a key that is not the certificate's
	Crash          FaultKind = "Crash"          // a panic that prints its credentials, status 2, no file
	HugeOutput     FaultKind = "HugeOutput"     // succeeds, with > 1 MiB on stdout and on stderr
	SpawnChild     FaultKind = "SpawnChild"     // hangs with a child that holds its output open, no file
)

// Fault is something to go wrong. Without a Kind the call goes well and only
// the Hook is called, before the call takes effect.
type Fault struct {
	Call Call // "" for any
	Kind FaultKind
	// Times is how many matching calls it is for: 0 is 1, and negative until ClearFaults.
	Times int
	// Latency of Slow.
	Latency time.Duration
	// Hook is called where the fault takes place, outside the platform's lock.
	Hook func() `json:"-"`
}

// Inject makes the next matching calls behave as the fault says. Of several
// faults that match, the one injected first is used up first. A refused
// renewal uses up a fault of the result too, without its Hook.
func (p *Platform) Inject(f Fault) {
	if f.Kind.resultOfRenewal() {
		f.Call = CallRenew
	}
	if f.Times == 0 {
		f.Times = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
}

// ClearFaults removes every fault. Calls that hang go on hanging.
func (p *Platform) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// takeFault gives the fault for a call that arrived. p.mu is held.
func (p *Platform) takeFault(call Call) Fault {
	for _, f := range p.faults {
		if f.Times == 0 || f.Call != "" && f.Call != call {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

func (f Fault) tell() {
	if f.Hook != nil {
		f.Hook()
	}
}

// resultOfRenewal tells faults that flexctl carries out, or sees in its
// result, from those of any call.
func (k FaultKind) resultOfRenewal() bool {
	switch k {
	case "", Unavailable503, RateLimited, Status500, Slow, Hang, Garbage, DropBefore, DropAfter:
		return false
	}
	return true
}

// afterwards tells faults that take place when the call has taken effect.
func (k FaultKind) afterwards() bool { return k == DropAfter || k.resultOfRenewal() }
