package registration

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v4"
)

const apiGroup = "gateway.mulesoft.com/"

// place is where a registration stands: its files, and the nodes of its parts in them.
type place struct {
	files         []file // the registration's, and the split layout's second one where there is one
	config        *node  // root of the Configuration document, in files[0]
	secret        *node  // root of the Secret document
	secretFile    int    // index in files
	chain, key    *node  // the scalars tls.crt and tls.key
	secretMapping *node  // the mapping that holds them
}

// Parse reads the registration out of the data of a Kubernetes Secret (file name to content). key names the file;
// where the registration is split in two, the second is CertificateKey of the same data. All errors are an Error.
func Parse(data map[string][]byte, key string) (*Registration, error) {
	r, _, err := read(data, key)
	return r, err
}

func read(data map[string][]byte, key string) (*Registration, *place, error) {
	files, err := loadFiles(data, key)
	if err != nil {
		return nil, nil, err
	}
	p := &place{files: files}
	if err := p.findConfig(); err != nil {
		return nil, nil, err
	}
	r := &Registration{config: normalised(p.config)}
	if err := r.readConnection(child(p.config, "spec", "platformConnection")); err != nil {
		err.Key = key
		return nil, nil, err
	}
	if err := p.findSecret(); err != nil {
		return nil, nil, err
	}
	if err := r.readPair(p); err != nil {
		return nil, nil, err
	}
	return r, p, nil
}

func loadFiles(data map[string][]byte, key string) ([]file, error) {
	content, found := data[key]
	switch {
	case isLegacy(data, key, found):
		return nil, fail(CodeLegacyLayout, "these are the files of Flex Gateway 1.0 (.conf, .key, .pem). Run `flexctl migrate` on them and put in the registration.yaml that it makes.").at(key, nil)
	case !found:
		return nil, fail(CodeNoSuchKey, "the Secret has no such key; it has: %s. Name the key that holds the registration, or put the file in under this one.", keyNames(data)).at(key, nil)
	}
	// Sizes come first: nothing is parsed for data that will be refused.
	second, split := data[CertificateKey]
	split = split && key != CertificateKey
	if split && len(second) > MaxSize {
		_, err := load(CertificateKey, second)
		return nil, err
	}
	first, err := load(key, content)
	if err != nil {
		return nil, err
	}
	if first.isEmpty() {
		return nil, fail(CodeEmpty, "the file is empty, which is what an aborted registration leaves. Run `flexctl registration create` again and put in the file that it makes.").at(key, nil)
	}
	if !split {
		return []file{first}, nil
	}
	other, err := load(CertificateKey, second)
	return []file{first, other}, err
}

// isLegacy recognises the layout of Flex Gateway 1.0: three files named platform or after the gateway's UUID.
func isLegacy(data map[string][]byte, key string, found bool) bool {
	legacy := func(name string) bool {
		base, _, _ := strings.Cut(name, ".")
		_, err := uuid.Parse(base)
		return (base == "platform" || err == nil) && slices.Contains([]string{".conf", ".key", ".pem"}, name[len(base):])
	}
	if found {
		return legacy(key)
	}
	return slices.ContainsFunc(slices.Collect(maps.Keys(data)), legacy)
}

// keyNames lists the keys of a Secret for a message.
func keyNames(data map[string][]byte) string {
	const most = 10
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(data)), func(k string) bool { return !secretKey.MatchString(k) })
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// isKind tells whether a document is, to some reader of the file, the gateway's document of a kind.
func isKind(root *node, kind string) bool {
	version := func(n *node) bool { return strings.HasPrefix(n.Value, apiGroup) && n.Value != apiGroup }
	return slices.ContainsFunc(values(root, "apiVersion"), version) &&
		slices.ContainsFunc(values(root, "kind"), func(n *node) bool { return n.Value == kind })
}

// findConfig finds the one Configuration document with a platform connection.
func (p *place) findConfig() error {
	for i, f := range p.files {
		for _, root := range f.docs {
			isConnection := func(spec *node) bool {
				return slices.ContainsFunc(values(spec, "platformConnection"), func(n *node) bool { return n.Kind == yaml.MappingNode })
			}
			if !isKind(root, "Configuration") || !slices.ContainsFunc(values(root, "spec"), isConnection) {
				continue
			}
			if p.config != nil {
				return fail(CodeAmbiguous, "this is the second document with a platformConnection, and which one the gateway takes is unknown. Keep one registration per Secret key.").at(f.key, root)
			}
			if i == 0 {
				p.config = root
			}
		}
	}
	if p.config == nil {
		return fail(CodeNoPlatformConnection, "no document is a registration (apiVersion gateway.mulesoft.com/…, kind Configuration, with spec.platformConnection). Put in the file that `flexctl registration create` made.").at(p.files[0].key, nil)
	}
	if err := checkPlain(p.config); err != nil {
		err.Key = p.files[0].key
		return err
	}
	return nil
}

