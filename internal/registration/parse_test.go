package registration

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestParse(t *testing.T) {
	g := NewWithT(t)
	p := newPair(t, 24*time.Hour)
	r := mustParse(t, dataOf(fileOf(p)))

	block, _ := pem.Decode([]byte(p.crt))
	c, _ := x509.ParseCertificate(block.Bytes)
	g.Expect(r.AgentID()).To(Equal(agentID))
	g.Expect(r.Name()).To(Equal("ingress"))
	g.Expect(r.AnypointURL()).To(Equal("https://anypoint.mulesoft.com"))
	g.Expect(r.Certificate()).To(Equal(Certificate{
		SerialNumber: fmt.Sprintf("%X", c.SerialNumber.Bytes()),
		Fingerprint:  fmt.Sprintf("%x", sha256.Sum256(block.Bytes)),
		NotBefore:    noon.Add(-time.Hour),
		NotAfter:     noon.Add(24 * time.Hour),
	}))
}

func TestParseLayouts(t *testing.T) {
	p := newPair(t, 24*time.Hour)
	other := newPair(t, 48*time.Hour)
	config, secret := configDoc(agentID), secretDoc(p)
	json := fmt.Sprintf(`{"apiVersion": "gateway.mulesoft.com/v1", "kind": "Secret", "metadata": {"name": "flex-registration"}, "spec": {"tls.crt": %q, "tls.key": %q}}`, p.crt, p.key)
	minimal := "apiVersion: gateway.mulesoft.com/v1beta1\nkind: Configuration\nspec:\n  platformConnection:\n    agentId: " +
		strings.ToUpper(agentID) + "\n    certificateRef: {kind: Secret, name: flex-registration}\n"
	users := "apiVersion: v9\nkind: Whatever\nx: &a [1]\ny: *a\nx: !!binary aGk=\n<<: {a: b}\n"
	for name, data := range map[string]map[string][]byte{
		"secret first":        dataOf(secret + "---\n" + config),
		"user's documents":    dataOf(users + "---\n" + config + "---\n# nothing\n---\n" + users + "---\n" + secret + "...\n---\n- a\n"),
		"unrelated secret":    dataOf(config + "---\n" + secret + "---\n" + strings.Replace(secretDoc(other), "flex-registration", "mine", 1)),
		"split":               {DefaultKey: []byte(config), CertificateKey: []byte(secret)},
		"split, other docs":   {DefaultKey: []byte(config), CertificateKey: []byte(users + "---\n" + secret)},
		"empty second file":   {DefaultKey: []byte(config + "---\n" + secret), CertificateKey: []byte("# nothing\n")},
		"JSON":                dataOf(config + "---\n" + json),
		"minimal":             dataOf(minimal + "---\n" + secret),
		"CRLF":                dataOf(strings.ReplaceAll(config+"---\n"+secret, "\n", "\r\n")),
		"byte order mark":     dataOf("\ufeff" + config + "---\n" + secret),
		"directive":           dataOf("%YAML 1.2\n---\n" + config + "---\n" + secret),
		"leaf last":           dataOf(config + "---\n" + secretDoc(pair{other.crt + p.crt, p.key})),
		"text around the PEM": dataOf(config + "---\n" + secretDoc(pair{"Bag Attributes\n" + p.crt + "end\n", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + p.key})),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := mustParse(t, data)
			g.Expect(r.AgentID()).To(Equal(agentID))
			g.Expect(r.Certificate()).To(Equal(mustParse(t, dataOf(fileOf(p))).Certificate()))

			again := mustParse(t, dataOf(string(r.Marshal())))
			g.Expect(reflect.DeepEqual(r, again)).To(BeTrue(), "Marshal and Parse give an equal registration")
			g.Expect(again.Marshal()).To(Equal(r.Marshal()))
			g.Expect(string(r.Marshal())).NotTo(MatchRegexp(`#|Whatever|Bag|PARAMETERS`))
		})
	}
}

func TestMarshalKeepsTypes(t *testing.T) {
	fields := "        a: \"yes\"\n        b: yes\n        c: 1.10\n        d: \"1\"\n        e: \"a b\\nc\"\n        f:\n"
	r := mustParse(t, dataOf(strings.Replace(fileOf(newPair(t, time.Hour)), "        arm:", fields+"        arm:", 1)))
	NewWithT(t).Expect(string(r.Marshal())).To(ContainSubstring("\n" + fields))
}

