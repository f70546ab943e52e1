package anypoint

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/registrations"
)

// mounted makes of an attempt's Secret what a container finds.
func mounted(t testing.TB, data map[string][]byte) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range data {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestAttemptTravels(t *testing.T) {
	old := registrations.New(t)
	app := parseCredentials(t, "client-id", testID, "client-secret", testSecret)
	for name, a := range map[string]Attempt{
		"app":          {Registration: old, Credentials: app, Network: Network{Proxy: map[string]string{}}},
		"user":         {Registration: old, Credentials: parseCredentials(t, "username", "ana", "password", testPassword), Network: Network{Proxy: map[string]string{}}},
		"a CA":         {Registration: old, Credentials: app, Network: Network{Proxy: map[string]string{}, CABundle: []byte("-----BEGIN CERTIFICATE-----\r\n…\n")}},
		"proxies":      {Registration: old, Credentials: app, Network: Network{Proxy: map[string]string{"HTTPS_PROXY": "http://me:p%20w@proxy:3128", "HTTP_PROXY": "http://[::1]:1", "NO_PROXY": "10.0.0.0/8,.svc", "https_proxy": "http://other:1"}}},
		"an empty one": {Registration: old, Credentials: app, Network: Network{Proxy: map[string]string{"HTTPS_PROXY": ""}}},
	} {
		t.Run(name, func(t *testing.T) { expectTravels(t, a) })
	}
}

func TestAttemptsTravelWhateverIsInThem(t *testing.T) {
	old := registrations.New(t)
	random := rand.New(rand.NewPCG(1, 1))
	text := func() string {
		runes := make([]rune, 1+random.IntN(40))
		for i := range runes {
			runes[i] = rune('!' + random.IntN(0x2000))
		}
		return "a" + strings.TrimSpace(strings.ToValidUTF8(string(runes), "")) + "z"
	}
	for range 200 {
		a := Attempt{Registration: old, Network: Network{Proxy: map[string]string{}}}
		if random.IntN(2) == 0 {
			a.Credentials = parseCredentials(t, "client-id", text(), "client-secret", text())
		} else {
			a.Credentials = parseCredentials(t, "username", text(), "password", text())
		}
		for _, name := range proxyVariables {
			if random.IntN(2) == 0 {
				a.Network.Proxy[name] = text()
			}
		}
		if random.IntN(2) == 0 {
			a.Network.CABundle = []byte(text())
		}
		expectTravels(t, a)
	}
}

func expectTravels(t *testing.T, a Attempt) {
	t.Helper()
	g := NewWithT(t)
	read, err := readAttempt(mounted(t, a.Data()))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(read.Registration).To(Equal(a.Registration))
	g.Expect(read.Credentials.pair()).To(Equal(a.Credentials.pair()))
	g.Expect(read.Network).To(Equal(a.Network))
}

// What stands in the Secret beside the attempt is nothing to flexctl.
func TestAttemptTakesNothingElse(t *testing.T) {
	g := NewWithT(t)
	data := Attempt{Registration: registrations.New(t), Credentials: parseCredentials(t, "client-id", "a", "client-secret", "b")}.Data()
	for _, name := range []string{"LD_PRELOAD", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "ALL_PROXY"} {
		data[name] = []byte("/somewhere")
	}
	read, err := readAttempt(mounted(t, data))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(read.Network).To(Equal(Network{Proxy: map[string]string{}}))
	g.Expect(read.environment("/attempt")).To(Equal(os.Environ()))
}

func TestAttemptThatIsNotThere(t *testing.T) {
	whole := Attempt{Registration: registrations.New(t), Credentials: parseCredentials(t, "client-id", testID, "client-secret", testSecret)}
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		want   string
	}{
		"nothing":         {func(data map[string][]byte) { clear(data) }, "no such key"},
		"no registration": {func(data map[string][]byte) { delete(data, registration.DefaultKey) }, "no such key"},
		"no credentials":  {func(data map[string][]byte) { delete(data, "client-id"); delete(data, "client-secret") }, "none of the keys"},
		"half of them":    {func(data map[string][]byte) { delete(data, "client-id") }, "key client-id is missing"},
		"two of them":     {func(data map[string][]byte) { data["username"] = []byte("ana") }, "keep only one pair"},
		"garbage":         {func(data map[string][]byte) { data[registration.DefaultKey] = []byte("{" + testSecret) }, "not valid YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			data := whole.Data()
			c.change(data)
			_, err := readAttempt(mounted(t, data))
			g.Expect(err).To(MatchError(ContainSubstring(c.want)))
			g.Expect(leaks(err.Error(), whole.Credentials)).To(BeEmpty())
		})
	}
	_, err := readAttempt(filepath.Join(t.TempDir(), "missing"))
	NewWithT(t).Expect(err).To(HaveOccurred())
}

