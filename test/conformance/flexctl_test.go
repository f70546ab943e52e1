package conformance_test

import (
	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// What flexctl itself does: one that can't renew, and one that does odd things.
var flexctlCases = map[string]testCase{
	"no flexctl":                {arrange: func(s *scene) { s.flexctl = "" }, want: want{class: anypoint.FlexctlUnusable, says: []string{"there is no program", "set spec.flexctl.image"}}},
	"flexctl for other machine": {arrange: func(s *scene) { s.file("\x7fELF of another machine") }, want: want{class: anypoint.FlexctlUnusable, says: []string{"exec format error"}}},
	"flexctl without its shell": {arrange: func(s *scene) { s.file("#!/no/such/shell\n") }, want: want{class: anypoint.FlexctlUnusable, says: []string{"starting flexctl"}}},
	"old flexctl":               {arrange: doing(`echo 'Error: unknown command "renew" for "flexctl registration"' >&2; exit 1`), want: want{class: anypoint.FlexctlTooOld, says: []string{"unknown command", "set spec.flexctl.image"}}},
	"older flexctl":             {arrange: doing(`echo '[flexctl][error] unknown flag: --output-directory' >&2; exit 1`), want: want{class: anypoint.FlexctlTooOld}},
	"killed flexctl":            {arrange: doing(`kill -9 $$`), want: want{class: anypoint.FlexctlFailed, unresolved: true}},
	// Of a program that could have killed the one which reports of it, no container's word is taken that nothing happened.
	"a file that exists": {
		arrange: doing(`echo '[flexctl][error] file already exists: x' >&2; exit 1`), want: want{class: anypoint.FlexctlFailed},
		inJob: &want{class: anypoint.FlexctlFailed, unresolved: true},
	},
	"huge output":               {arrange: doing(`head -c 8388608 /dev/zero | tr '\0' 'x'; echo >&2 '[flexctl][error] too late'; exit 3`), want: want{class: anypoint.FlexctlFailed, unresolved: true, says: []string{"exit status 3"}}},
	"huge result":               {arrange: doing(`head -c 300000 /dev/zero > new/registration.yaml`), want: want{class: anypoint.ResultInvalid, unresolved: true, says: []string{"more than the"}}},
	"a link as result":          {arrange: doing(`ln -s ../old/registration.yaml new/registration.yaml`), want: want{class: anypoint.ResultInvalid, unresolved: true, says: []string{"no regular file"}}},
	"a split result":            {arrange: doing(`awk '/^---/{second=1; next} {print > (second ? "new/certificate.yaml" : "new/registration.yaml")}' old/registration.yaml`), want: want{}},
	"fails after it renewed":    {arrange: doing(`"$FLEXCTL" "$@" >/dev/null; echo 'HTTP/1.1 400 Bad Request'; exit 1`), want: want{issued: 1}},
	"leaves a child":            {arrange: doing(`sleep 600 & "$FLEXCTL" "$@"; exit 0`), want: want{issued: 1}},
	"prints what it was given":  {arrange: doing(`echo "$@"; env; cat old/registration.yaml; exit 1`), want: want{class: anypoint.FlexctlFailed, unresolved: true}},
	"an error with all secrets": {arrange: doing(`echo "[flexctl][error] HTTP/1.1 500 $* $(cat old/registration.yaml)"; exit 1`), want: want{class: anypoint.PlatformUnavailable, unresolved: true}},
}

// doing puts a line of shell in the place of flexctl.
func doing(line string) func(*scene) {
	return func(s *scene) { s.script(line) }
}
