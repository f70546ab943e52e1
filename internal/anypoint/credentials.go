package anypoint

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The keys of a credentials Secret. flexctl's flags have the same names.
const (
	keyClientID     = "client-id"
	keyClientSecret = "client-secret"
	keyUsername     = "username"
	keyPassword     = "password"
)

// Credentials for Anypoint Platform: those of a connected app, or a user's. They print as a placeholder, and where
// fmt does not ask for one (in unexported fields, for a wrong verb), it does not look into a function.
type Credentials struct {
	reveal func() pair
}

// pair is a connected app's, or a user's.
type pair struct {
	idKey, secretKey string
	id, secret       string
	// hidden are other secrets that a program was given, such as a proxy's password.
	hidden []string
}

func (c Credentials) pair() pair {
	if c.reveal == nil {
		return pair{}
	}
	return c.reveal()
}

// ParseCredentials reads credentials out of a Secret's data. White space around a value, such as the newline
// that an editor leaves, is not part of it. Errors name keys, never values.
func ParseCredentials(data map[string][]byte) (Credentials, error) {
	var found []pair
	for _, p := range []pair{{idKey: keyClientID, secretKey: keyClientSecret}, {idKey: keyUsername, secretKey: keyPassword}} {
		p.id, p.secret = strings.TrimSpace(string(data[p.idKey])), strings.TrimSpace(string(data[p.secretKey]))
		if p.id != "" || p.secret != "" {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return Credentials{}, fmt.Errorf("it has none of the keys: give it %s and %s of a connected app, or %s and %s of a user",
			keyClientID, keyClientSecret, keyUsername, keyPassword)
	case 2:
		return Credentials{}, errors.New("it holds a connected app's credentials and a user's: keep only one pair")
	}
	p := found[0]
	for _, each := range []struct{ key, value, other string }{{p.idKey, p.id, p.secretKey}, {p.secretKey, p.secret, p.idKey}} {
		if each.value == "" {
			return Credentials{}, fmt.Errorf("key %s is missing or empty, although %s is there", each.key, each.other)
		}
		if strings.ContainsAny(each.value, "\x00\r\n") {
			return Credentials{}, fmt.Errorf("the value of key %s has more than one line, or a NUL", each.key)
		}
	}
	return Credentials{func() pair { return p }}, nil
}

// Data is what ParseCredentials reads them from. It is for a Secret.
func (c Credentials) Data() map[string][]byte {
	p := c.pair()
	if p.id == "" {
		return map[string][]byte{}
	}
	return map[string][]byte{p.idKey: []byte(p.id), p.secretKey: []byte(p.secret)}
}

// flags are what flexctl wants.
func (c Credentials) flags() []string {
	p := c.pair()
	return []string{"--" + p.idKey + "=" + p.id, "--" + p.secretKey + "=" + p.secret}
}

// secrets are the values that must not be seen anywhere, and what HTTP's basic authentication makes of them.
func (c Credentials) secrets() []string {
	p := c.pair()
	if p.id == "" {
		return p.hidden
	}
	return append([]string{p.id, p.secret, p.id + ":" + p.secret}, p.hidden...)
}

// userInfo finds the user and the password of a proxy, whose URL may lack the scheme and need not be a valid one.
var userInfo = regexp.MustCompile(`(?i)^(?:[a-z0-9]+://)?(.+)@`)

// hiding adds the passwords of an environment's proxies to what must not be seen.
func (c Credentials) hiding(environment []string) Credentials {
	p := c.pair()
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if found := userInfo.FindStringSubmatch(value); found != nil && slices.Contains(proxyVariables, name) {
			decoded, _ := url.PathUnescape(found[1])
			for _, info := range []string{found[1], decoded} {
				if _, password, set := strings.Cut(info, ":"); set {
					p.hidden = append(p.hidden, password, info)
				}
			}
		}
	}
	return Credentials{func() pair { return p }}
}

// Format keeps every fmt verb from printing a credential.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credentials]")) }

// MarshalJSON keeps loggers and encoders from writing a credential.
func (c Credentials) MarshalJSON() ([]byte, error) { return []byte(`"[credentials]"`), nil }
