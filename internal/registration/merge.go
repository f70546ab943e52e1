package registration

import (
	"maps"
	"slices"
)

// Merge returns a copy of data in which the certificate and the key of the registration under key are from's. Every
// other byte stays: comments, order, line endings, the user's documents, other keys; and of the two scalars one that
// has from's value already. from must be of the same gateway.
//
// The result is read back before it is returned. Errors are those of Parse, CodeAgentIDMismatch, and CodeMergeFailed
// where the result would not be what it must be; data is returned only without an error, and never changed.
func Merge(data map[string][]byte, key string, from *Registration) (map[string][]byte, error) {
	old, p, err := read(data, key)
	if err != nil {
		return nil, err
	}
	if old.agentID != from.agentID {
		return nil, fail(CodeAgentIDMismatch, "the Secret holds the registration of another gateway (another agentId) by now, so nothing was written to it.").at(key, nil)
	}
	f := p.files[p.secretFile]
	var edits []edit
	for _, part := range []struct {
		scalar   *node
		old, new string
	}{{p.chain, old.chain, from.chain}, {p.key, old.key, from.key}} {
		if part.old == part.new {
			continue
		}
		e, ok := replaceScalar(f.src, p.secretMapping, part.scalar, part.new)
		if !ok {
			return nil, mergeFailed("its place in the file was not found").at(f.key, part.scalar)
		}
		edits = append(edits, e)
	}
	merged := maps.Clone(data)
	if len(edits) > 0 {
		merged[f.key] = apply(f.src, edits)
	}
	if err := checkMerged(merged, key, from, p); err != nil {
		return nil, err
	}
	return merged, nil
}

func mergeFailed(what string) *Error {
	return fail(CodeMergeFailed, "the new certificate could not be put into the file as it is written there: %s. Nothing was written. Put tls.crt and tls.key in as flexctl wrote them (block scalars).", what)
}

// apply returns src with the edits, which don't overlap.
func apply(src []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	end := 0
	for _, e := range edits {
		out = append(append(out, src[end:e.start]...), e.text...)
		end = e.end
	}
	return append(out, src[end:]...)
}

// checkMerged makes sure that merged holds from's certificate and key, and that all documents of it say otherwise
// what they said before.
func checkMerged(merged map[string][]byte, key string, from *Registration, before *place) error {
	r, after, err := read(merged, key)
	if err != nil {
		return mergeFailed("the result does not read back ("+string(CodeOf(err))+")").at(key, nil)
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
