package registration

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v4"
)

const apiGroup = "gateway.mulesoft.com/"

// place is where a registration stands: its files, and its parts in them.
type place struct {
	files          []file // the registration's, and the split layout's second one where there is one
	config, secret document
	chain, key     *node // the scalars tls.crt and tls.key
}

// document is one of the registration's own documents, in its file.
type document struct {
	file
	root *node
}

// Parse reads the registration out of the data of a Kubernetes Secret (file name to content). key names the file;
// where the registration is split in two, the second is CertificateKey of the same data. All errors are an Error.
func Parse(data map[string][]byte, key string) (*Registration, error) {
	r, _, err := read(data, key)
	return r, err
}

func read(data map[string][]byte, key string) (*Registration, *place, error) {
	r, p := &Registration{}, &place{}
	var err *Error
	if p.files, err = loadFiles(data, key); err != nil {
		return nil, nil, err
	}
	for _, step := range []func(*place) *Error{r.readConnection, (*place).findPair, r.readPair} {
		if err := step(p); err != nil {
			return nil, nil, err
		}
	}
	return r, p, nil
}

func loadFiles(data map[string][]byte, key string) (files []file, _ *Error) {
	keys := slices.Sorted(maps.Keys(data))
	_, found := data[key]
	switch {
	case isLegacy(key) && found, !found && slices.ContainsFunc(keys, isLegacy):
		return nil, fail("these are the files of Flex Gateway 1.0 (.conf, .key, .pem). Run `flexctl migrate` on them and put in the registration.yaml that it makes.").at(key, nil)
	case !found:
		return nil, fail("the Secret has no such key; it has: %s. Name the key that holds the registration, or put the file in under this one.", listed(keys)).at(key, nil)
	}
	names := []string{key}
	if _, split := data[CertificateKey]; split && key != CertificateKey {
		names = append(names, CertificateKey)
	}
	for _, name := range names { // Sizes come first: nothing is parsed for data that will be refused.
		if size := len(data[name]); size > MaxSize {
			return nil, fail("the file has %d bytes, more than the %d allowed for a registration. Move documents of your own to a file (Secret key) of their own.", size, MaxSize).at(name, nil)
		}
	}
	for _, name := range names {
		docs, err := load(data[name])
		if err != nil {
			return nil, err.at(name, nil)
		}
		f := file{key: name, src: data[name], docs: docs}
		if name == key && f.isEmpty() {
			return nil, fail("the file is empty, which is what an aborted registration leaves. Run `flexctl registration create` again and put in the file that it makes.").at(key, nil)
		}
		files = append(files, f)
	}
	return files, nil
}

// isLegacy recognises a file of Flex Gateway 1.0: of its three, which are named platform or after the gateway's UUID.
func isLegacy(name string) bool {
	base, extension, _ := strings.Cut(name, ".")
	_, err := uuid.Parse(base)
	return (base == "platform" || err == nil) && slices.Contains([]string{"conf", "key", "pem"}, extension)
}

// listed lists the keys of a Secret for a message.
func listed(keys []string) string {
	const most = 10
	keys = slices.DeleteFunc(keys, func(k string) bool { return !secretKey.MatchString(k) })
	if len(keys) > most {
		keys = append(keys[:most], "…")
	}
	return cmp.Or(strings.Join(keys, ", "), "none")
}

// find returns the documents of the gateway's (not Kubernetes') of a kind that have, at a path, what is wanted: those in which some
// reader of the files may see it.
func (p *place) find(kind string, wanted func(*node) bool, path ...string) (found []document) {
	isVersion := func(n *node) bool { return strings.HasPrefix(n.Value, apiGroup) && n.Value != apiGroup }
	isKind := func(n *node) bool { return n.Value == kind }
	for _, f := range p.files {
		for _, root := range f.docs {
			if holds(root, isVersion, "apiVersion") && holds(root, isKind, "kind") && holds(root, wanted, path...) {
				found = append(found, document{f, root})
			}
		}
	}
	return found
}

