package registration

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

var (
	// wholeLine is a line of YAML 1.1, which the library counts by, with its break.
	wholeLine = regexp.MustCompile(`[^\n\r\x{85}\x{2028}\x{2029}]*(\r\n|[\n\r\x{85}\x{2028}\x{2029}]|$)`)
	// quoted is a scalar in double quotes, where \" is a quote, or in single ones, where two of them are.
	quoted = regexp.MustCompile(`(?s)^("([^"\\]|\\.)*"|'([^']|'')*')`)
	// indicator stands in the header of a block scalar that says how far its content is indented.
	indicator = regexp.MustCompile(`^[|>][-+]?([1-9])`)
)

// replaceScalar returns src with a text in the place of a scalar, a value of mapping. It is false if the scalar is not where
// the library's position says.
//
// The library tells where a scalar begins but not where it ends, so the end is found here, for the style that the
// library saw. The scalar is known to be PEM and to have neither tag nor anchor.
func replaceScalar(src []byte, mapping, scalar *node, text string) ([]byte, bool) {
	rest := from(src, scalar.Line, scalar.Column)
	replacement, end := `"`+strings.ReplaceAll(text, "\n", `\n`)+`"`, 0
	switch {
	case scalar.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		replacement, end = replaceBlock(rest, mapping, text)
	case scalar.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		end = len(quoted.Find(rest))
	case scalar.Style == 0:
		end = plainEnd(rest, scalar.Value)
	}
	return slices.Concat(src[:len(src)-len(rest)], []byte(replacement), rest[end:]), end > 0
}

// from returns what begins at a position. Columns are characters, and a byte order mark at the beginning has none.
func from(src []byte, line, column int) []byte {
	rest := bytes.TrimPrefix(src, []byte("\ufeff"))
	for ; line > 1; line-- {
		rest = rest[wholeLine.FindIndex(rest)[1]:]
	}
	for ; column > 1; column-- {
		_, size := utf8.DecodeRune(rest)
		rest = rest[size:]
	}
	return rest
}

func isBreak(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) }

func isBlank(r rune) bool { return r == ' ' || r == '\t' || isBreak(r) }

// plainEnd follows the value of a plain scalar through the file, and returns where it ends there, 0 if it is another one: it
// has no escapes, and only its white space is changed.
func plainEnd(rest []byte, value string) int {
	left := rest
	for _, word := range strings.FieldsFunc(value, isBlank) {
		var found bool
		if left, found = bytes.CutPrefix(bytes.TrimLeftFunc(left, isBlank), []byte(word)); !found {
			return 0
		}
	}
	return len(rest) - len(left)
}

// replaceBlock replaces the content of a block scalar, from the line behind its header to its last line that is not
// blank, and keeps header, indentation and kind of line break. A folded one becomes literal. It returns also where the old one
// ends, 0 if it is none.
func replaceBlock(rest []byte, mapping *node, text string) (replacement string, end int) {
	lines := wholeLine.FindAll(rest, -1)
	header, indent := lines[0], 0 // not known yet
	if m := indicator.FindSubmatch(header); m != nil {
		indent = mapping.Column - 1 + int(m[1][0]-'0')
	}
	next := len(header)
	for _, line := range lines[1:] {
		content := bytes.TrimRightFunc(line, isBreak)
		if len(bytes.TrimFunc(content, isBlank)) > 0 {
			spaces := len(content) - len(bytes.TrimLeft(content, " "))
			if indent == 0 {
				indent = spaces // that of the first line counts
			}
			if spaces < indent {
				break
			}
			end = next + len(content)
		}
		next += len(line)
	}
	if indent < mapping.Column {
		return "", 0
	}
	lineBreak := string(bytes.TrimLeftFunc(header, func(r rune) bool { return !isBreak(r) }))
	if lineBreak != "\r\n" && lineBreak != "\r" {
		lineBreak = "\n"
	}
	margin := strings.Repeat(" ", indent)
	content := strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", lineBreak+margin)
	return "|" + string(header[1:]) + margin + content, end
}
