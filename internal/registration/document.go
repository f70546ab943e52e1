package registration

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sync"
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

// large guards the reading of files of more than largeSize, bytes: hostile ones take four hundred times their size for a moment, so
// that several at once would be more than a process may have. Registrations are smaller.
var large sync.Mutex

const largeSize = 16 << 10

// file is one loaded file: the root of each document, in order.
type file struct {
	key  string
	src  []byte
	docs []*node
}

// load reads the documents of a file into nodes. Nothing is decoded further, so aliases stay single nodes and are never expanded.
func load(src []byte) (docs []*node, err *Error) {
	if !utf8.Valid(src) {
		return nil, fail("the file is not UTF-8 text. Put the file in as flexctl wrote it.")
	}
	if len(src) > largeSize {
		large.Lock()
		defer large.Unlock()
	}
	// The library is known to have panicked on odd input; one gateway's file must not stop the operator.
	defer func() {
		if recover() != nil {
			docs, err = nil, fail("the file cannot be read as YAML. Put the file in as flexctl wrote it.")
		}
	}()
	text := version12.ReplaceAll(src, []byte("${1}1"))
	loader, failed := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	for failed == nil {
		var root node
		if failed = loader.Load(&root); failed != nil {
			break
		}
		if len(docs) == maxDocuments {
			return nil, fail("the file has more than %d documents. Move documents of your own to a file (Secret key) of their own.", maxDocuments)
		}
		docs = append(docs, root.Content[0])
	}
	if errors.Is(failed, io.EOF) {
		return docs, nil
	}
	invalid := fail("the file is not valid YAML, or nests deeper than %d levels. Correct it there, or put the file in as flexctl wrote it.", maxDepth)
	// Only the position is taken from the library's error: its text quotes the file.
	if at, ok := errors.AsType[*yaml.LoadError](failed); ok {
		invalid.Line, invalid.Column = at.Mark.Line, at.Mark.Column
	}
	return nil, invalid
}

// isEmpty tells whether the file has no content but comments and document markers.
func (f file) isEmpty() bool {
	return !slices.ContainsFunc(f.docs, func(n *node) bool { return n.Kind != yaml.ScalarNode || n.Value != "" })
}

// holds says that a node at a path of fields is as it is wanted: any of those that some reader of the file might take, looking
// through aliases and including those of duplicate fields.
func holds(n *node, wanted func(*node) bool, path ...string) bool {
	if len(path) == 0 {
		return wanted(n)
	}
	name, below := path[0], path[1:]
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		field, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		if field.Kind == yaml.ScalarNode && field.Value == name && holds(value, wanted, below...) {
			return true
		}
	}
	return false
}

func resolve(n *node) *node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// child returns the first node at a path of fields, nil if there is none.
func child(n *node, path ...string) (first *node) {
	holds(n, func(n *node) bool { first = n; return true }, path...)
	return first
}

// isText tells whether there is a scalar that is not null.
func isText(n *node) bool { return n != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!null" }

// scalar returns the text at a path of fields, "" if there is none or it is null.
func scalar(n *node, path ...string) string {
	if n = child(n, path...); isText(n) {
		return n.Value
	}
	return ""
}

// walk visits a node and those below it, until one is refused, and tells of one that names a field of which mapping. It follows no
// aliases.
func walk(n, fieldOf *node, visit func(n, fieldOf *node) *Error) *Error {
	err := visit(n, fieldOf)
	for i := 0; err == nil && i < len(n.Content); i++ {
		fieldOf = nil
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			fieldOf = n
		}
		err = walk(n.Content[i], fieldOf, visit)
	}
	return err
}

// checkPlain refuses, in one of the registration's own documents, all of YAML that different readers understand differently
// or that makes one place of the file mean another: what is validated here must be what the gateway and flexctl see.
func (d document) checkPlain() *Error {
	type field struct {
		of   *node
		name string
	}
	seen, count := map[field]bool{}, 0
	return walk(d.root, nil, func(n, fieldOf *node) *Error {
		count++
		this := field{fieldOf, n.Value}
		var problem string
		switch {
		case fieldOf != nil && (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode):
			problem, n = "a field whose name is no string", fieldOf
		case fieldOf != nil && seen[this]:
			problem = "a field twice"
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
		default:
			seen[this] = true
			return nil
		}
		return fail("the registration's own documents must be plain YAML, but here is %s. Write it out; documents of your own may use it.", problem).at(d.key, n)
	})
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
	var copies []*node
	for _, doc := range docs {
		copies = append(copies, copied(doc))
	}
	text, err := yaml.Dump(copies, yaml.WithAllDocuments(), yaml.WithIndent(4), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fail("the registration's own documents cannot be written back as YAML. Put the file in as flexctl wrote it.")
	}
	if len(text) > MaxSize {
		return nil, fail("the registration's own documents have more than the %d bytes allowed. Put the file in as flexctl wrote it.", MaxSize)
	}
	if again, err := load(text); err != nil || !slices.EqualFunc(again, docs, sameNodes) {
		return nil, fail("the registration's own documents cannot be written back unchanged as YAML. Put the file in as flexctl wrote it.")
	}
	return text, nil
}
