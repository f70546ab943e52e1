package registration

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// edit replaces src[start:end].
type edit struct {
	start, end int
	text       string
}

// replaceScalar finds the bytes of a scalar, a value of mapping, and what to put there so that it reads as text. It
// is false if the bytes are not where the library's position says.
//
// The library tells where a scalar begins but not where it ends, so the end is found here, for the style that the
// library saw. The scalar is known to be PEM and to have neither tag nor anchor.
func replaceScalar(src []byte, mapping, scalar *node, text string) (edit, bool) {
	start, ok := offset(src, scalar.Line, scalar.Column)
	if !ok {
		return edit{}, false
	}
	indicator, end := src[start], -1
	switch {
	case scalar.Style&yaml.LiteralStyle != 0 && indicator == '|', scalar.Style&yaml.FoldedStyle != 0 && indicator == '>':
		return replaceBlock(src, start, mapping, text)
	case scalar.Style&yaml.DoubleQuotedStyle != 0 && indicator == '"':
		end = doubleQuotedEnd(src, start)
	case scalar.Style&yaml.SingleQuotedStyle != 0 && indicator == '\'':
		end = singleQuotedEnd(src, start)
	case scalar.Style == 0:
		end = plainEnd(src, start, scalar.Value)
	}
	return edit{start, end, `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`}, end > 0
}

// offset returns the byte of a position. Lines are those of YAML 1.1, which the library counts by; columns are
// characters, and a byte order mark at the beginning has none.
func offset(src []byte, line, column int) (int, bool) {
	i := 0
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		i = len("\ufeff")
	}
	for ; line > 1; line-- {
		_, next := lineEnd(src, i)
		i = next
	}
	for ; column > 1 && i < len(src); column-- {
		_, size := utf8.DecodeRune(src[i:])
		i += size
	}
	return i, i < len(src)
}

// lineEnd returns where the line around byte i ends, and where the next one begins.
func lineEnd(src []byte, i int) (end, next int) {
	for i < len(src) {
		switch r, size := utf8.DecodeRune(src[i:]); {
		case r == '\r' && i+1 < len(src) && src[i+1] == '\n':
			return i, i + 2
		case isBreak(r):
			return i, i + size
		default:
			i += size
		}
	}
	return len(src), len(src)
}

func isBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029'
}

func doubleQuotedEnd(src []byte, start int) int {
	for i := start + 1; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func singleQuotedEnd(src []byte, start int) int {
	for i := start + 1; i < len(src); i++ {
		if src[i] != '\'' {
			continue
		}
		if i+1 == len(src) || src[i+1] != '\'' {
			return i + 1
		}
		i++ // '' is a quote
	}
	return -1
}

// plainEnd follows the value of a plain scalar through src: it has no escapes, and only its white space is changed.
func plainEnd(src []byte, start int, value string) int {
	i := start
	for _, want := range value {
		if isBlank(want) {
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		for size > 0 && isBlank(r) {
			i += size
			r, size = utf8.DecodeRune(src[i:])
		}
		if r != want {
			return -1
		}
		i += size
	}
	return i
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || isBreak(r) }

// replaceBlock replaces the content of a block scalar, from the line behind its header to its last line that is not
// blank, and keeps header, indentation and kind of line break. A folded one becomes literal.
func replaceBlock(src []byte, start int, mapping *node, text string) (edit, bool) {
	header, first := lineEnd(src, start)
	lineBreak := string(src[header:first])
	if lineBreak != "\r\n" && lineBreak != "\r" {
		lineBreak = "\n"
	}
	indent := 0 // not known yet
	if i := bytes.IndexAny(src[start+1:min(start+3, header)], "123456789"); i >= 0 {
		indent = mapping.Column - 1 + int(src[start+1+i]-'0')
	}
	end := -1
	for line := first; line < len(src); {
		stop, next := lineEnd(src, line)
		spaces := stop - line - len(bytes.TrimLeft(src[line:stop], " "))
		blank := len(bytes.TrimFunc(src[line:stop], isBlank)) == 0
		if !blank && indent == 0 {
			indent = spaces // that of the first line counts
		}
		if !blank && spaces < indent {
			break
		}
		if !blank {
			end = stop
		}
		line = next
	}
	if end < 0 || indent < mapping.Column {
		return edit{}, false
	}
	margin := strings.Repeat(" ", indent)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	content := margin + strings.Join(lines, lineBreak+margin)
	return edit{start, end, "|" + string(src[start+1:first]) + content}, true
}
