package registration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

const (
	maxChain      = 10      // certificates
	minRSA        = 1024    // bits
	maxRSA        = 8192    // bits
	maxKeyDER     = 8 << 10 // bytes; an RSA key of 8192 bits has less than 5 KiB
	maxSerialSize = 64      // bytes; RFC 5280 allows 20
)

// Certificate identifies the client certificate of a registration: the one of tls.crt that belongs to tls.key.
type Certificate struct {
	SerialNumber string    // upper-case hexadecimal, as `openssl x509 -serial` prints it
	Fingerprint  string    // SHA-256 of the DER form, 64 lower-case hexadecimal digits
	NotBefore    time.Time // UTC
	NotAfter     time.Time // UTC
}

// NewerThan is the order of certificates: the one that is valid longer is newer, of two that expire together the one
// that became valid later. A certificate is not newer than itself.
func (c Certificate) NewerThan(o Certificate) bool {
	if c.Fingerprint == o.Fingerprint {
		return false
	}
	if order := c.NotAfter.Compare(o.NotAfter); order != 0 {
		return order > 0
	}
	return c.NotBefore.After(o.NotBefore)
}

func describe(c *x509.Certificate) Certificate {
	serial := strings.ToUpper(hex.EncodeToString(c.SerialNumber.Bytes()))
	if serial == "" {
		serial = "00"
	}
	return Certificate{
		SerialNumber: serial,
		Fingerprint:  fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
		NotBefore:    c.NotBefore.UTC(),
		NotAfter:     c.NotAfter.UTC(),
	}
}

// parseChain reads the certificates of a tls.crt, and returns them also as canonical PEM: without headers, other
// blocks and text around them.
func parseChain(text string) (chain []*x509.Certificate, canonical string, _ *Error) {
	const remedy = "Put the file in as flexctl wrote it, or renew the registration."
	blocks, ok := decodePEM(text)
	if !ok {
		return nil, "", fail(CodeInvalidCertificate, "tls.crt holds a damaged PEM block. %s", remedy)
	}
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, "", fail(CodeInvalidCertificate, "certificate %d of tls.crt cannot be read. %s", len(chain)+1, remedy)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, "", fail(CodeUnsupportedCertificate, "tls.crt holds more than %d certificates. %s", maxChain, remedy)
		}
		if problem := absurdity(c); problem != "" {
			return nil, "", fail(CodeUnsupportedCertificate, "certificate %d of tls.crt %s. %s", len(chain), problem, remedy)
		}
		canonical += encodePEM(block)
	}
	if len(chain) == 0 {
		return nil, "", fail(CodeInvalidCertificate, "tls.crt holds no PEM certificate (BEGIN CERTIFICATE). %s", remedy)
	}
	return chain, canonical, nil
}

// absurdity says what no certificate of a platform has and what some reader of the chain would choke on.
func absurdity(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Sprintf("has an RSA key of %d bits, allowed are %d to %d", bits, minRSA, maxRSA)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return "has a key that is neither RSA nor ECDSA nor Ed25519"
	}
	if !c.NotAfter.After(c.NotBefore) {
		return "expires before it becomes valid"
	}
	if len(c.SerialNumber.Bytes()) > maxSerialSize {
		return fmt.Sprintf("has a serial number of more than %d bytes", maxSerialSize)
	}
	return ""
}

// parseKey reads the private key of a tls.key, and returns its public half and the key as canonical PEM.
func parseKey(text string) (public crypto.PublicKey, canonical string, _ *Error) {
	const remedy = "Put the file in as flexctl wrote it, or register the gateway again."
	blocks, ok := decodePEM(text)
	if !ok {
		return nil, "", fail(CodeInvalidKey, "tls.key holds a damaged PEM block. %s", remedy)
	}
	for _, block := range blocks {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // openssl writes EC PARAMETERS in front of a key
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "" || block.Headers["DEK-Info"] != "" {
			return nil, "", fail(CodeEncryptedKey, "tls.key is encrypted, and neither the gateway nor flexctl asks for a passphrase. Put in the key as flexctl wrote it.")
		}
		if len(block.Bytes) > maxKeyDER {
			return nil, "", fail(CodeInvalidKey, "tls.key is larger than any supported private key. %s", remedy)
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, "", fail(CodeInvalidKey, "the private key in tls.key cannot be read. %s", remedy)
		}
		return signer.Public(), encodePEM(block), nil
	}
	return nil, "", fail(CodeInvalidKey, "tls.key holds no PEM private key (BEGIN PRIVATE KEY). %s", remedy)
}

// leaf finds the certificate of a key, wherever it stands in the chain.
func leaf(chain []*x509.Certificate, key crypto.PublicKey) (Certificate, *Error) {
	for _, c := range chain {
		if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key) {
			return describe(c), nil
		}
	}
	return Certificate{}, fail(CodeKeyMismatch, "tls.key belongs to no certificate of tls.crt. Put certificate and key in as one flexctl run wrote them.")
}

// decodePEM returns all PEM blocks of a text. It is false if there is the beginning of one that is not among them:
// pem.Decode skips what is damaged, and half a chain must not pass for a whole one.
func decodePEM(text string) (blocks []*pem.Block, ok bool) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return blocks, len(blocks) == strings.Count(text, "-----BEGIN ")
		}
		blocks = append(blocks, block)
	}
}

func encodePEM(block *pem.Block) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
}