func TestParseKeyTypes(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecKey := newECDSA(t).(*ecdsa.PrivateKey)
	ecDER, _ := x509.MarshalECPrivateKey(ecKey)
	for name, p := range map[string]pair{
		"RSA, PKCS #8": {issue(t, rsaKey, noon, noon.Add(1e12)), keyPEM(t, rsaKey)},
		"RSA, PKCS #1": {issue(t, rsaKey, noon, noon.Add(1e12)), string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}))},
		"ECDSA, SEC 1": {issue(t, ecKey, noon, noon.Add(1e12)), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER}))},
		"Ed25519":      {issue(t, edKey, noon, noon.Add(1e12)), keyPEM(t, edKey)},
	} {
		t.Run(name, func(t *testing.T) {
			mustParse(t, dataOf(string(mustParse(t, dataOf(fileOf(p))).Marshal())))
		})
	}
}

func TestParseErrors(t *testing.T) {
	p, other := newPair(t, 24*time.Hour), newPair(t, 48*time.Hour)
	good, config, secret := fileOf(p), configDoc(agentID), secretDoc(p)
	with := func(old, new string) map[string][]byte {
		if !strings.Contains(good, old) {
			t.Fatalf("the fixture has no %q", old)
		}
		return dataOf(strings.Replace(good, old, new, 1))
	}
	pairOf := func(crt, key string) map[string][]byte { return dataOf(fileOf(pair{crt, key})) }
	split := func(first, second string) map[string][]byte {
		return map[string][]byte{DefaultKey: []byte(first), CertificateKey: []byte(second)}
	}
	ecKey := newECDSA(t).(*ecdsa.PrivateKey)
	encrypted, _ := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", []byte("x"), []byte("x"), x509.PEMCipherAES256) //nolint:staticcheck // to see it refused
	large := strings.Repeat("# large\n", MaxSize/8+1)
	body := strings.Split(p.key, "\n")[1]

	for name, c := range map[string]struct {
		data   map[string][]byte
		says   string
		text   string
		line   int
		column int
	}{
		"no such key":             {data: map[string][]byte{"b": nil, "a.yaml": nil, "no key!": nil}, says: saysNoSuchKey, text: "it has: a.yaml, b. "},
		"no key at all":           {says: saysNoSuchKey, text: "it has: none"},
		"TLS secret":              {data: map[string][]byte{"tls.crt": nil, "tls.key": nil}, says: saysNoSuchKey, text: "tls.crt, tls.key"},
		"1.0, platform":           {data: map[string][]byte{"platform.conf": nil, "platform.key": nil, "platform.pem": nil}, says: saysLegacyLayout, text: "`flexctl migrate`"},
		"1.0, UUID":               {data: map[string][]byte{agentID + ".conf": nil}, says: saysLegacyLayout, text: "`flexctl migrate`"},
		"empty":                   {data: dataOf(""), says: saysEmpty, text: "`flexctl registration create`"},
		"blank":                   {data: dataOf(" \n\n"), says: saysEmpty},
		"comments":                {data: dataOf("# a\n---\n# b\n---\n"), says: saysEmpty},
		"only a byte order mark":  {data: dataOf("\ufeff"), says: saysEmpty},
		"too large":               {data: dataOf(good + large), says: saysTooLarge},
		"second file too large":   {data: split("{", large), says: saysTooLarge, text: "certificate.yaml: "},
		"too many documents":      {data: dataOf(good + strings.Repeat("---\na\n", maxDocuments)), says: saysTooLarge},
		"not UTF-8":               {data: dataOf("a: \xff"), says: saysNotYAML},
		"UTF-16":                  {data: dataOf("\xff\xfea\x00"), says: saysNotYAML},
		"NUL":                     {data: dataOf("a\x00"), says: saysNotYAML},
		"not YAML":                {data: dataOf("a: b\nc: 'd\n"), says: saysNotYAML, line: 3},
		"not YAML, quoting":       {data: dataOf(good + "---\na: *" + body + "\n"), says: saysNotYAML},
		"tab":                     {data: dataOf("a:\n\tb: c\n"), says: saysNotYAML, line: 2},
		"second file not YAML":    {data: split(config, "{"), says: saysNotYAML, text: "certificate.yaml, line"},
		"too deep":                {data: dataOf(strings.Repeat("[", 5000)), says: saysNotYAML},
		"too deep, block":         {data: dataOf(strings.Repeat("- ", 5000) + "a"), says: saysNotYAML},
		"no registration":         {data: dataOf("a: b\n"), says: saysNoPlatformConnection},
		"other group":             {data: with("gateway.mulesoft.com/v1alpha1\nkind: Conf", "gateway.example.com/v1\nkind: Conf"), says: saysNoPlatformConnection},
		"other kind":              {data: with("kind: Configuration", "kind: Config"), says: saysNoPlatformConnection},
		"connection no mapping":   {data: dataOf("apiVersion: gateway.mulesoft.com/v1\nkind: Configuration\nspec: {platformConnection: a}\n"), says: saysNoPlatformConnection},
		"in the second file":      {data: split("a: b\n", good), says: saysNoPlatformConnection},
		"two":                     {data: dataOf(good + "---\n" + config), says: saysAmbiguous, line: strings.Count(good, "\n") + 2},
		"two over two files":      {data: split(good, config), says: saysAmbiguous, text: "certificate.yaml, line 1"},
		"two, one hidden":         {data: dataOf(good + "---\napiVersion: gateway.mulesoft.com/v1\nkind: x\nx: &a {platformConnection: {}}\nspec: *a\nkind: Configuration\n"), says: saysAmbiguous},
		"two secrets":             {data: dataOf(good + "---\n" + secretDoc(other)), says: saysAmbiguous, text: "Secret document flex-registration"},
		"two secrets, two files":  {data: split(good, secretDoc(other)), says: saysAmbiguous},
		"no agentId":              {data: with("agentId:", "agent:"), says: saysInvalidAgentID, line: 7, column: 9},
		"agentId no UUID":         {data: with(agentID, "ingress"), says: saysInvalidAgentID, line: 7, column: 18},
		"agentId as URN":          {data: with(agentID, "urn:uuid:"+agentID), says: saysInvalidAgentID},
		"agentId a list":          {data: with("agentId: "+agentID, "agentId: ["+agentID+"]"), says: saysInvalidAgentID},
		"no certificateRef":       {data: with("certificateRef:", "certRef:"), says: saysBrokenReference},
		"certificateRef kind":     {data: with("kind: Secret", "kind: File"), says: saysBrokenReference, line: 10},
		"certificateRef name":     {data: with("name: flex-registration", "label: a"), says: saysBrokenReference},
		"certificateRef scalar":   {data: with("certificateRef:", "certificateRef: a\n        x:"), says: saysBrokenReference},
		"no such secret":          {data: with("name: flex-registration", "name: mine"), says: saysBrokenReference, text: "no Secret document mine. "},
		"no such secret, strange": {data: with("name: flex-registration", "name: "+body), says: saysBrokenReference, text: "no Secret document. "},
		"no such secret, long":    {data: with("name: flex-registration", "name: "+strings.Repeat("a", 64)), says: saysBrokenReference, text: "no Secret document. "},
		"no secret":               {data: dataOf(config), says: saysBrokenReference},
		"no tls.crt":              {data: with("tls.crt", "crt"), says: saysBrokenReference},
		"no tls.key":              {data: with("tls.key", "key"), says: saysBrokenReference},
		"null tls.key":            {data: dataOf(config + "---\n" + secret[:strings.Index(secret, "tls.key")] + "tls.key:\n"), says: saysBrokenReference},
		"spec a list":             {data: dataOf(config + "---\n" + secret[:strings.Index(secret, "spec:")] + "spec: []\n"), says: saysBrokenReference},
		"no certificate":          {data: pairOf("none\n", p.key), says: saysInvalidCertificate, line: 22, column: 14},
		"key as certificate":      {data: pairOf(p.key, p.key), says: saysInvalidCertificate},
		"broken certificate":      {data: pairOf(pemOf("CERTIFICATE", "nonsense"), p.key), says: saysInvalidCertificate},
		"cut certificate":         {data: pairOf(p.crt[:200], p.key), says: saysInvalidCertificate},
		"cut chain":               {data: pairOf(p.crt+other.crt[:200], p.key), says: saysInvalidCertificate},
		"no key":                  {data: pairOf(p.crt, p.crt), says: saysInvalidKey},
		"broken key":              {data: pairOf(p.crt, pemOf("PRIVATE KEY", "nonsense")), says: saysInvalidKey},
		"cut key":                 {data: pairOf(p.crt, p.key[:60]), says: saysInvalidKey},
		"key of unknown form":     {data: pairOf(p.crt, pemOf("OPENSSH PRIVATE KEY", "nonsense")), says: saysInvalidKey},
		"large key":               {data: pairOf(p.crt, pemOf("RSA PRIVATE KEY", strings.Repeat("x", maxKeyDER+1))), says: saysInvalidKey},
		"encrypted key, PKCS #8":  {data: pairOf(p.crt, pemOf("ENCRYPTED PRIVATE KEY", "x")), says: saysEncryptedKey},
		"encrypted key, DEK-Info": {data: pairOf(p.crt, string(pem.EncodeToMemory(encrypted))), says: saysEncryptedKey},
		"another's key":           {data: pairOf(p.crt, other.key), says: saysKeyMismatch},
		"anchor":                  {data: with("region: us", "region: &a us"), says: saysUnsupportedYAML, line: 8, column: 17, text: "an anchor"},
		"alias":                   {data: with("region: us-east-1", "x: &a 1\n        y: *a"), says: saysUnsupportedYAML, line: 8},
		"tag":                     {data: with("region: us", "region: !!str us"), says: saysUnsupportedYAML, text: "a tag"},
		"non-specific tag":        {data: with("region: us", "region: ! us"), says: saysUnsupportedYAML, text: "a tag"},
		"binary key":              {data: with("tls.key: |", "tls.key: !!binary |"), says: saysUnsupportedYAML},
		"merge key":               {data: with("region: us-east-1", "<<: {}"), says: saysUnsupportedYAML, text: "a merge key"},
		"duplicate key":           {data: with("region: us-east-1", "agentId: "+agentID), says: saysUnsupportedYAML, line: 8, column: 9},
		"duplicate in the secret": {data: with("    tls.key", "    tls.crt: a\n    tls.key"), says: saysUnsupportedYAML},
		"key no string":           {data: with("region: us-east-1", "[a]: b"), says: saysUnsupportedYAML},
		"too many fields":         {data: with("region: us-east-1", "region: ["+strings.Repeat("a,", maxNodes)+"]"), says: saysUnsupportedYAML},
		"http":                    {data: with("https://events", "http://events"), says: saysInvalidURL, line: 15, column: 17},
		"user info":               {data: with("https://events", "https://me:secret@events"), says: saysInvalidURL},
		"no host":                 {data: with("https://events.example.com", "https://:443/x"), says: saysInvalidURL},
		"no URL":                  {data: with("https://events", "https://[events"), says: saysInvalidURL},
		"nested URL":              {data: with("https://events.example.com", "{a: [b, ftp://c]}"), says: saysInvalidURL},
		"other scheme":            {data: with("wss://", "ws://"), says: saysInvalidURL},
		"anypoint wss":            {data: with("https://anypoint", "wss://anypoint"), says: saysInvalidURL},
		"anypoint without scheme": {data: with("https://anypoint", "anypoint"), says: saysInvalidURL},
		"anypoint with query":     {data: with("https://anypoint.mulesoft.com", "https://anypoint.mulesoft.com?@x"), says: saysInvalidURL},
		"anypoint a mapping":      {data: with("https://anypoint.mulesoft.com", "{a: b}"), says: saysInvalidURL},
		"long chain":              {data: pairOf(strings.Repeat(p.crt, maxChain+1), p.key), says: saysUnsupportedCertificate, text: "more than 10"},
		"small RSA key":           {data: pairOf(issueWith(t, &rsa.PublicKey{N: odd(512), E: 65537}, ecKey, odd(9)), p.key), says: saysUnsupportedCertificate, text: "512 bits"},
		"large RSA key":           {data: pairOf(issueWith(t, &rsa.PublicKey{N: odd(8200), E: 65537}, ecKey, odd(9)), p.key), says: saysUnsupportedCertificate, text: "8200 bits"},
		"upside down":             {data: pairOf(issue(t, ecKey, noon, noon), p.key), says: saysUnsupportedCertificate, text: "expires before"},
		"long serial number":      {data: pairOf(issueWith(t, &ecKey.PublicKey, ecKey, odd(600)), p.key), says: saysUnsupportedCertificate, text: "serial number"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := Parse(c.data, DefaultKey)
			g.Expect(err).To(HaveOccurred())
			expectError(t, err, c.says)
			g.Expect(err.Error()).To(ContainSubstring(c.text))
			if e, _ := errors.AsType[*Error](err); c.line > 0 {
				g.Expect(e.Line).To(Equal(c.line), err.Error())
				if c.column > 0 {
					g.Expect(e.Column).To(Equal(c.column), err.Error())
				}
			}
			g.Expect(err.Error()).NotTo(ContainSubstring("secret@"))
			assertQuiet(t, err, p, other)
		})
	}
}

