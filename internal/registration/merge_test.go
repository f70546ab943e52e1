package registration

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// layout writes a registration in one of many ways. Two files of one layout, for two pairs, differ in nothing but
// what a merge may change.
type layout struct {
	lineBreak  string
	start      string    // of the file: nothing, a byte order mark, a directive
	step       int       // of indentation
	flow       bool      // the Secret's spec is a flow mapping
	keys       [2]string // how the names tls.crt and tls.key are written
	styles     [2]string // of the two scalars
	headers    [2]string // of block scalars
	margin     int       // of the content of block scalars, beyond the fields
	behind     [2]string // what follows the scalars, lines
	swapped    bool
	split      bool
	user       [3]string // documents of the user: before, between, after
	secretLast bool
}

var (
	blockHeaders = []string{"", "-", "+", "%d", "%d-", "+%d", "-%d", "  # the certificate: \"x\" | 'y'", "%d\t# c"}
	styles       = []string{"literal", "folded", "double", "double lines", "single", "plain"}
	userDocs     = []string{
		"", "# just a comment\n", "a: &a [1, 2] # c\nb: *a\nb: {<<: *a}\n", "- 'it''s'\n- \"\\\"\"\n-   ? x\n    : y\n",
		"apiVersion: gateway.mulesoft.com/v1alpha1\nkind: Configuration\nmetadata: {name: logging}\nspec: {logging: {level: info}}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: flex-registration}\nspec:\n  tls.crt: |+\n    -----BEGIN CERTIFICATE-----\n\n\n",
		"text: >-\n  --- not a marker\n  é 𝒳 \u00a0\n\n   more\n", "x: !!binary aGk=\n", "é: \"\u0085 \u2028 \u2029\"\n",
	}
	afters = []string{"", "\n", "  \n\n", "# at the margin\n", "\n\n# after blanks\n"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomLayout(r *rand.Rand) layout {
	l := layout{
		lineBreak: pick(r, []string{"\n", "\n", "\r\n", "\r"}), start: pick(r, []string{"", "", "\ufeff", "%YAML 1.1\n---\n", "---  # first\n"}),
		step: 1 + r.IntN(6), margin: 1 + r.IntN(9), flow: r.IntN(4) == 0, swapped: r.IntN(2) == 0, split: r.IntN(4) == 0, secretLast: r.IntN(2) == 0,
	}
	for i := range 2 {
		l.keys[i] = pick(r, []string{"tls.%s: ", "\"tls.%s\": ", "'tls.%s':   ", "\"tls.\\x%s\": "})
		l.styles[i], l.headers[i], l.behind[i] = pick(r, styles), pick(r, blockHeaders), pick(r, afters)
		if l.flow {
			l.styles[i] = pick(r, styles[2:])
		} else if r.IntN(8) == 0 {
			l.keys[i] = "? tls.%s\n: "
		}
	}
	for i := range l.user {
		l.user[i] = pick(r, userDocs)
	}
	return l
}

// write returns the data of the layout for a pair. If merged, scalars have the form that Merge writes.
func (l layout) write(p pair, merged bool) map[string][]byte {
	margin := strings.Repeat(" ", l.step)
	spec := "spec:\n"
	if l.flow {
		spec = "spec: {  # flow\n" + margin + "é𝒳: 'ü', " // columns are characters, not bytes
	}
	order := []int{0, 1}
	if l.swapped {
		order = []int{1, 0}
	}
	for n, i := range order {
		name := fmt.Sprintf(l.keys[i], []string{"crt", "key"}[i])
		name = strings.NewReplacer("\\xcrt", "\\x63rt", "\\xkey", "\\x6bey", "\n", "\n"+margin).Replace(name)
		spec += margin + name + l.scalar(i, []string{p.crt, p.key}[i], merged)
		switch {
		case l.flow && n == 0:
			spec += " ,  # next\n" + margin + "other: [a, b],\n"
		case l.flow:
			spec += "\n" + margin + "}  # end\n"
		default:
			spec += "\n" + l.behind[i] + margin + fmt.Sprintf("other%d: {x: 'y'}\n", i)
		}
	}
	secret := "kind: Secret   # the gateway's\nmetadata: {name: flex-registration}\napiVersion: gateway.mulesoft.com/v1alpha1\n" + spec
	first, second := configDoc(agentID), secret
	if !l.secretLast {
		first, second = second, first
	}
	data := map[string][]byte{"other": []byte("left alone")}
	text := l.start + l.user[0] + "\n---\n" + first + "---  # next\n" + l.user[1] + "\n---\n" + second + "...\n---\n" + l.user[2]
	if l.split {
		text = configDoc(agentID) + "\n---\n" + l.user[0]
		data[CertificateKey] = l.encoded(l.start + l.user[1] + "\n---\n" + secret + "---\n" + l.user[2])
	}
	data[DefaultKey] = l.encoded(text)
	return data
}

func (l layout) encoded(text string) []byte {
	return []byte(strings.ReplaceAll(text, "\n", l.lineBreak))
}

// scalar returns a scalar of the spec, without its last line break.
func (l layout) scalar(i int, text string, merged bool) string {
	style := l.styles[i]
	text = strings.TrimSuffix(text, "\n")
	margin := strings.Repeat(" ", l.step+l.margin)
	header := l.headers[i]
	if strings.Contains(header, "%") {
		header = fmt.Sprintf(header, l.margin)
	}
	switch {
	case style == "literal", style == "folded" && merged:
		return "|" + header + "\n" + margin + strings.ReplaceAll(text, "\n", "\n"+margin)
	case style == "double", merged:
		return `"` + strings.ReplaceAll(text, "\n", `\n`) + `\n"`
	}
	folded := strings.ReplaceAll(text, "\n", "\n\n"+margin)
	switch style {
	case "folded":
		return ">" + header + "\n" + margin + folded
	case "double lines":
		return `"` + strings.ReplaceAll(text, "\n", "\\n\\\n"+margin) + `\x0a"`
	case "single":
		return "'" + folded + "\n\n" + margin + "'"
	}
	return folded
}

func TestMergeLayouts(t *testing.T) {
	old, renewed := newPair(t, 24*time.Hour), newPair(t, 48*time.Hour)
	from := mustParse(t, dataOf(fileOf(renewed)))
	for seed := range 300 {
		l := randomLayout(rand.New(rand.NewPCG(uint64(seed), 1)))
		data := l.write(old, false)
		before := clone(data)
		r, err := Parse(data, DefaultKey)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, data[DefaultKey])
		}
		same, err := Merge(data, DefaultKey, r)
		if err != nil || !equalData(same, before) {
			t.Fatalf("seed %d: merging what is there changed it: %v\n%s", seed, err, data[DefaultKey])
		}
		got, err := Merge(data, DefaultKey, from)
		if err != nil {
			t.Fatalf("seed %d, %+v: %v\n%s", seed, l, err, data[DefaultKey])
		}
		if want := l.write(renewed, true); !equalData(got, want) {
			t.Fatalf("seed %d, %+v: got\n%q\nwant\n%q", seed, l, got, want)
		}
		if !equalData(data, before) {
			t.Fatalf("seed %d: the input was changed", seed)
		}
	}
}

