package docs

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	declared = regexp.MustCompile(`(?m)^ +(?:-[a-zA-Z], )?--([a-z-]+)`)
	named    = regexp.MustCompile(`^--([a-z-]+)`)
)

// declares are the flags that a program's help lists.
func declares(t *testing.T, program string, arguments ...string) []string {
	t.Helper()
	help, err := exec.Command(program, append(arguments, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("asking for help: %v\n%s", err, help)
	}
	var flags []string
	for _, match := range declared.FindAllStringSubmatch(string(help), -1) {
		flags = append(flags, match[1])
	}
	return flags
}

// others are flags of kubectl, Helm and flexctl that stand in inline code by themselves.
var others = []string{"force-conflicts", "set-file", "take-ownership", "to-revision"}

// Every flag of the operator has a place in the docs, and every flag that they name exists.
func TestFlags(t *testing.T) {
	ours := declares(t, manager)
	known := slices.Concat(ours, others)
	for _, subcommand := range []string{"status", "inspect", "export", "renew", "approve", "rehearse", "pin", "suspend", "resume", "confirm", "adopt"} {
		known = append(known, declares(t, plugin, subcommand)...)
	}
	told := map[string]bool{}
	check := func(where, word string) {
		if match := named.FindStringSubmatch(word); match != nil {
			told[match[1]] = true
			if !slices.Contains(known, match[1]) {
				t.Errorf("%s: no program of ours has the flag --%s", where, match[1])
			}
		}
	}
	for _, p := range pages(t) {
		for _, span := range p.spans {
			check(p.path, span)
		}
		for _, c := range commands(p) {
			if i := slices.IndexFunc(c.words, func(word string) bool { return strings.TrimPrefix(word, "/") == "manager" }); i >= 0 {
				for _, word := range c.words[i:] {
					check(c.where, word)
				}
			}
		}
	}
	for _, flag := range ours {
		if !told[flag] {
			t.Errorf("no page tells of the operator's flag --%s", flag)
		}
	}
}
