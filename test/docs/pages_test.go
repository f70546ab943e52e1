// Package docs holds what users read to what the code does: that links lead somewhere, that commands, flags and files exist, and that
// manifests are accepted.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

const root = "../.."

// page is one Markdown file.
type page struct {
	path    string // from the repository's root
	source  []byte
	anchors map[string]bool // as GitHub makes them of headings
	links   []string
	spans   []string // inline code
	blocks  []block
}

type block struct {
	language, content string
	line              int // of its first line, from 1
}

// at is where a block is, for messages.
func (p *page) at(b block) string { return fmt.Sprintf("%s:%d", p.path, b.line) }

// pages are all that users and contributors read, by their path.
func pages(t *testing.T) map[string]*page {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*page{}
	for _, path := range append(paths, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p := markdown(source)
		if p.path, err = filepath.Rel(root, path); err != nil {
			t.Fatal(err)
		}
		all[p.path] = p
	}
	return all
}

func markdown(source []byte) *page {
	p := &page{source: source, anchors: map[string]bool{}}
	document := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // The function never fails.
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.anchor(content(n, source))
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		case *ast.CodeSpan:
			p.spans = append(p.spans, strings.Join(strings.Fields(content(n, source)), " "))
		case *ast.FencedCodeBlock:
			if n.Lines().Len() > 0 {
				line := strings.Count(string(source[:n.Lines().At(0).Start]), "\n") + 1
				p.blocks = append(p.blocks, block{language: string(n.Language(source)), content: string(n.Lines().Value(source)), line: line})
			}
		}
		return ast.WalkContinue, nil
	})
	return p
}

// content is the text in a node.
func content(n ast.Node, source []byte) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
			if t.SoftLineBreak() {
				b.WriteByte('\n')
			}
			continue
		}
		b.WriteString(content(child, source))
	}
	return b.String()
}

var dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchor adds that of a heading, as GitHub makes it.
func (p *page) anchor(heading string) {
	plain := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
	name := plain
	for n := 1; p.anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", plain, n)
	}
	p.anchors[name] = true
}

// exists says whether there is such a file or directory in the repository. The path may have wildcards.
func exists(path string) bool {
	found, err := filepath.Glob(filepath.Join(root, path))
	return err == nil && len(found) > 0
}

// sources are the contents of all files below some directories whose names end in one of the suffixes.
func sources(t *testing.T, suffixes []string, directories ...string) string {
	t.Helper()
	var all strings.Builder
	for _, directory := range directories {
		err := filepath.WalkDir(filepath.Join(root, directory), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, suffix := range suffixes {
				if strings.HasSuffix(path, suffix) {
					content, err := os.ReadFile(path)
					all.Write(content)
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