func equalData(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

func TestMergeReplacesOnlyWhatDiffers(t *testing.T) {
	g := NewWithT(t)
	key := newECDSA(t)
	short := pair{issue(t, key, noon, noon.Add(time.Hour)), keyPEM(t, key)}
	long := pair{issue(t, key, noon, noon.Add(2*time.Hour)), short.key}
	strange := pair{"a text before it\n" + short.crt, "another\n" + short.key}

	merged, err := Merge(dataOf(fileOf(strange)), DefaultKey, mustParse(t, dataOf(fileOf(long))))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(merged[DefaultKey])).To(Equal(fileOf(pair{long.crt, strange.key})))
}

func TestMergeTakesOnlyThePEM(t *testing.T) {
	g := NewWithT(t)
	old, renewed := newPair(t, time.Hour), newPair(t, 2*time.Hour)
	smuggled := pair{"spec: evil\n" + strings.Replace(renewed.crt, "E-----\n", "E-----\nX-Header: evil\n\n", 1), renewed.key + "evil: true\n"}
	hostile := strings.Replace(fileOf(smuggled), "https://anypoint", "https://evil", 1)

	merged, err := Merge(dataOf(fileOf(old)), DefaultKey, mustParse(t, dataOf(hostile)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(merged[DefaultKey])).To(Equal(fileOf(renewed)))
}

func TestMergeErrors(t *testing.T) {
	old, renewed := newPair(t, time.Hour), newPair(t, 2*time.Hour)
	from := mustParse(t, dataOf(fileOf(renewed)))
	chain := mustParse(t, dataOf(fileOf(pair{strings.Repeat(renewed.crt, maxChain), renewed.key})))
	almost := fileOf(old) + "---\n"
	for name, c := range map[string]struct {
		content string
		from    *Registration
		says    string
	}{
		"another gateway": {strings.Replace(fileOf(old), agentID, strings.Replace(agentID, "0", "1", 1), 1), from, saysAgentIDMismatch},
		"not readable":    {"a: b\n", from, saysNoPlatformConnection},
		"grows too large": {almost + strings.Repeat("#", MaxSize-len(almost)), chain, saysMergeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := Merge(dataOf(c.content), DefaultKey, c.from)
			expectError(t, err, c.says)
			NewWithT(t).Expect(data).To(BeNil())
			assertQuiet(t, err, old, renewed)
		})
	}
}

// Merge should never get these; if the positions it edits by were wrong, it would.
func TestCheckMergedRefusesADamagedFile(t *testing.T) {
	old, renewed := newPair(t, time.Hour), newPair(t, 2*time.Hour)
	from := mustParse(t, dataOf(fileOf(renewed)))
	user := "---\nmine: 1\n"
	_, before, err := read(dataOf(fileOf(old)+user), DefaultKey)
	if err != nil {
		t.Fatal(err)
	}
	good := fileOf(renewed) + user
	for name, c := range map[string]struct {
		content string
		says    string
	}{
		"good":                    {good, ""},
		"not readable":            {good + "'", saysMergeFailed},
		"not renewed":             {fileOf(old) + user, saysMergeFailed},
		"user's document":         {strings.Replace(good, "mine: 1", "mine: 2", 1), saysMergeFailed},
		"user's document gone":    {fileOf(renewed), saysMergeFailed},
		"field of the secret":     {strings.Replace(good, "    tls.crt", "    x: y\n    tls.crt", 1), saysMergeFailed},
		"field of the connection": {strings.Replace(good, "us-east-1", "us-east-2", 1), saysMergeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, checkMerged(dataOf(c.content), DefaultKey, from, before), c.says)
		})
	}
}
