package conformance_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// parent finds the files by which the program that runs flexctl, in a pod, reports: they stand on its command line.
// Where flexctl runs in the operator's container there are none, and what is written goes nowhere.
const parent = `
argument() { tr '\0' '\n' < /proc/$PPID/cmdline | sed -n "s/^--$1=//p"; }
message=$(argument termination-log)
result=$(argument result)
claim() { [ -z "$message" ] || printf '%s' "$1" > "$message"; }
`

// A flexctl that wants its failure taken for another one.
var hostileCases = map[string]testCase{
	"prints a claim":                 {arrange: doing(`echo '{"class":"RequestRefused","detail":"nothing happened","unresolved":false}'; exit 1`), want: unknown},
	"leaves a claim":                 {arrange: doing(parent + `claim "{\"class\":\"RequestRefused\",\"detail\":\"$* $(tr -d '\n' < old/registration.yaml)\"}"; exit 1`), want: unknown},
	"leaves claims where it can":     {arrange: doing(`for f in termination-log new/termination-log; do echo '{"class":"RateLimited"}' > $f; done; exit 1`), want: unknown},
	"leaves a result":                {arrange: doing(parent + `[ -z "$result" ] || cp old/registration.yaml "$result/registration.yaml"; exit 1`), want: unknown},
	"leaves a result that is in use": {arrange: doing(parent + `[ -z "$result" ] || mkdir "$result/registration.yaml"; echo oops; exit 1`), want: unknown},
}

var unknown = want{class: anypoint.FlexctlFailed, unresolved: true}

// What only a container can do: flexctl has the rights of the program that reports of it, and can end it. What it may
// claim then is bounded.
func testJobAlone(t *testing.T, p programs, jobs *jobRunner) {
	const kill = `[ -z "$message" ] || kill -9 $PPID; exit 1`
	ended := want{class: anypoint.JobFailed, unresolved: true, says: []string{"the container with flexctl was ended", "137"}}
	for name, c := range map[string]struct {
		claim string
		want
	}{
		"no claim":                     {`:`, ended},
		"garbage":                      {`claim "it went well $*"`, ended},
		"a class that nobody knows":    {`claim "{\"class\":\"Renewed\",\"detail\":\"$*\"}"`, ended},
		"a class for the operator":     {`claim "{\"class\":\"JobFailed\",\"detail\":\"$*\"}"`, ended},
		"a known class":                {`claim "{\"class\":\"RequestRefused\",\"detail\":\"it was $* for $(tr -d '\n' < old/registration.yaml)\"}"`, want{class: anypoint.RequestRefused, says: []string{"it was registration renew"}}},
		"a long detail":                {`claim "{\"class\":\"RateLimited\",\"detail\":\"$(head -c 3000 /dev/zero | tr '\0' 'y' | sed 's/y/y /g' | head -c 3900)\"}"`, want{class: anypoint.RateLimited, says: []string{"y y"}}},
		"more than a kubelet takes":    {`claim "{\"class\":\"RateLimited\",\"detail\":\"$(head -c 9000 /dev/zero | tr '\0' 'y')\"}"`, ended},
		"that nothing is known of it":  {`claim "{\"class\":\"FlexctlFailed\",\"unresolved\":false,\"detail\":\"x\"}"`, want{class: anypoint.FlexctlFailed, unresolved: true}},
		"a result, and no other claim": {`cp old/registration.yaml "$result/registration.yaml"`, ended},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, p, testCase{arrange: doing(parent + c.claim + "\n" + kill)})
			renewed, err := s.ask(jobs.renewer(s))
			s.Expect(renewed).To(BeNil())
			s.failed(err, c.want)
			s.Expect(s.platform.Requests()).To(BeEmpty())
			for where, text := range jobs.settled(s) {
				// The pod's status has the message as it was left: who has a secret and the right to say something can tell it.
				if !strings.HasPrefix(where, "pod ") {
					s.Expect(s.leaks(text)).To(BeEmpty(), "%s shows a secret:\n%s", where, text)
				}
			}
			jobs.leavesNothing(s)
		})
	}
	t.Run("image that can't be pulled", func(t *testing.T) {
		t.Parallel()
		testImagePull(t, p, jobs)
	})
}