func TestNetworkFromEnvironment(t *testing.T) {
	g := NewWithT(t)
	for _, name := range slices.Concat(proxyVariables, certificateVariables) {
		t.Setenv(name, "")
		g.Expect(os.Unsetenv(name)).To(Succeed())
	}
	g.Expect(NetworkFromEnvironment()).To(Equal(Network{Proxy: map[string]string{}}))

	ca := filepath.Join(t.TempDir(), "ca.pem")
	g.Expect(os.WriteFile(ca, []byte("certificates"), 0o600)).To(Succeed())
	t.Setenv("SSL_CERT_FILE", ca)
	t.Setenv("HTTPS_PROXY", "http://proxy:3128")
	t.Setenv("NO_PROXY", "")
	t.Setenv("http_proxy", "http://other:1")
	g.Expect(NetworkFromEnvironment()).To(Equal(Network{Proxy: map[string]string{"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "", "http_proxy": "http://other:1"}, CABundle: []byte("certificates")}))

	t.Setenv("SSL_CERT_FILE", ca+".missing")
	_, err := NetworkFromEnvironment()
	g.Expect(err).To(And(MatchError(os.ErrNotExist), MatchError(ContainSubstring("SSL_CERT_FILE"))))
}

// A kubelet takes 4096 bytes.
func TestTerminationMessageFits(t *testing.T) {
	g := NewWithT(t)
	const kubelets = 4096
	for _, detail := range []string{"", "short", "<", "\x00", "\xff", "\"", "\u2028", "失", "\U0001F600", "a\n"} {
		for _, class := range classes {
			for _, unresolved := range []bool{false, true} {
				e := &Error{Class: class, Detail: strings.Repeat(detail, 5000), Unresolved: unresolved}
				message := string(e.terminationMessage())
				g.Expect(len(message)).To(BeNumerically("<=", kubelets), "%q", detail)
				read := ParseTerminationMessage(message, Credentials{})
				g.Expect(read).NotTo(BeNil(), "%q", detail)
				g.Expect(read.Class).To(Equal(class))
				g.Expect(read.Unresolved).To(Equal(unresolved || class == FlexctlFailed))
				g.Expect(len(read.Detail)).To(BeNumerically("<=", maxDetail))
			}
		}
	}
}

func TestParseTerminationMessage(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		want    *Error
	}{
		"an error":         {`{"class":"RateLimited","detail":"wait"}`, &Error{Class: RateLimited, Detail: "wait"}},
		"an unresolved":    {`{"class":"RenewalTimedOut","detail":"late","unresolved":true}`, &Error{Class: TimedOut, Detail: "late", Unresolved: true}},
		"unknown in it":    {`{"class":"RateLimited","detail":"wait","more":[{}]}`, &Error{Class: RateLimited, Detail: "wait"}},
		"lines":            {`{"class":"RateLimited","detail":"a\nb\u0000\tc"}`, &Error{Class: RateLimited, Detail: "a b c"}},
		"a claim of quiet": {`{"class":"FlexctlFailed","detail":"x","unresolved":false}`, &Error{Class: FlexctlFailed, Detail: "x", Unresolved: true}},
		"of wrong types":   {`{"class":"RequestRefused","detail":"x","unresolved":"yes"}`, nil},
		"of a wrong type":  {`{"class":"RequestRefused","detail":5}`, nil},
		"without a detail": {`{"class":"RequestRefused"}`, &Error{Class: RequestRefused, Detail: "nothing more is known"}},
		"nothing":          {``, nil},
		"text":             {`panic: it failed`, nil},
		"half of it":       {`{"class":"RateLimited","detail":"wa`, nil},
		"its end":          {`ited","detail":"wait"}`, nil},
		"more after it":    {`{"class":"RateLimited","detail":"wait"} and so on`, nil},
		"a list":           {`[{"class":"RateLimited"}]`, nil},
		"null":             {`null`, nil},
		"no class":         {`{"detail":"wait"}`, nil},
		"unknown class":    {`{"class":"Renewed","detail":"wait"}`, nil},
		"another's class":  {`{"class":"JobFailed","detail":"wait"}`, nil},
		"class in capital": {`{"class":"RATELIMITED","detail":"wait"}`, nil},
		"class of another": {`{"class":5}`, nil},
		"deep":             {strings.Repeat(`{"class":`, 20000), nil},
		"a secret":         {`{"class":"RateLimited","detail":"it was ` + testID + `"}`, &Error{Class: RateLimited, Detail: "it was [redacted]"}},
		"an escaped one":   {`{"class":"RateLimited","detail":"it was \u0030` + testID[1:] + `"}`, &Error{Class: RateLimited, Detail: "it was [redacted]"}},
		"a key":            {`{"class":"RateLimited","detail":` + quoted(testPEM) + `}`, &Error{Class: RateLimited, Detail: "[redacted]"}},
	} {
		t.Run(name, func(t *testing.T) {
			credentials := parseCredentials(t, "client-id", testID, "client-secret", testSecret)
			NewWithT(t).Expect(ParseTerminationMessage(c.message, credentials)).To(Equal(c.want))
		})
	}
}

func quoted(s string) string {
	encoded, _ := json.Marshal(s)
	return string(encoded)
}

// Whatever a container leaves as its message, what is made of it is a bounded line without credentials and keys.
func FuzzParseTerminationMessage(f *testing.F) {
	f.Add(`{"class":"RateLimited","detail":"wait"}`, "", "s3cr3t<&>/+=", uint8(0))
	f.Add(`{"class":"RateLimited","detail":"it was `, `"}`, testPassword, uint8(1))
	f.Add(`{"class":"FlexctlFailed","detail":"Authorization: `, `\n-----BEGIN","unresolved":false}`, "ab", uint8(7))
	f.Add(`{"class":"JobNotStarted","detail":"\ud800\u0000`, `"}`, "ééééé", uint8(3))
	f.Add("\xff", "{", "two  words", uint8(2))
	f.Fuzz(func(t *testing.T, before, after, secret string, way uint8) {
		c, err := ParseCredentials(map[string][]byte{keyUsername: []byte("no one's"), keyPassword: []byte(secret)})
		if err != nil {
			return
		}
		secret = c.pair().secret
		spelled := spellings(secret)
		spelling := spelled[int(way)%len(spelled)]
		messages := []string{before + after, before + spelling + after}
		for _, class := range classes { // So that it is not for the fuzzer to find how messages look.
			messages = append(messages, `{"class":`+quoted(string(class))+`,"detail":`+quoted(before+spelling+after)+`}`)
		}
		for i, message := range messages {
			e := ParseTerminationMessage(message, c)
			if e == nil {
				if i >= 2 {
					t.Fatalf("nothing is made of %q", message)
				}
				continue
			}
			checkTold(t, e, secret, spelled)
		}
	})
}

func checkTold(t *testing.T, e *Error, secret string, spelled []string) {
	t.Helper()
	known := false
	for _, class := range classes {
		known = known || class == e.Class
	}
	switch {
	case !known:
		t.Errorf("class %q", e.Class)
	case e.Class == FlexctlFailed && !e.Unresolved:
		t.Error("nobody knows what flexctl did, and it counts as resolved")
	case len(e.Detail) > maxDetail:
		t.Errorf("%d bytes: %q", len(e.Detail), e.Detail)
	case !utf8.ValidString(e.Detail):
		t.Errorf("no UTF-8: %q", e.Detail)
	case strings.ContainsFunc(e.Detail, func(r rune) bool { return !unicode.IsPrint(r) }):
		t.Errorf("more than a line of text: %q", e.Detail)
	}
	// The lines of a key are long.
	for word := range strings.FieldsFuncSeq(e.Detail, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) {
		if len(word) >= 40 {
			t.Errorf("a long word: %q", e.Detail)
		}
	}
	// Of a secret that is in the words of this package, or of a few characters, nothing can be told.
	if plain := oneLine(secret); len(plain) < 5 || !utf8.ValidString(secret) || strings.ContainsAny(plain, "[]") || strings.Contains(redacted, plain) {
		return
	}
	for _, s := range spelled {
		if s = oneLine(s); len(s) >= 5 && !strings.Contains(redacted, s) && strings.Contains(e.Detail, s) {
			t.Errorf("%q shows %q", e.Detail, s)
		}
	}
}
