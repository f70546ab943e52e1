package kubelet

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// translator knows where on this machine is what a container finds at a path.
type translator struct {
	places []place // that with the longest path in the container first
}

type place struct {
	container, local string
	shared           bool // what is there is not the pod's own
}

func newTranslator(places []place) translator {
	places = slices.DeleteFunc(slices.Clone(places), func(p place) bool { return !path.IsAbs(p.container) || path.Clean(p.container) == "/" })
	for i := range places {
		places[i].container = path.Clean(places[i].container)
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(len(b.container), len(a.container)) })
	return translator{places: places}
}

// toLocal replaces each of the container's paths in a text, in one pass: the result may contain such a path too.
func (t translator) toLocal(text string) string {
	var result strings.Builder
	for i := 0; i < len(text); {
		p, ok := t.at(text, i)
		if !ok {
			result.WriteByte(text[i])
			i++
			continue
		}
		result.WriteString(p.local)
		i += len(p.container)
	}
	return result.String()
}

// at returns the place whose path begins in the text there, at boundaries of a path.
func (t translator) at(text string, i int) (place, bool) {
	if text[i] != '/' || i > 0 && (text[i-1] == '/' || inName(text[i-1])) {
		return place{}, false
	}
	for _, p := range t.places {
		if rest, ok := strings.CutPrefix(text[i:], p.container); ok && (rest == "" || !inName(rest[0])) {
			return p, true
		}
	}
	return place{}, false
}

func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.~%", c) >= 0
}

// toContainer is the way back, for what the container says. Only the pod's own places are unmistakable.
func (t translator) toContainer(text string) string {
	places := slices.DeleteFunc(slices.Clone(t.places), func(p place) bool { return p.shared })
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(len(b.local), len(a.local)) })
	for _, p := range places {
		text = strings.ReplaceAll(text, p.local, p.container)
	}
	return text
}