func TestLegacyFileAsKey(t *testing.T) {
	_, err := Parse(map[string][]byte{"platform.conf": []byte("a")}, "platform.conf")
	expectError(t, err, saysLegacyLayout)
}

func TestHostileInputIsCheap(t *testing.T) {
	for _, unit := range []string{"[", "- ", "? ", "---\n", "#\n", "a,", "a: b #c\n", "x: &a [*a]\n", "'", "\"\\n\": ", "\t", "\ufeff", "? a\n: b\n", "-\n #c\n", "*a "} {
		for _, start := range []string{"", "{", strings.Repeat("[", maxDepth-1)} {
			content := start + strings.Repeat(unit, (MaxSize-len(start))/len(unit))
			began := time.Now()
			_, err := Parse(dataOf(content), DefaultKey)
			took := time.Since(began)
			if err == nil || took > 20*time.Second {
				t.Errorf("%q after %.10q: %v, %v", unit, start, took, err)
			}
		}
	}
	// A billion laughs, as somebody's own document: never expanded.
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9))
	}
	mustParse(t, dataOf(laughs+"---\n"+fileOf(newPair(t, time.Hour))))
}

func TestNewerThan(t *testing.T) {
	g := NewWithT(t)
	at := func(fingerprint string, before, after time.Duration) Certificate {
		return Certificate{Fingerprint: fingerprint, NotBefore: noon.Add(before), NotAfter: noon.Add(after)}
	}
	a := at("a", 0, 10)
	g.Expect(at("b", 0, 11).NewerThan(a)).To(BeTrue())
	g.Expect(at("b", 5, 9).NewerThan(a)).To(BeFalse())
	g.Expect(at("b", 1, 10).NewerThan(a)).To(BeTrue())
	g.Expect(at("b", -1, 10).NewerThan(a)).To(BeFalse())
	g.Expect(at("b", 0, 10).NewerThan(a)).To(BeFalse())
	g.Expect(at("a", 0, 11).NewerThan(a)).To(BeFalse())
}

