package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

// command is a simple command in a shell block, or in inline code.
type command struct {
	where string
	words []string // where the shell would put something in, there is a "*"
	input string   // what it is given as a here-document
}

// commands are all that a page tells to run: in blocks of sh, after the prompts in blocks of console, and inline.
func commands(p *page) []command {
	all, _ := read(p)
	return all
}

// Every shell block can be read by a shell.
func TestShell(t *testing.T) {
	for _, p := range pages(t) {
		_, complaints := read(p)
		for _, complaint := range complaints {
			t.Error(complaint)
		}
	}
}

// read also says what a shell could not read.
func read(p *page) (all []command, complaints []string) {
	for _, b := range p.blocks {
		script := b.content
		switch b.language {
		case "sh":
		case "console":
			script = prompted(script)
		default:
			continue
		}
		found, err := parse(p.at(b), script)
		if err != nil {
			complaints = append(complaints, fmt.Sprintf("%s: the shell can't read this: %v", p.at(b), err))
		}
		all = append(all, found...)
	}
	for _, span := range p.spans {
		if first, rest, _ := strings.Cut(span, " "); rest != "" && slices.Contains([]string{"kubectl", "make", "manager", "/manager"}, first) {
			found, err := parse(p.path, span)
			if err != nil {
				complaints = append(complaints, fmt.Sprintf("%s: the shell can't read `%s`: %v", p.path, span, err))
			}
			all = append(all, found...)
		}
	}
	return all, complaints
}

// prompted are the lines after prompts, with those that go on with one.
func prompted(session string) string {
	var script strings.Builder
	goesOn := false
	for line := range strings.Lines(session) {
		entered, prompt := strings.CutPrefix(line, "$ ")
		if prompt || goesOn {
			script.WriteString(entered)
			goesOn = strings.HasSuffix(line, "\\\n")
		}
	}
	return script.String()
}

func parse(where, script string) ([]command, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		return nil, err
	}
	var all []command
	syntax.Walk(file, func(n syntax.Node) bool {
		statement, ok := n.(*syntax.Stmt)
		if !ok {
			return true
		}
		if call, ok := statement.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			c := command{where: where}
			for _, word := range call.Args {
				c.words = append(c.words, literal(word.Parts))
			}
			for _, redirection := range statement.Redirs {
				if redirection.Hdoc != nil {
					c.input += literal(redirection.Hdoc.Parts)
				}
			}
			all = append(all, c)
		}
		return true
	})
	return all, nil
}

func literal(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(part.Value)
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			b.WriteString(literal(part.Parts))
		default:
			b.WriteString("*")
		}
	}
	return b.String()
}

// Every command of the plugin exists, with its flags; the plugin itself reads them.
func TestPluginCommands(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, c := range commands(p) {
			if len(c.words) < 2 || c.words[0] != "kubectl" || c.words[1] != "flexreg" || slices.Contains(c.words, "__complete") {
				continue
			}
			checked++
			if said, err := exec.Command(plugin, append(slices.Clone(c.words[2:]), "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %s", c.where, strings.Join(c.words, " "), said)
			}
		}
	}
	if checked == 0 {
		t.Error("the docs name no command of the plugin")
	}
}

var (
	target   = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	variable = regexp.MustCompile(`^([A-Z]+)=`)
)

// Every target that is to be made exists, and the Makefile uses every variable that is given to it.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{"TARGET": true}
	for _, match := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[match[1]] = true
	}
	for _, p := range pages(t) {
		for _, c := range commands(p) {
			if c.words[0] != "make" {
				continue
			}
			for _, word := range c.words[1:] {
				if match := variable.FindStringSubmatch(word); match != nil {
					if !strings.Contains(string(makefile), "$("+match[1]+")") {
						t.Errorf("%s: the Makefile doesn't use %s", c.where, match[1])
					}
				} else if !targets[word] {
					t.Errorf("%s: there is no target %s in the Makefile", c.where, word)
				}
			}
		}
	}
}

// Every file and directory of the repository that is named exists, in commands and in inline code.
func TestFiles(t *testing.T) {
	for _, p := range pages(t) {
		for _, c := range commands(p) {
			for _, word := range c.words {
				complain(t, c.where, word)
			}
		}
		for _, span := range p.spans {
			complain(t, p.path, span)
		}
	}
}

var file = regexp.MustCompile(`^(\./)?(api|charts|cmd|config|controllers|docs|hack|internal|test|\.ci)/[A-Za-z0-9_./*-]*$`)

func complain(t *testing.T, where, path string) {
	t.Helper()
	if file.MatchString(path) && !exists(strings.TrimSuffix(path, "/...")) {
		t.Errorf("%s: there is no %s", where, path)
	}
}

var name = regexp.MustCompile(`(?:^|[^.])(gateway\.flexops\.dev/[a-z-]+[a-z])`)

// Every annotation, label and type of Secret that is named is one that the operator knows.
func TestNames(t *testing.T) {
	known := sources(t, []string{".go", ".yaml"}, "api", "controllers", "internal", "config")
	for _, p := range pages(t) {
		for _, match := range name.FindAllStringSubmatch(string(p.source), -1) {
			if !regexp.MustCompile(regexp.QuoteMeta(match[1]) + `\b`).MatchString(known) {
				t.Errorf("%s: the operator knows no %s", p.path, match[1])
			}
		}
	}
}
