package anypoint

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const (
	testID       = "0d1f6a52-77b3-4a55-9f0e-3a8d1c2b4e5f"
	testSecret   = `s3cr3t/<&"\` + "`é+ %"
	testPassword = "pa55 w0rd!"
)

func parseCredentials(t testing.TB, pairs ...string) Credentials {
	t.Helper()
	c, err := ParseCredentials(credentialsData(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func credentialsData(pairs ...string) map[string][]byte {
	data := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = []byte(pairs[i+1])
	}
	return data
}

func TestParseCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		data []string
		want []string
	}{
		"connected app":     {[]string{"client-id", testID, "client-secret", testSecret}, []string{"--client-id=" + testID, "--client-secret=" + strings.TrimSpace(testSecret)}},
		"user":              {[]string{"username", "ana", "password", testPassword}, []string{"--username=ana", "--password=" + testPassword}},
		"space around":      {[]string{"client-id", " a\n", "client-secret", "\r\n\tb c \n"}, []string{"--client-id=a", "--client-secret=b c"}},
		"an empty user":     {[]string{"client-id", "a", "client-secret", "b", "username", "", "password", " \n"}, []string{"--client-id=a", "--client-secret=b"}},
		"an empty app":      {[]string{"client-id", "", "username", "a", "password", "b"}, []string{"--username=a", "--password=b"}},
		"other keys":        {[]string{"username", "a", "password", "b", "notes", "c\nd"}, []string{"--username=a", "--password=b"}},
		"looks like a flag": {[]string{"username", "--help", "password", "-x"}, []string{"--username=--help", "--password=-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			credentials, err := ParseCredentials(credentialsData(c.data...))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(credentials.flags()).To(Equal(c.want))
		})
	}
}

func TestParseCredentialsRefuses(t *testing.T) {
	const value = "unmistakable"
	for name, c := range map[string]struct {
		data []string
		want []string // what the message names
	}{
		"nothing":            {nil, []string{"client-id", "client-secret", "username", "password"}},
		"other keys":         {[]string{"clientId", value, "user", value}, []string{"none of the keys", "client-id"}},
		"blank values":       {[]string{"client-id", " ", "client-secret", "\n"}, []string{"none of the keys"}},
		"no client-secret":   {[]string{"client-id", value}, []string{"key client-secret is missing or empty, although client-id is there"}},
		"no client-id":       {[]string{"client-secret", value}, []string{"key client-id is missing or empty, although client-secret is there"}},
		"an empty client-id": {[]string{"client-id", "\n", "client-secret", value}, []string{"key client-id is missing or empty"}},
		"no password":        {[]string{"username", value}, []string{"key password is missing or empty, although username is there"}},
		"no username":        {[]string{"password", value}, []string{"key username is missing or empty, although password is there"}},
		"both pairs":         {[]string{"client-id", value, "client-secret", value, "username", value, "password", value}, []string{"keep only one pair"}},
		"halves of both":     {[]string{"client-id", value, "password", value}, []string{"keep only one pair"}},
		"two lines":          {[]string{"client-id", value, "client-secret", value + "\n" + value}, []string{"key client-secret has more than one line"}},
		"a carriage return":  {[]string{"username", value + "\r" + value, "password", value}, []string{"key username has more than one line"}},
		"a NUL":              {[]string{"username", value, "password", value + "\x00"}, []string{"key password has more than one line, or a NUL"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			credentials, err := ParseCredentials(credentialsData(c.data...))
			g.Expect(credentials).To(Equal(Credentials{}))
			for _, want := range c.want {
				g.Expect(err).To(MatchError(ContainSubstring(want)))
			}
			g.Expect(err.Error()).NotTo(ContainSubstring(value))
		})
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	g := NewWithT(t)
	app := parseCredentials(t, "client-id", testID, "client-secret", testSecret)
	user := parseCredentials(t, "username", "ana.lopez", "password", testPassword)
	type holder struct{ Credentials Credentials }
	type hidden struct{ credentials Credentials }
	for _, c := range []Credentials{app, user} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3v", "%-5s", "%!", "%w"} {
			for _, v := range []any{c, &c, holder{c}, &holder{c}, hidden{c}, &hidden{c}, []Credentials{c}, map[string]Credentials{"a": c}, map[string]any{"a": &c}} {
				text := fmt.Sprintf(verb, v)
				g.Expect(leaks(text, c)).To(BeEmpty(), "%s of %T: %s", verb, v, text)
			}
		}
		g.Expect(fmt.Sprint(c)).To(Equal("[credentials]"))
		g.Expect(leaks(fmt.Errorf("with %v", c).Error(), c)).To(BeEmpty())
		for _, v := range []any{c, &c, holder{c}, []Credentials{c}} {
			encoded, err := json.Marshal(v)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(leaks(string(encoded), c)).To(BeEmpty(), "%s", encoded)
		}
		for _, newHandler := range []func(*strings.Builder) slog.Handler{
			func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b strings.Builder
			slog.New(newHandler(&b)).Info("renewing", "credentials", c, "holder", holder{c}, "hidden", hidden{c})
			g.Expect(b.String()).To(ContainSubstring("renewing"))
			g.Expect(leaks(b.String(), c)).To(BeEmpty())
		}
	}
}

// leaks returns the credentials that a text shows, in any of their spellings.
func leaks(text string, c Credentials) (found []string) {
	for _, secret := range append(c.secrets(), testID, strings.TrimSpace(testSecret), testPassword) {
		for _, spelling := range spellings(secret) {
			if strings.Contains(text, spelling) || strings.Contains(text, fmt.Sprintf("%x", spelling)) {
				found = append(found, spelling)
			}
		}
	}
	return found
}
