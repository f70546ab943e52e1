package registration

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestMergeOddScalars(t *testing.T) {
	old, renewed := newPair(t, 24*time.Hour), newPair(t, 48*time.Hour)
	from := mustParse(t, dataOf(fileOf(renewed)))
	head := "kind: Secret\napiVersion: gateway.mulesoft.com/v1alpha1\nmetadata: {name: flex-registration}\nspec:\n"
	quoted := func(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }
	folded := func(text string) string { return strings.ReplaceAll(text, "\n", "\n\n    ") }
	key := func(p pair) string { return "  tls.key: \"" + quoted(p.key) + "\"\n" }
	oneLine := func(p pair) string {
		return "\ufeff{é: 𝒳, kind: Secret, apiVersion: gateway.mulesoft.com/v1, metadata: {name: flex-registration}, spec: {tls.crt: \"" +
			quoted(p.crt) + "\", \"tls.key\":\"" + quoted(p.key) + "\"}}\n"
	}
	double := "\"" + quoted(renewed.crt) + "\""
	breaks := "  x: \"\u0085\u2028\u2029\"\n  # c\u2028  # c\r  tls.crt: |  # c\u0085"
	for name, c := range map[string]struct{ before, after string }{
		"all on the first line": {oneLine(old), oneLine(renewed)},
		"quotes in single quotes": {
			head + "  tls.crt: 'it''s ''\n\n  " + folded(old.crt) + "''''' # 'c'\n" + key(old),
			head + "  tls.crt: " + double + " # 'c'\n" + key(renewed),
		},
		"escapes in double quotes": {
			head + `  tls.crt: "\"a\\\" \\\n` + quoted(old.crt) + `\"\\" # "c"` + "\n" + key(old),
			head + "  tls.crt: " + double + ` # "c"` + "\n" + key(renewed),
		},
		"plain, with comments": {
			head + "  tls.crt:\n\n   # c\n   " + folded(strings.TrimSpace(old.crt)) + "   # c\n" + key(old),
			head + "  tls.crt:\n\n   # c\n   " + double + "   # c\n" + key(renewed),
		},
		"blank lines around": {
			head + "  tls.crt: |+\n\n \n" + indented(old.crt, 3) + "      \n   \t\n\n # c\n" + key(old),
			head + "  tls.crt: |+\n" + indented(renewed.crt, 3) + "      \n   \t\n\n # c\n" + key(renewed),
		},
		"text around": {
			head + "  tls.crt: |\n    Bag:\n      # x\n" + indented(old.crt, 4) + "     y\n\n    z\n\n  # c\n" + key(old),
			head + "  tls.crt: |\n" + indented(renewed.crt, 4) + "\n  # c\n" + key(renewed),
		},
		"other line breaks": {
			head + breaks + indented(old.crt, 3) + key(old),
			head + breaks + indented(renewed.crt, 3) + key(renewed),
		},
		"at the end": {
			head + key(old) + "  tls.crt: |-\n" + indented(old.crt, 3),
			head + key(renewed) + "  tls.crt: |-\n" + indented(renewed.crt, 3),
		},
	} {
		for file, end := range map[string]string{DefaultKey: "---\n" + configDoc(agentID), CertificateKey: ""} {
			t.Run(name+" in "+file, func(t *testing.T) {
				g := NewWithT(t)
				data := dataOf(configDoc(agentID))
				// The second file ends within the scalar or right behind it, without a line break.
				data[file] = []byte(strings.TrimSuffix(c.before+end, "\n"))
				merged, err := Merge(data, DefaultKey, from)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(string(merged[file])).To(Equal(strings.TrimSuffix(c.after+end, "\n")))
			})
		}
	}
}
