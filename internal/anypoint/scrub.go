package anypoint

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// maxLine bounds, in bytes, the one line of somebody else's output that is ever shown.
const maxLine = 200

// longWord finds runs that may be part of a key or a token. A UUID or a host's label is shorter.
var longWord = regexp.MustCompile(`[A-Za-z0-9+/=_-]{40,}(\.[A-Za-z0-9+/=_-]+)*`)

var pemBlock = regexp.MustCompile(`(?s)-----BEGIN [^-]*-----.*?(-----END [^-]*-----|$)`)

// scrub makes one line of at most 200 bytes out of a program's output: the lines that flexctl marks as errors
// and what follows them, or else the last ones, without credentials, PEM, tokens and control characters.
func scrub(output string, credentials Credentials) string {
	secrets := spellings(credentials.secrets())
	// The longest first, so that one that contains another goes whole.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		output = strings.ReplaceAll(output, secret, "[redacted]")
	}
	output = pemBlock.ReplaceAllString(output, "[redacted]")
	output = longWord.ReplaceAllString(output, "[redacted]")
	if i := strings.Index(output, "[flexctl][error]"); i >= 0 {
		output = output[i+len("[flexctl][error]"):]
	}
	output = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(output, ""))
	line := strings.Join(strings.Fields(output), " ")
	if line == "" {
		return "no output"
	}
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine-len("…")], "") + "…"
	}
	return line
}

// spellings adds the forms in which HTTP and JSON carry the values.
func spellings(values []string) []string {
	var out []string
	for _, v := range values {
		quoted, _ := json.Marshal(v)
		out = append(out, v, url.QueryEscape(v), url.PathEscape(v), strings.Trim(string(quoted), `"`),
			base64.StdEncoding.EncodeToString([]byte(v)), base64.URLEncoding.EncodeToString([]byte(v)))
	}
	return out
}
