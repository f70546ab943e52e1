package registration

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Merge returns a copy of data in which the certificate and the key of the registration under key are from's. Every
// other byte stays: comments, order, line endings, the user's documents, other keys; and of the two scalars one that
// has from's value already. from must be of the same gateway.
//
// The result is read back before it is returned. It is an error, besides those of Parse, if from is of another gateway, and if
// the result would not be what it must be; data is returned only without an error, and never changed.
func Merge(data map[string][]byte, key string, from *Registration) (map[string][]byte, error) {
	old, p, err := read(data, key)
	if err != nil {
		return nil, err
	}
	if old.agentID != from.agentID {
		return nil, fail("the Secret holds the registration of another gateway (another agentId) by now, so nothing was written to it.").at(key, nil)
	}
	type part struct {
		scalar   *node
		old, new string
	}
	parts := []part{{p.chain, old.chain, from.chain}, {p.key, old.key, from.key}}
	// The one further down comes first, so that the other one stays where it is.
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(b.scalar.Line-a.scalar.Line, b.scalar.Column-a.scalar.Column)
	})
	src := p.secret.src
	for _, part := range parts {
		if part.old == part.new {
			continue
		}
		replaced, ok := replaceScalar(src, child(p.secret.root, "spec"), part.scalar, part.new)
		if !ok {
			return nil, mergeFailed("its place in the file was not found").at(p.secret.key, part.scalar)
		}
		src = replaced
	}
	merged := maps.Clone(data)
	merged[p.secret.key] = src
	if err := checkMerged(merged, key, from, p); err != nil {
		return nil, err
	}
	return merged, nil
}

func mergeFailed(what string) *Error {
	return fail("the new certificate could not be put into the file as it is written there: %s. Nothing was written. Put tls.crt and tls.key in as flexctl wrote them (block scalars).", what)
}

// checkMerged makes sure that merged holds from's certificate and key, and that all documents of it say otherwise
// what they said before.
func checkMerged(merged map[string][]byte, key string, from *Registration, before *place) error {
	r, after, err := read(merged, key)
	if err != nil {
		return mergeFailed("the result does not read back: "+strings.TrimSuffix(err.Error(), ".")).at(key, nil)
	}
	if r.chain != from.chain || r.key != from.key || r.certificate != from.certificate || r.agentID != from.agentID {
		return mergeFailed("the result reads back as another registration").at(key, nil)
	}
	after.chain.Value, after.key.Value = before.chain.Value, before.key.Value
	for i, f := range before.files {
		if !slices.EqualFunc(f.docs, after.files[i].docs, sameNodes) {
			return mergeFailed("the rest of the file would read back differently").at(f.key, nil)
		}
	}
	return nil
}