func TestCheckHost(t *testing.T) {
	p := newPair(t, time.Hour)
	planes := []string{"anypoint.mulesoft.com", "EU1.anypoint.mulesoft.com:443", "localhost:8443"}
	for url, want := range map[string]string{
		"https://anypoint.mulesoft.com":               "",
		"https://Anypoint.MuleSoft.com:443/x":         "",
		"https://eu1.anypoint.mulesoft.com":           "",
		"https://localhost:8443":                      "",
		"https://localhost":                           "localhost",
		"https://anypoint.mulesoft.com:8443":          "anypoint.mulesoft.com:8443",
		"https://anypoint.mulesoft.com.example.com":   "anypoint.mulesoft.com.example.com",
		"https://anypoint.mule\u017foft.com":          "the host of spec.platformConnection.anypoint is not",
		"https://" + strings.Repeat("a.", 60) + "com": "the host of spec.platformConnection.anypoint is not",
		"~": "is missing",
	} {
		r := mustParse(t, dataOf(strings.Replace(fileOf(p), "https://anypoint.mulesoft.com", url, 1)))
		err := r.CheckHost(planes)
		if want == "" {
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), url)
			continue
		}
		expectError(t, err, saysHostNotAllowed)
		NewWithT(t).Expect(err.Error()).To(ContainSubstring(want), url)
	}
}

func pemOf(kind, content string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content)}))
}

func odd(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.SetBit(n, 0, 1)
}

// issueWith makes a certificate for any public key, even one whose private one nobody has.
func issueWith(t *testing.T, public any, signer *ecdsa.PrivateKey, serial *big.Int) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: serial, NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("CERTIFICATE", string(der))
}

func TestRegistrationsAreNotPrinted(t *testing.T) {
	r := mustParse(t, dataOf(fileOf(newPair(t, 24*time.Hour))))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		NewWithT(t).Expect(fmt.Sprintf(verb, r)).To(Equal("[registration]"), verb)
	}
}
