package registration

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
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
	order := cmp.Or(c.NotAfter.Compare(o.NotAfter), c.NotBefore.Compare(o.NotBefore))
	return order > 0 && c.Fingerprint != o.Fingerprint
}

func describe(c *x509.Certificate) Certificate {
	return Certificate{
		SerialNumber: fmt.Sprintf("%02X", c.SerialNumber.Bytes()), // zero has none, and is 00
		Fingerprint:  fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
		NotBefore:    c.NotBefore.UTC(),
		NotAfter:     c.NotAfter.UTC(),
	}
}

// parseChain reads the certificates of a tls.crt, and returns them also as canonical PEM: without headers, other
// blocks and text around them.
func parseChain(text string) (chain []*x509.Certificate, canonical string, _ *Error) {
	const remedy = "Put the file in as flexctl wrote it, or renew the registration."
	blocks, damaged := decodePEM(text, func(kind string) bool { return kind == "CERTIFICATE" })
	switch {
	case damaged:
		return nil, "", fail("tls.crt holds a damaged PEM block. %s", remedy)
	case len(blocks) == 0:
		return nil, "", fail("tls.crt holds no PEM certificate (BEGIN CERTIFICATE). %s", remedy)
	case len(blocks) > maxChain:
		return nil, "", fail("tls.crt holds more than %d certificates. %s", maxChain, remedy)
	}
	for i, block := range blocks {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, "", fail("certificate %d of tls.crt cannot be read. %s", i+1, remedy)
		}
		if problem := absurdity(c); problem != "" {
			return nil, "", fail("certificate %d of tls.crt %s. %s", i+1, problem, remedy)
		}
		chain, canonical = append(chain, c), canonical+encodePEM(block)
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
	// openssl writes EC PARAMETERS in front of a key.
	blocks, damaged := decodePEM(text, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") })
	switch {
	case damaged:
		return nil, "", fail("tls.key holds a damaged PEM block. %s", remedy)
	case len(blocks) == 0:
		return nil, "", fail("tls.key holds no PEM private key (BEGIN PRIVATE KEY). %s", remedy)
	}
	block := blocks[0]
	var key any
	var err error
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["Proc-Type"] != "", block.Headers["DEK-Info"] != "":
		return nil, "", fail("tls.key is encrypted, and neither the gateway nor flexctl asks for a passphrase. Put in the key as flexctl wrote it.")
	case len(block.Bytes) > maxKeyDER:
		return nil, "", fail("tls.key is larger than any supported private key. %s", remedy)
	case block.Type == "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, "", fail("the private key in tls.key cannot be read. %s", remedy)
	}
	return signer.Public(), encodePEM(block), nil
}

// leaf finds the certificate of a key, wherever it stands in the chain.
func leaf(chain []*x509.Certificate, key crypto.PublicKey) (Certificate, *Error) {
	for _, c := range chain {
		if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key) {
			return describe(c), nil
		}
	}
	return Certificate{}, fail("tls.key belongs to no certificate of tls.crt. Put certificate and key in as one flexctl run wrote them.")
}

// decodePEM returns the PEM blocks of a text that are wanted. It is damaged if there is the beginning of one that can't be read:
// pem.Decode skips what is damaged, and half a chain must not pass for a whole one.
func decodePEM(text string, wanted func(kind string) bool) (blocks []*pem.Block, damaged bool) {
	left := strings.Count(text, "-----BEGIN ")
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		left--
		if wanted(block.Type) {
			blocks = append(blocks, block)
		}
	}
	return blocks, left != 0
}

func encodePEM(block *pem.Block) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
}
