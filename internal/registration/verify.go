package registration

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"
)

// ClockSkew is how far the platform's clock may be ahead when it issues a certificate.
const ClockSkew = 5 * time.Minute

// Verify checks a renewed registration against the one it renews: of the same gateway, with another, newer
// certificate that is valid at now, where the certificate may become valid up to ClockSkew later.
//
// Of a renewal only certificate and key are taken over. ignored names the other fields in which renewed differs from
// old (a changed URL, a new label): field paths, sorted, without values; those of the Secret document begin with
// "Secret.". A field whose name is neither a known one nor a plain lower-case one stands as "*".
func Verify(old, renewed *Registration, now time.Time) (ignored []string, err error) {
	const keep = "The registration in place was kept."
	before, after := old.certificate, renewed.certificate
	switch {
	case old.agentID != renewed.agentID:
		return nil, fail("the renewed registration has another agentId: it is that of another gateway. %s", keep)
	case before.Fingerprint == after.Fingerprint:
		return nil, fail("the renewed registration has the same certificate as before: nothing was renewed. %s", keep)
	case !after.NewerThan(before):
		return nil, fail("the renewed certificate expires %s, no later than the one it renews (%s). %s", rfc3339(after.NotAfter), rfc3339(before.NotAfter), keep)
	case after.NotBefore.After(now.Add(ClockSkew)):
		return nil, fail("the renewed certificate becomes valid only at %s. Check the clock of the operator's node. %s", rfc3339(after.NotBefore), keep)
	case !now.Before(after.NotAfter):
		return nil, fail("the renewed certificate has expired at %s. Check the clock of the operator's node. %s", rfc3339(after.NotAfter), keep)
	}
	ignored = append(difference(old.config, renewed.config, ""), difference(old.secret, renewed.secret, "Secret")...)
	ignored = slices.DeleteFunc(ignored, func(path string) bool {
		return path == "Secret.spec.tls.crt" || path == "Secret.spec.tls.key"
	})
	slices.Sort(ignored)
	return slices.Compact(ignored), nil
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// difference returns the paths below which two nodes differ: mappings field by field, all else as a whole.
func difference(a, b *node, path string) (paths []string) {
	if a == nil || b == nil || a.Kind != yaml.MappingNode || b.Kind != yaml.MappingNode {
		if a == nil || b == nil || !sameNodes(a, b) {
			paths = append(paths, path)
		}
		return paths
	}
	for i := 0; i < len(a.Content); i += 2 {
		field := a.Content[i].Value
		paths = append(paths, difference(a.Content[i+1], child(b, field), join(path, field))...)
	}
	for i := 0; i < len(b.Content); i += 2 {
		if field := b.Content[i].Value; child(a, field) == nil {
			paths = append(paths, join(path, field))
		}
	}
	return paths
}

// knownFields are the vendor's field names that are not plain lower-case ones.
var knownFields = []string{"apiVersion", "platformConnection", "agentId", "certificateRef", "assetName", "meteringSchemaId"}

func join(path, field string) string {
	if !isPlainName(field) && !slices.Contains(knownFields, field) {
		field = "*"
	}
	if path == "" {
		return field
	}
	return path + "." + field
}
