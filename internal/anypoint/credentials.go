package anypoint

import (
	"errors"
	"fmt"
	"strings"
)

// The keys of a credentials Secret.
const (
	keyClientID     = "client-id"
	keyClientSecret = "client-secret"
	keyUsername     = "username"
	keyPassword     = "password"
)

// Credentials for Anypoint Platform: those of a connected app, or a user's. They print as a placeholder.
type Credentials struct {
	clientID, clientSecret string
	username, password     string
}

// ParseCredentials reads credentials out of a Secret's data. White space around a value, such as the newline
// that an editor leaves, is not part of it. Errors name keys, never values.
func ParseCredentials(data map[string][]byte) (Credentials, error) {
	value := func(key string) string { return strings.TrimSpace(string(data[key])) }
	c := Credentials{
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
	return c, nil
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

// flags are what flexctl wants.
func (c Credentials) flags() []string {
	if c.clientID != "" {
		return []string{"--client-id=" + c.clientID, "--client-secret=" + c.clientSecret}
	}
	return []string{"--username=" + c.username, "--password=" + c.password}
}

// secrets are the values that must not be seen anywhere.
func (c Credentials) secrets() []string {
	var out []string
	for _, s := range []string{c.clientID, c.clientSecret, c.username, c.password} {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Format keeps every fmt verb from printing a credential.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credentials]")) }

// MarshalJSON keeps loggers and encoders from writing a credential.
func (c Credentials) MarshalJSON() ([]byte, error) { return []byte(`"[credentials]"`), nil }
