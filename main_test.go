package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

// TestWhatIsNoFlagIsRefused holds for a mistyped command, and for a value that was not joined to its flag: either would start an
// operator that does more than was asked for.
func TestWhatIsNoFlagIsRefused(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("KUBECONFIG", "/nowhere") // Nothing is to get so far that it looks for a cluster.
	for _, arguments := range [][]string{{"unmanged"}, {"--renewer=exec", "--leader-elect", "false"}, {"--namespaces=a", "b"}} {
		last := arguments[len(arguments)-1]
		g.Expect(run(arguments)).To(MatchError(ContainSubstring(`"%s" is neither a flag nor a command`, last)))
	}
}

// TestNamespacesHaveNames: an empty one would stand for all.
func TestNamespacesHaveNames(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("KUBECONFIG", "/nowhere")
	for _, flag := range []string{"--namespaces=a,", "--namespaces=a, b", "--namespaces=a/b"} {
		g.Expect(run([]string{"--renewer=exec", flag})).To(MatchError(ContainSubstring("is no name of a namespace")), flag)
	}
}
