package anypoint

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxLine bounds, in bytes, the one line of somebody else's output that is ever shown.
const maxLine = 200

const redacted = "[redacted]"

// confidential finds what must not be shown, whosever it is, and keeps its first group.
var confidential = []*regexp.Regexp{
	regexp.MustCompile(`()-----BEGIN [^-]*-----.*?(-----END [^-]*-----|$)`),
	regexp.MustCompile(`()^.*-----END [^-]*-----`), // whose beginning is missing
	// JSON Web Tokens begin with an encoded {".
	regexp.MustCompile(`()eyJ[A-Za-z0-9+/=_-]+(\.[A-Za-z0-9+/=_-]*)+`),
	// Runs that may be part of a key or a token. A UUID or a host's label is shorter.
	regexp.MustCompile(`()[A-Za-z0-9+/=_-]{40,}(\.[A-Za-z0-9+/=_-]+)*`),
	// A token may be a UUID, so what says that it is one counts too.
	regexp.MustCompile(`(?i)(\b(?:bearer|basic) )[^ "',;]+`),
	regexp.MustCompile(`(?i)((?:access|refresh|id)_?token["'\\]* ?[:=] ?["'\\]*)[^ "',;&}\\]+`),
	// The user info of a URL, such as a proxy's.
	regexp.MustCompile(`(://)[^/ ]+@`),
	regexp.MustCompile(`(://)[^ "]+@`),
	// The same where it is no URL, in the words in which Go complains of it.
	regexp.MustCompile(`("[^":/@ ]*:)[^"]+@`),
}

// header finds the lines of an HTTP message that carry tokens.
var header = regexp.MustCompile(`(?i)\b((?:set-)?cookie|authorization)("?:).*`)

// scrub makes one line of at most 200 bytes out of a program's output: what follows where flexctl first marks an
// error, or else its beginning, without credentials, PEM, tokens and control characters.
func scrub(output string, credentials Credentials) string {
	output = credentials.Redact(output)
	if _, message, marked := strings.Cut(output, "[flexctl][error]"); marked {
		output = message
	}
	return cmp.Or(cut(strings.TrimSpace(output), maxLine), "no output")
}

// Scrub makes one line of at most 200 bytes out of what somebody said, without the credentials, further secrets, PEM, tokens
// and control characters; "" where there is none.
func (c Credentials) Scrub(text string, secrets ...string) string {
	return cut(c.Redact(text, secrets...), maxLine)
}

// Redact is Scrub without a bound.
func (c Credentials) Redact(text string, secrets ...string) string {
	text = strings.ToValidUTF8(text, "")
	// Before the lines are joined: a header ends with its line.
	text = oneLine(header.ReplaceAllString(text, "$1$2 "+redacted))
	text = redactor(slices.Concat(c.secrets(), secrets)).Replace(text)
	for _, expression := range confidential {
		text = expression.ReplaceAllString(text, "${1}"+redacted)
	}
	return text
}

// LastWords makes one line of at most 200 bytes out of the end of what a gateway's container printed, without PEM, tokens
// and control characters; "" where there is none.
func LastWords(output string) string {
	line := Credentials{}.Redact(output)
	if len(line) > maxLine {
		line = "…" + strings.ToValidUTF8(line[len(line)-maxLine+len("…"):], "")
	}
	return line
}

// cut shortens a line to a number of bytes.
func cut(line string, most int) string {
	if len(line) <= most {
		return line
	}
	return strings.ToValidUTF8(line[:most-len("…")], "") + "…"
}

// oneLine leaves out what can't be printed and makes one space of all white space.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// redactor replaces secrets in what oneLine has made.
func redactor(secrets []string) *strings.Replacer {
	var spelled []string
	for _, v := range secrets {
		for _, spelling := range spellings(v) {
			if spelling = oneLine(spelling); spelling != "" {
				spelled = append(spelled, spelling)
			}
		}
	}
	// The longest first, so that one that contains another goes whole.
	slices.SortFunc(spelled, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var replace []string
	for _, s := range spelled {
		replace = append(replace, s, redacted)
	}
	return strings.NewReplacer(replace...)
}

var percentEncoded = regexp.MustCompile(`%[0-9A-F]{2}`)

// spellings are the forms in which command lines, HTTP, JSON, HTML and Go carry a value. Padding of base64 is left out, so
// that it is found with and without.
func spellings(v string) []string {
	encoded, _ := json.Marshal(v)
	quoted, ascii := strconv.Quote(v), strconv.QuoteToASCII(v)
	query, path, escaped := url.QueryEscape(v), url.PathEscape(v), html.EscapeString(v)
	return []string{
		v, string(encoded[1 : len(encoded)-1]), quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1],
		escaped, strings.ReplaceAll(escaped, "&#34;", "&quot;"),
		query, percentEncoded.ReplaceAllStringFunc(query, strings.ToLower),
		path, percentEncoded.ReplaceAllStringFunc(path, strings.ToLower),
		base64.RawStdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
	}
}
