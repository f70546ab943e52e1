// Package faults tells stories of gateways, breaks the operator at every call that it makes in them, to Kubernetes and to
// Anypoint, and checks that it comes to the same end. Where a renewal is a Job, it breaks the calls of its pod, too, and
// kills the pod.
package faults

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// Runner is where flexctl runs.
type Runner string

// The runners.
const (
	Exec Runner = "Exec" // in the operator's process
	Jobs Runner = "Jobs" // in the pod of a Job
)

// Party makes calls.
type Party string

// The parties.
const (
	Operator Party = "operator" // to the API server
	Flexctl  Party = "flexctl"  // to the platform
	Pod      Party = "pod"      // to the API server; and its containers, which are started one after another
)

// Call is one request of a story: the n-th of its kind in a run, from when calls are broken on. Those of informers don't count.
type Call struct {
	By                   Party
	Verb, Resource, Name string
	Occurrence           int
}

func (c Call) String() string {
	return fmt.Sprintf("%s: %s %s %s #%d", c.By, c.Verb, c.Resource, c.Name, c.Occurrence)
}

// start is the call that stands for the start of a container.
func start(container string) Call {
	return Call{By: Pod, Verb: "start", Resource: "container", Name: container}
}

func (c Call) isStart() bool { return c.By == Pod && c.Verb == "start" }

// FlexctlCalls are the calls of a renewal to the platform. Their names are the simulator's.
func FlexctlCalls() []Call {
	return []Call{
		{By: Flexctl, Verb: "post", Resource: "anypoint", Name: string(simulator.CallToken), Occurrence: 1},
		{By: Flexctl, Verb: "post", Resource: "anypoint", Name: string(simulator.CallRenew), Occurrence: 1},
	}
}

// dryRun ends the verb of a request that changes nothing.
const dryRun = " (dry run)"

// attemptName is the end of the name of an attempt's Job and Secret. It is another one in each run.
var attemptName = regexp.MustCompile(`-renew-[0-9a-f]{10}$`)

// identify returns the kind of a request, and false for those of informers and of discovery. Paths look like
// /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE and /apis/GROUP/VERSION/…
func identify(by Party, r *http.Request) (Call, bool) {
	query := r.URL.Query()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case query.Has("watch"), query.Has("resourceVersion"):
		return Call{}, false
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		parts = parts[3:]
	default:
		return Call{}, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	c := Call{By: by, Verb: strings.ToLower(r.Method), Resource: parts[0]}
	if len(parts) > 1 && c.Resource != "events" {
		c.Name = attemptName.ReplaceAllString(parts[1], "-renew-*")
	}
	if len(parts) > 2 {
		c.Resource += "/" + parts[2]
	}
	if query.Has("dryRun") {
		c.Verb += dryRun
	}
	return c, true
}
