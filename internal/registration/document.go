package registration

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds that keep hostile input cheap. A registration nests four levels deep and has some thirty nodes.
const (
	maxDepth     = 100  // levels, of any document
	maxDocuments = 1000 // in one file
	maxNodes     = 1000 // in one of the registration's own documents
)

type node = yaml.Node

// version12 is a directive that the library refuses, although it reads YAML 1.2: it is given the older one, of the same
// length.
var version12 = regexp.MustCompile(`(?m)^(\x{feff}?%YAML +1\.)2`)

// file is one loaded file: the root of each document, in order.
type file struct {
	key  string
	src  []byte
	docs []*node
}

// load reads src into nodes. Nothing is decoded further, so aliases stay single nodes and are never expanded.
func load(key string, src []byte) (f file, err error) {
	if len(src) > MaxSize {
		return file{}, fail(CodeTooLarge, "the file has %d bytes, more than the %d allowed for a registration. Move documents of your own to a file (Secret key) of their own.", len(src), MaxSize).at(key, nil)
	}
	if !utf8.Valid(src) {
		return file{}, fail(CodeNotYAML, "the file is not UTF-8 text. Put the file in as flexctl wrote it.").at(key, nil)
	}
	// The library is known to have panicked on odd input; one gateway's file must not stop the operator.
	defer func() {
		if recover() != nil {
			f, err = file{}, fail(CodeNotYAML, "the file cannot be read as YAML. Put the file in as flexctl wrote it.").at(key, nil)
		}
	}()
	f = file{key: key, src: src}
	text := version12.ReplaceAll(src, []byte("${1}1"))
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return file{}, fail(CodeNotYAML, "the YAML reader could not be set up").at(key, nil)
	}
	for {
		var doc node
		switch err := loader.Load(&doc); {
		case errors.Is(err, io.EOF):
			return f, nil
		case err != nil:
			return file{}, syntaxError(err).at(key, nil)
		case len(f.docs) == maxDocuments:
			return file{}, fail(CodeTooLarge, "the file has more than %d documents. Move documents of your own to a file (Secret key) of their own.", maxDocuments).at(key, nil)
		}
		f.docs = append(f.docs, doc.Content[0])
	}
}

// syntaxError takes the position from the library's error, and only that: its text quotes the file.
func syntaxError(err error) *Error {
	e := fail(CodeNotYAML, "the file is not valid YAML, or nests deeper than %d levels. Correct it there, or put the file in as flexctl wrote it.", maxDepth)
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		e.Line, e.Column = load.Mark.Line, load.Mark.Column
	}
	return e
}

// isEmpty tells whether the file has no content but comments and document markers.
func (f file) isEmpty() bool {
	return !slices.ContainsFunc(f.docs, func(n *node) bool { return n.Kind != yaml.ScalarNode || n.Value != "" })
}

// values returns all values of a mapping's field, looking through aliases and including those of duplicate keys:
// whatever some reader of the file might take for the field's value.
func values(mapping *node, field string) (all []*node) {
	if mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if k := resolve(mapping.Content[i]); k.Kind == yaml.ScalarNode && k.Value == field {
			all = append(all, resolve(mapping.Content[i+1]))
		}
	}
	return all
}

func resolve(n *node) *node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// child returns the node at a path of fields, nil if there is none.
func child(n *node, path ...string) *node {
	for _, field := range path {
		all := values(n, field)
		if len(all) == 0 {
			return nil
		}
		n = all[0]
	}
	return n
}

// scalar returns the text at a path of fields, "" if there is none or it is null.
func scalar(n *node, path ...string) string {
	if n = child(n, path...); n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// checkPlain refuses, in the registration's own documents, all of YAML that different readers understand differently
// or that makes one place of the file mean another: what is validated here must be what the gateway and flexctl see.
func checkPlain(root *node) *Error {
	count := 0
	var check func(n *node) *Error
	check = func(n *node) *Error {
		count++
		problem, fields := "", map[string]bool{}
		switch {
		case n.Kind == yaml.AliasNode:
			problem = "an alias (*name)"
		case n.Anchor != "":
			problem = "an anchor (&name)"
		case n.Style&yaml.TaggedStyle != 0 || n.Tag == "!":
			problem = "a tag (!name)"
		case n.Tag == "!!merge":
			problem = "a merge key (<<)"
		case count > maxNodes:
			problem = "absurdly many fields"
		}
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && problem == "" {
				if c.Kind == yaml.MappingNode || c.Kind == yaml.SequenceNode {
					problem = "a field whose name is no string"
				} else if fields[c.Value] {
					problem, n = "a field twice", c
				}
				fields[c.Value] = true
			}
			if problem != "" {
				break
			}
			if err := check(c); err != nil {
				return err
			}
		}
		if problem == "" {
			return nil
		}
		return fail(CodeUnsupportedYAML, "the registration's own documents must be plain YAML, but here is %s. Write it out; documents of your own may use it.", problem).at("", n)
	}
	return check(root)
}

// plainText is what reads as itself without quotes in every YAML reader.
var plainText = regexp.MustCompile(`^[a-zA-Z0-9]([-+._/:a-zA-Z0-9]*[/a-zA-Z0-9])?$`)

// normalised returns a copy of a plain document without positions, comments and the choice of style. Whether a scalar
// was quoted stays: readers of YAML 1.1 take a plain yes for a boolean.
func normalised(n *node) *node {
	c := &node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && (n.Style != 0 || !plainText.MatchString(n.Value)) {
		c.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, normalised(child))
	}
	return c
}

func copied(n *node) *node {
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, copied(child))
	}
	return &c
}

// sameNodes compares what two documents say: not comments, styles and positions.
func sameNodes(a, b *node) bool {
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor &&
		slices.EqualFunc(a.Content, b.Content, sameNodes)
}

// marshal writes documents as one file, and makes sure that reading it gives them again. It gives the library copies,
// because Dump takes the tags off what it writes.
func marshal(docs ...*node) ([]byte, *Error) {
	var b bytes.Buffer
	for i, doc := range docs {
		if i > 0 {
			b.WriteString("---\n")
		}
		text, err := yaml.Dump(copied(doc), yaml.WithIndent(4), yaml.WithLineWidth(-1))
		if err != nil {
			return nil, fail(CodeUnsupportedYAML, "the registration's own documents cannot be written back as YAML. Put the file in as flexctl wrote it.")
		}
		b.Write(text)
	}
	again, err := load("", b.Bytes())
	if CodeOf(err) == CodeTooLarge {
		return nil, fail(CodeTooLarge, "the registration's own documents have more than the %d bytes allowed. Put the file in as flexctl wrote it.", MaxSize)
	}
	if err != nil || !slices.EqualFunc(again.docs, docs, sameNodes) {
		return nil, fail(CodeUnsupportedYAML, "the registration's own documents cannot be written back unchanged as YAML. Put the file in as flexctl wrote it.")
	}
	return b.Bytes(), nil
}