// readConnection finds the one Configuration document with a platform connection, and takes over what it says about the gateway.
func (r *Registration) readConnection(p *place) (err *Error) {
	key := p.files[0].key
	isMapping := func(n *node) bool { return n.Kind == yaml.MappingNode }
	found := p.find("Configuration", isMapping, "spec", "platformConnection")
	switch {
	case len(found) == 0 || found[0].key != key:
		return fail("no document is a registration (apiVersion gateway.mulesoft.com/…, kind Configuration, with spec.platformConnection). Put in the file that `flexctl registration create` made.").at(key, nil)
	case len(found) > 1:
		return fail("this is the second document with a platformConnection, and which one the gateway takes is unknown. Keep one registration per Secret key.").at(found[1].key, found[1].root)
	}
	p.config = found[0]
	if err := p.config.checkPlain(); err != nil {
		return err
	}
	r.config = normalised(p.config.root)
	connection := child(p.config.root, "spec", "platformConnection")
	agent := child(connection, "agentId")
	id, invalid := uuid.Parse(scalar(agent))
	if invalid != nil || len(scalar(agent)) != len(id.String()) {
		return fail("spec.platformConnection.agentId is missing or no UUID. Put the file in as flexctl wrote it.").at(key, cmp.Or(agent, connection))
	}
	r.agentID = id.String()
	r.name = scalar(connection, "assetName")
	if r.anypointURL, err = readURLs(connection); err != nil {
		err.Key = key
	}
	return err
}

// findPair follows certificateRef to the one Secret document of that name, and to certificate and key in it.
func (p *place) findPair() *Error {
	const remedy = "Put the file in as flexctl wrote it; a split registration needs " + CertificateKey + " in the same Secret."
	connection := child(p.config.root, "spec", "platformConnection")
	ref := child(connection, "certificateRef")
	name := scalar(ref, "name")
	switch {
	case ref == nil:
		return fail("spec.platformConnection.certificateRef is missing. %s", remedy).at(p.config.key, connection)
	case scalar(ref, "kind") != "Secret" || name == "":
		return fail("spec.platformConnection.certificateRef must have the kind Secret and a name. %s", remedy).at(p.config.key, ref)
	}
	quoted := ""
	if isPlainName(name) {
		quoted = " " + name
	}
	isNamed := func(n *node) bool { return n.Value == name }
	found := p.find("Secret", isNamed, "metadata", "name")
	switch {
	case len(found) == 0:
		return fail("certificateRef leads nowhere: there is no Secret document%s. %s", quoted, remedy).at(p.config.key, ref)
	case len(found) > 1:
		return fail("this is the second Secret document%s, and which one the gateway takes is unknown. Keep one.", quoted).at(found[1].key, found[1].root)
	}
	p.secret = found[0]
	if err := p.secret.checkPlain(); err != nil {
		return err
	}
	p.chain, p.key = child(p.secret.root, "spec", "tls.crt"), child(p.secret.root, "spec", "tls.key")
	if !isText(p.chain) || !isText(p.key) {
		return fail("the Secret document%s needs both spec.tls.crt and spec.tls.key. %s", quoted, remedy).at(p.secret.key, p.secret.root)
	}
	return nil
}

// readPair takes over certificate and key, and the documents as they will be written.
func (r *Registration) readPair(p *place) (err *Error) {
	chain, chainPEM, err := parseChain(p.chain.Value)
	if err != nil {
		return err.at(p.secret.key, p.chain)
	}
	public, keyPEM, err := parseKey(p.key.Value)
	if err != nil {
		return err.at(p.secret.key, p.key)
	}
	if r.certificate, err = leaf(chain, public); err != nil {
		return err.at(p.secret.key, p.key)
	}
	r.chain, r.key = chainPEM, keyPEM
	r.secret = normalised(p.secret.root)
	for field, text := range map[string]string{"tls.crt": chainPEM, "tls.key": keyPEM} {
		n := child(r.secret, "spec", field)
		n.Tag, n.Value, n.Style = "!!str", text, yaml.LiteralStyle
	}
	if r.documents, err = marshal(r.config, r.secret); err != nil {
		return err.at(p.config.key, nil)
	}
	return nil
}