// readConnection takes over what the registration says about the gateway.
func (r *Registration) readConnection(connection *node) *Error {
	id, err := uuid.Parse(scalar(connection, "agentId"))
	if err != nil || len(scalar(connection, "agentId")) != len(id.String()) {
		position := child(connection, "agentId")
		if position == nil {
			position = connection
		}
		return fail(CodeInvalidAgentID, "spec.platformConnection.agentId is missing or no UUID. Put the file in as flexctl wrote it.").at("", position)
	}
	r.agentID = id.String()
	r.name = scalar(connection, "assetName")
	if err := checkURLs(connection); err != nil {
		return err
	}
	var problem *Error
	r.anypointURL, problem = anypointURL(connection)
	return problem
}

// findSecret follows certificateRef to the one Secret document of that name, and its scalars.
func (p *place) findSecret() error {
	const remedy = "Put the file in as flexctl wrote it; a split registration needs " + CertificateKey + " in the same Secret."
	key := p.files[0].key
	connection := child(p.config, "spec", "platformConnection")
	ref := child(connection, "certificateRef")
	if ref == nil {
		return fail(CodeBrokenReference, "spec.platformConnection.certificateRef is missing. %s", remedy).at(key, connection)
	}
	name := scalar(ref, "name")
	if scalar(ref, "kind") != "Secret" || name == "" {
		return fail(CodeBrokenReference, "spec.platformConnection.certificateRef must have the kind Secret and a name. %s", remedy).at(key, ref)
	}
	quoted := ""
	if isPlainName(name) {
		quoted = " " + name
	}
	for i, f := range p.files {
		for _, root := range f.docs {
			isNamed := func(metadata *node) bool {
				return slices.ContainsFunc(values(metadata, "name"), func(n *node) bool { return n.Value == name })
			}
			if !isKind(root, "Secret") || !slices.ContainsFunc(values(root, "metadata"), isNamed) {
				continue
			}
			if p.secret != nil {
				return fail(CodeAmbiguous, "this is the second Secret document%s, and which one the gateway takes is unknown. Keep one.", quoted).at(f.key, root)
			}
			p.secret, p.secretFile = root, i
		}
	}
	if p.secret == nil {
		return fail(CodeBrokenReference, "certificateRef leads nowhere: there is no Secret document%s. %s", quoted, remedy).at(key, ref)
	}
	key = p.files[p.secretFile].key
	if err := checkPlain(p.secret); err != nil {
		err.Key = key
		return err
	}
	p.secretMapping = child(p.secret, "spec")
	p.chain, p.key = child(p.secret, "spec", "tls.crt"), child(p.secret, "spec", "tls.key")
	for _, n := range []*node{p.chain, p.key} {
		if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			return fail(CodeBrokenReference, "the Secret document%s needs both spec.tls.crt and spec.tls.key. %s", quoted, remedy).at(key, p.secret)
		}
	}
	return nil
}

// readPair takes over certificate and key, and the documents as they will be written.
func (r *Registration) readPair(p *place) error {
	key := p.files[p.secretFile].key
	chain, chainPEM, err := parseChain(p.chain.Value)
	if err != nil {
		return err.at(key, p.chain)
	}
	public, keyPEM, err := parseKey(p.key.Value)
	if err != nil {
		return err.at(key, p.key)
	}
	if r.certificate, err = leaf(chain, public); err != nil {
		return err.at(key, p.key)
	}
	r.chain, r.key = chainPEM, keyPEM
	r.secret = normalised(p.secret)
	for field, text := range map[string]string{"tls.crt": chainPEM, "tls.key": keyPEM} {
		n := child(r.secret, "spec", field)
		n.Tag, n.Value, n.Style = "!!str", text, yaml.LiteralStyle
	}
	if r.documents, err = marshal(r.config, r.secret); err != nil {
		return err.at(p.files[0].key, nil)
	}
	return nil
}
