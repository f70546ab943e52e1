package docs

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// online is where the repository's files are for those who have no clone.
const online = "https://github.com/flexops/flex-registration-operator/blob/main/"

// Every link to something in the repository leads there, and to a heading that exists.
func TestLinks(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		for _, link := range p.links {
			if complaint := resolve(all, p.path, link); complaint != "" {
				t.Errorf("%s: the link %s %s", p.path, link, complaint)
			}
		}
	}
}

// Every page can be reached from the README.
func TestNoPageIsLost(t *testing.T) {
	all := pages(t)
	reached, next := map[string]bool{}, []string{"README.md"}
	for len(next) > 0 {
		p := all[next[0]]
		next = next[1:]
		if p == nil || reached[p.path] {
			continue
		}
		reached[p.path] = true
		for _, link := range p.links {
			if file, _, _ := strings.Cut(link, "#"); file != "" && !strings.Contains(file, ":") {
				next = append(next, path.Join(path.Dir(p.path), file))
			}
		}
	}
	for name := range all {
		if !reached[name] {
			t.Errorf("no link leads to %s", name)
		}
	}
}

var runbook = regexp.MustCompile(`runbook_url: *"?([^\s"]+)`)

// Every alert's runbook is there.
func TestRunbooks(t *testing.T) {
	found := runbook.FindAllStringSubmatch(sources(t, []string{".yaml"}, "config/prometheus"), -1)
	if len(found) == 0 {
		t.Fatal("no alert names a runbook")
	}
	all := pages(t)
	for _, match := range found {
		if !strings.HasPrefix(match[1], online) {
			t.Errorf("the runbook %s is not below %s", match[1], online)
		} else if complaint := resolve(all, "", match[1]); complaint != "" {
			t.Errorf("the runbook %s %s", match[1], complaint)
		}
	}
}

// resolve says what is wrong with a link on the page from, or nothing.
func resolve(all map[string]*page, from, link string) string {
	link, ours := strings.CutPrefix(link, online)
	u, err := url.Parse(link)
	if err != nil {
		return "can't be read"
	}
	if u.Scheme != "" {
		return ""
	}
	target := from
	if u.Path != "" {
		target = path.Join(path.Dir(from), u.Path)
		if ours {
			target = u.Path
		}
	}
	switch p := all[target]; {
	case !exists(target):
		return "leads to nothing"
	case u.Fragment != "" && p != nil && !p.anchors[u.Fragment]:
		return "leads to no heading of " + target
	}
	return ""
}
