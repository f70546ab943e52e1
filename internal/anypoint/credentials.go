package anypoint

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The keys of a credentials Secret.
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

// pair is a connected app's, or a user's; the other's fields are empty.
type pair struct {
	clientID, clientSecret string
	username, password     string
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
	value := func(key string) string { return strings.TrimSpace(string(data[key])) }
	c := pair{
		clientID: value(keyClientID), clientSecret: value(keyClientSecret),
		username: value(keyUsername), password: value(keyPassword),
	}
	app, user := c.clientID != "" || c.clientSecret != "", c.username != "" || c.password != ""
	switch {
	case app && user:
		return Credentials{}, errors.New("it holds a connected app's credentials and a user's: keep only one pair")
	case app:
		if err := complete(c.clientID, keyClientID, c.clientSecret, keyClientSecret); err != nil {
			return Credentials{}, err
		}
	case user:
		if err := complete(c.username, keyUsername, c.password, keyPassword); err != nil {
			return Credentials{}, err
		}
	default:
		return Credentials{}, fmt.Errorf("it has none of the keys: give it %s and %s of a connected app, or %s and %s of a user",
			keyClientID, keyClientSecret, keyUsername, keyPassword)
	}
	for key, v := range map[string]string{keyClientID: c.clientID, keyClientSecret: c.clientSecret, keyUsername: c.username, keyPassword: c.password} {
		if strings.ContainsAny(v, "\x00\r\n") {
			return Credentials{}, fmt.Errorf("the value of key %s has more than one line, or a NUL", key)
		}
	}
	return Credentials{func() pair { return c }}, nil
}

func complete(first, firstKey, second, secondKey string) error {
	if first == "" {
		return fmt.Errorf("key %s is missing or empty, although %s is there", firstKey, secondKey)
	}
	if second == "" {
		return fmt.Errorf("key %s is missing or empty, although %s is there", secondKey, firstKey)
	}
	return nil
}

// Data is what ParseCredentials reads them from. It is for a Secret.
func (c Credentials) Data() map[string][]byte {
	p, data := c.pair(), map[string][]byte{}
	for key, v := range map[string]string{keyClientID: p.clientID, keyClientSecret: p.clientSecret, keyUsername: p.username, keyPassword: p.password} {
		if v != "" {
			data[key] = []byte(v)
		}
	}
	return data
}

// flags are what flexctl wants.
func (c Credentials) flags() []string {
	p := c.pair()
	if p.clientID != "" {
		return []string{"--client-id=" + p.clientID, "--client-secret=" + p.clientSecret}
	}
	return []string{"--username=" + p.username, "--password=" + p.password}
}

// secrets are the values that must not be seen anywhere, and what HTTP's basic authentication makes of them.
func (c Credentials) secrets() []string {
	p := c.pair()
	switch {
	case p.clientID != "":
		return append([]string{p.clientID, p.clientSecret, p.clientID + ":" + p.clientSecret}, p.hidden...)
	case p.username != "":
		return append([]string{p.username, p.password, p.username + ":" + p.password}, p.hidden...)
	}
	return p.hidden
}

// hiding adds the passwords that are in the URLs of an environment's proxies to what must not be seen.
func (c Credentials) hiding(environment []string) Credentials {
	p := c.pair()
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if u, err := url.Parse(value); err == nil && u.User != nil && slices.Contains(proxyVariables, name) {
			if password, set := u.User.Password(); set {
				p.hidden = append(p.hidden, password, u.User.Username()+":"+password)
			}
		}
	}
	return Credentials{func() pair { return p }}
}

// Format keeps every fmt verb from printing a credential.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credentials]")) }

// MarshalJSON keeps loggers and encoders from writing a credential.
func (c Credentials) MarshalJSON() ([]byte, error) { return []byte(`"[credentials]"`), nil }
