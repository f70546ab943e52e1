package salesforce

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// The keys of a credentials Secret.
const (
	keyClientID     = "client-id"
	keyClientSecret = "client-secret"
	keyUsername     = "username"
	keyPrivateKey   = "private-key"
)

// Credentials are a connected app's, with its secret or with a user's name and the key that signs for it. They print as a
// placeholder: fmt does not look into functions.
type Credentials struct{ reveal func() pair }

type pair struct {
	clientID, secret, username, pem string
	key                             *rsa.PrivateKey
}

// ParseCredentials reads credentials out of a Secret's data. Errors name keys, never values.
func ParseCredentials(data map[string][]byte) (Credentials, error) {
	value := func(key string) string { return strings.TrimSpace(string(data[key])) }
	p := pair{clientID: value(keyClientID), secret: value(keyClientSecret), username: value(keyUsername), pem: value(keyPrivateKey)}
	switch {
	case p.clientID == "":
		return Credentials{}, fmt.Errorf("key %s is missing or empty: give it the connected app's consumer key", keyClientID)
	case p.secret != "" && (p.username != "" || p.pem != ""):
		return Credentials{}, fmt.Errorf("it holds %s, and %s or %s too: keep what one OAuth flow takes", keyClientSecret, keyUsername, keyPrivateKey)
	case p.secret != "":
	case p.username == "" || p.pem == "":
		return Credentials{}, fmt.Errorf("give it %s for the client credentials flow, or %s and %s for the JWT bearer flow", keyClientSecret, keyUsername, keyPrivateKey)
	default:
		block, _ := pem.Decode([]byte(p.pem))
		if block == nil || len(block.Bytes) > maxKey {
			return Credentials{}, fmt.Errorf("the value of key %s is not PEM", keyPrivateKey)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		key, is := parsed.(*rsa.PrivateKey)
		if err != nil || !is || key.N.BitLen() < 2048 || key.N.BitLen() > maxKey {
			return Credentials{}, fmt.Errorf("the value of key %s is no RSA key of 2048 to 8192 bits without a password, the only kind that Salesforce takes", keyPrivateKey)
		}
		p.key = key
	}
	return Credentials{func() pair { return p }}, nil
}

func (c Credentials) pair() pair {
	if c.reveal == nil {
		return pair{}
	}
	return c.reveal()
}

func (c Credentials) data() map[string][]byte {
	p := c.pair()
	return map[string][]byte{keyClientID: []byte(p.clientID), keyClientSecret: []byte(p.secret), keyUsername: []byte(p.username), keyPrivateKey: []byte(p.pem)}
}

// Format keeps every fmt verb from printing a credential.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credentials]")) }

// MarshalJSON keeps loggers and encoders from writing a credential.
func (c Credentials) MarshalJSON() ([]byte, error) { return []byte(`"[credentials]"`), nil }

func (c Credentials) scrub(text string, secrets ...string) string {
	p := c.pair()
	return anypoint.Credentials{}.Scrub(text, append(secrets, p.clientID, p.secret, p.username)...)
}

// maxKey bounds a key, in bits: what it takes to sign grows with the third power of it.
const maxKey = 8192

// assertionLifetime is what Salesforce takes for sure.
const assertionLifetime = 3 * time.Minute

// grant is what is sent for a token.
func (c Credentials) grant(audience string, now time.Time) (url.Values, error) {
	p := c.pair()
	if p.key == nil {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.clientID}, "client_secret": {p.secret}}, nil
	}
	encode := base64.RawURLEncoding.EncodeToString
	claims, _ := json.Marshal(map[string]any{"iss": p.clientID, "sub": p.username, "aud": audience, "exp": now.Add(assertionLifetime).Unix()}) // never fails
	signed := encode([]byte(`{"alg":"RS256"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing with the value of key %s failed", keyPrivateKey)
	}
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed + "." + encode(signature)}}, nil
}
