package registration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const agentID = "0b5d2f9e-4a62-4a5c-9f6e-1d2c3b4a5f60"

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// pair is a certificate with its key, as PEM.
type pair struct{ crt, key string }

func newECDSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a self-signed certificate for a key.
func issue(t testing.TB, key crypto.Signer, notBefore, notAfter time.Time) string {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "gateway"}, NotBefore: notBefore, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func keyPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// newPair makes a certificate that expires some time after noon.
func newPair(t testing.TB, validity time.Duration) pair {
	t.Helper()
	key := newECDSA(t)
	return pair{issue(t, key, noon.Add(-time.Hour), noon.Add(validity)), keyPEM(t, key)}
}

func configDoc(agentID string) string {
	return `apiVersion: gateway.mulesoft.com/v1alpha1
kind: Configuration
metadata:
    name: registration
spec:
    platformConnection:
        agentId: ` + agentID + `
        region: us-east-1
        certificateRef:
            kind: Secret
            name: flex-registration
        assetName: ingress
        anypoint: https://anypoint.mulesoft.com
        arm: wss://arm.example.com/agent
        events: https://events.example.com
`
}

func secretDoc(p pair) string {
	return `apiVersion: gateway.mulesoft.com/v1alpha1
kind: Secret
metadata:
    name: flex-registration
spec:
    tls.crt: |
` + indented(p.crt, 8) + `    tls.key: |
` + indented(p.key, 8)
}

func indented(text string, n int) string {
	margin := strings.Repeat(" ", n)
	return margin + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+margin) + "\n"
}

func fileOf(p pair) string { return configDoc(agentID) + "---\n" + secretDoc(p) }

func dataOf(content string) map[string][]byte {
	return map[string][]byte{DefaultKey: []byte(content)}
}

func mustParse(t testing.TB, data map[string][]byte) *Registration {
	t.Helper()
	r, err := Parse(data, DefaultKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// assertQuiet fails if an error repeats 16 or more characters in a row of one of the PEM bodies.
func assertQuiet(t testing.TB, err error, secrets ...pair) {
	t.Helper()
	const n = 16
	text := err.Error()
	for _, p := range secrets {
		for line := range strings.Lines(p.crt + p.key) {
			line = strings.TrimSpace(line)
			for i := 0; !strings.HasPrefix(line, "-") && i+n <= len(line); i++ {
				if strings.Contains(text, line[i:i+n]) {
					t.Fatalf("the error repeats a part of the PEM: %s", text)
				}
			}
		}
	}
}

func clone(data map[string][]byte) map[string][]byte {
	c := maps.Clone(data)
	for k, v := range c {
		c[k] = []byte(string(v))
	}
	return c
}

// What errors say, as regular expressions.
const (
	saysNoSuchKey              = `has no such key`
	saysEmpty                  = `the file is empty`
	saysTooLarge               = `more than (the )?[0-9]+`
	saysLegacyLayout           = `files of Flex Gateway 1\.0`
	saysNotYAML                = `the file is not (valid YAML|UTF-8)`
	saysUnsupportedYAML        = `must be plain YAML`
	saysNoPlatformConnection   = `no document is a registration`
	saysAmbiguous              = `this is the second`
	saysInvalidAgentID         = `agentId is missing or no UUID`
	saysInvalidURL             = `is not a valid https`
	saysBrokenReference        = `certificateRef|needs both spec\.tls\.crt and`
	saysInvalidCertificate     = `damaged PEM block|no PEM certificate|certificate 1 of tls\.crt cannot be read`
	saysUnsupportedCertificate = `certificate 1 of tls\.crt (has|expires)|more than 10 certificates`
	saysInvalidKey             = `damaged PEM block|no PEM private key|larger than any|private key in tls\.key cannot be read`
	saysEncryptedKey           = `tls\.key is encrypted`
	saysKeyMismatch            = `belongs to no certificate`
	saysHostNotAllowed         = `is not an allowed control plane|anypoint is missing`
	saysAgentIDMismatch        = `another gateway`
	saysSameCertificate        = `nothing was renewed`
	saysNotNewer               = `no later than the one it renews`
	saysNotYetValid            = `becomes valid only at 20`
	saysExpired                = `has expired at 20`
	saysMergeFailed            = `could not be put into the file`
)

// expectError expects an error of the package that says something, or none where that is "".
func expectError(t *testing.T, err error, says string) {
	t.Helper()
	if says == "" {
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return
	}
	NewWithT(t).Expect(err).To(And(BeAssignableToTypeOf(&Error{}), MatchError(MatchRegexp(says))))
}
