package renewal

import (
	"slices"
	"time"
)

// noon is where the clock of the tests stands.
var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

const lifetime = 450 * day

// certificate makes one that expires so long after noon.
func certificate(name string, remaining time.Duration) Certificate {
	return Certificate{SerialNumber: "5E" + name, Fingerprint: "fingerprint-" + name, NotBefore: noon.Add(remaining - lifetime), NotAfter: noon.Add(remaining)}
}

var (
	// oldest, older and newest are three generations of one gateway's certificate. The older one is due at noon.
	oldest = certificate("A", 2*day)
	older  = certificate("B", 10*day)
	newest = certificate("C", lifetime)
)

// seen is a gateway whose certificate was seen once and never renewed.
func seen(c Certificate) Observation {
	return Observation{Certificate: c, Cluster: "here", Credentials: "1", Record: Record{Cluster: "here"}.Seen(c, "")}
}

// replaced is one whose certificate has been renewed, and nothing else.
func replaced(from, to Certificate) Observation {
	o := seen(from)
	o.Record = o.Record.Claimed(from, "", intent(noon.Add(-time.Hour), "me")).Succeeded(to, "", noon.Add(-time.Hour))
	o.Standing = Older
	return o
}

// published is one whose new certificate is in the Secret and whose rollout has begun an hour ago.
func published(from, to Certificate, deployments ...Deployment) Observation {
	o := replaced(from, to)
	o.Certificate, o.Standing = to, Same
	o.Record = o.Record.Published(noon.Add(-time.Hour), noon.Add(-time.Hour), false)
	o.Deployments = deployments
	for _, d := range deployments {
		if d.Annotation == o.Record.Rollout.Annotation() {
			o.Record = o.Record.Rolling(d.UID, noon.Add(-time.Hour))
		}
	}
	return o
}

// deployment has an annotation of the sequence given, 0 for none.
func deployment(name string, c Certificate, sequence int64, complete bool) Deployment {
	return Deployment{Name: name, UID: "uid-" + name, Annotation: Rollout{Fingerprint: c.Fingerprint, Sequence: sequence}.Annotation(), Complete: complete, OldPods: 2, Message: "1 of 2 replicas updated"}
}

// with changes a copy of an observation.
func (o Observation) with(changes ...func(*Observation)) Observation {
	o.Deployments = slices.Clone(o.Deployments)
	for _, change := range changes {
		change(&o)
	}
	return o
}

func credentialsRejected(version string) Failure {
	return Failure{State: "CredentialsRejected", Message: "refused", Retry: RetryOnChange, Credentials: version}
}

var (
	unavailable = Failure{State: "PlatformUnavailable", Message: "down", Retry: RetryBackoff}
	lost        = Failure{State: "PlatformUnavailable", Message: "broken", Retry: RetryBackoff, Unresolved: true}
)

// rolledOut is done with the Deployment a, the only one; rolledFirst and rolledSecond with the first ones of several.
func rolledOut(r Record) Record    { return r.RolledOut("uid-a", true, noon) }
func rolledFirst(r Record) Record  { return r.RolledOut("uid-a", false, noon) }
func rolledSecond(r Record) Record { return rolledFirst(r).RolledOut("uid-b", false, noon) }

// intent is that of a renewal in the operator's process.
func intent(since time.Time, by string) Intent {
	return Intent{Since: since, Until: since.Add(Hold), By: by}
}
