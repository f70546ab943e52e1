package anypoint

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/gomega"
)

const testPEM = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQ0FUT0ZUSEVTRUNS
RVRLRVlUSEFUTk9CT0RZTVVTVFNFRUlOQUxPR2hRANCAATxA0FUT0ZUSEVTRUNSR
VRLRVlUSE==
-----END PRIVATE KEY-----
`

const testJWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

func TestScrubCredentials(t *testing.T) {
	for name, c := range map[string]Credentials{
		"app":       parseCredentials(t, "client-id", testID, "client-secret", testSecret),
		"short app": parseCredentials(t, "client-id", "my-app", "client-secret", "abcde"),
		"user":      parseCredentials(t, "username", "ana.lopez@example.com", "password", testPassword),
		"contained": parseCredentials(t, "username", "lopez", "password", "lopez1234"),
		"two words": parseCredentials(t, "username", "ana", "password", "two  words\tand  more"),
		"unusual":   parseCredentials(t, "username", "ana", "password", "?>~~?>ab"), // base64 with both signs
		"quotes":    parseCredentials(t, "username", "ana", "password", `"quoted"`),
	} {
		t.Run(name, func(t *testing.T) {
			for _, secret := range c.secrets()[:2] {
				quoted, err := json.Marshal(secret)
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				var lax strings.Builder // JSON as others write it
				encoder := json.NewEncoder(&lax)
				encoder.SetEscapeHTML(false)
				NewWithT(t).Expect(encoder.Encode(secret)).To(Succeed())
				for way, text := range map[string]string{
					"raw":                 secret,
					"after a sign":        "=" + secret + "&",
					"quoted":              fmt.Sprintf("%q", secret),
					"query":               url.QueryEscape(secret),
					"query, lower case":   lowerHex(url.QueryEscape(secret)),
					"path":                url.PathEscape(secret),
					"path, lower case":    lowerHex(url.PathEscape(secret)),
					"JSON":                string(quoted),
					"JSON without escape": lax.String(),
					"JSON in ASCII":       strings.ReplaceAll(lax.String(), "é", `\u00e9`),
					"HTML":                html.EscapeString(secret),
					"XML":                 strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(secret),
					"base64":              base64.StdEncoding.EncodeToString([]byte(secret)),
					"base64, URL":         base64.URLEncoding.EncodeToString([]byte(secret)),
					"base64, unpadded":    base64.RawStdEncoding.EncodeToString([]byte(secret)),
					"twice":               secret + secret,
					"split by a NUL":      secret[:2] + "\x00" + secret[2:],
					"split by no UTF-8":   secret[:2] + "\xff" + secret[2:],
				} {
					line := scrub("[flexctl][error] it is "+text+" that was wrong", c)
					for _, forbidden := range []string{secret, oneLine(secret), strings.TrimSpace(text)} {
						NewWithT(t).Expect(line).NotTo(ContainSubstring(forbidden), way)
					}
					NewWithT(t).Expect(line).To(And(HavePrefix("it is "), HaveSuffix(" that was wrong"), ContainSubstring(redacted)), way)
				}
			}
			basic := base64.StdEncoding.EncodeToString([]byte(c.secrets()[0] + ":" + c.secrets()[1]))
			for _, text := range []string{"Authorization: Basic " + basic, "credentials " + basic, strings.TrimRight(basic, "=")} {
				NewWithT(t).Expect(scrub("flexctl sent "+text+" to it", c)).NotTo(ContainSubstring(strings.TrimRight(basic, "=")))
			}
		})
	}
}

// Of a secret that begins with another one, nothing stays.
func TestScrubTakesTheLongest(t *testing.T) {
	c := parseCredentials(t, "username", "lopez", "password", "lopez1234")
	NewWithT(t).Expect(scrub("lopez has lopez1234", c)).To(Equal("[redacted] has [redacted]"))
}

func lowerHex(s string) string { return percentEncoded.ReplaceAllStringFunc(s, strings.ToLower) }

func TestScrub(t *testing.T) {
	const uuid = "5f2e1c1a-9d55-4a43-8d8e-6c6b2f1f2a11"
	for name, c := range map[string]struct{ output, want string }{
		"nothing":            {"", "no output"},
		"white space":        {" \r\n\t ", "no output"},
		"control characters": {"\x00\x1b\x07", "no output"},
		"an error":           {"connecting\n[flexctl][error] it failed\nfor a reason\n", "it failed for a reason"},
		"two errors":         {"[flexctl][error] first\n[flexctl][error] second\n", "first [flexctl][error] second"},
		"an empty error":     {"before\n[flexctl][error]\n", "no output"},
		"no error":           {"panic: it\n\tfailed\r\n", "panic: it failed"},
		"colours":            {"\x1b[31mred\x1b[0m", "[31mred[0m"},
		"no UTF-8":           {"it\xff\xfe failed \xe2\x82", "it failed"},
		"other scripts":      {"зашибка\u00a0失敗\u2028x", "зашибка 失敗 x"},
		"an id stays":        {"gateway " + uuid + " at anypoint.mulesoft.com:443 not found", "gateway " + uuid + " at anypoint.mulesoft.com:443 not found"},
		"PEM":                {"key:\n" + testPEM + "that was it", "key: [redacted] that was it"},
		"PEM on one line":    {"key: " + strings.ReplaceAll(testPEM, "\n", `\n`) + " that was it", `key: [redacted]\n that was it`},
		"half a PEM":         {"key: " + testPEM[:120], "key: [redacted]"},
		"PEM's middle":       {strings.Split(testPEM, "\n")[1], "[redacted]"},
		"two PEMs":           {testPEM + "and" + testPEM, "[redacted] and[redacted]"},
		"a JWT":              {"token " + testJWT + " was refused", "token [redacted] was refused"},
		"an unsigned JWT":    {"token eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0. was refused", "token [redacted] was refused"},
		"a long token":       {"token " + strings.Repeat("a1B_-", 10) + "." + strings.Repeat("x", 5) + ", refused", "token [redacted], refused"},
		"a bearer":           {"sent Bearer " + uuid + ", refused", "sent Bearer [redacted], refused"},
		"a header":           {"HTTP/1.1 400 Bad Request\r\nSet-Cookie: session=" + uuid + "; Path=/\r\nX-Id: 1\r\n", "HTTP/1.1 400 Bad Request Set-Cookie: [redacted] X-Id: 1"},
		"authorization":      {"> authorization: Basic YTpi\n> host: a", "> authorization: [redacted] > host: a"},
		"a token in JSON":    {`{"access_token":"` + uuid + `","expires_in":1}`, `{"access_token":"[redacted]","expires_in":1}`},
		"a token in a query": {"GET /x?access_token=abc123&y=1", "GET /x?access_token=[redacted]&y=1"},
		"with an @ in it":    {`invalid proxy address "http://me:p@ss@proxy:3128"`, `invalid proxy address "http://[redacted]proxy:3128"`},
		"a proxy's password": {`invalid proxy address "http://me:hunter2@proxy:3128"`, `invalid proxy address "http://[redacted]proxy:3128"`},
		"one with a space":   {`invalid proxy address "http://me:hunter 2@proxy:3128": parse …`, `invalid proxy address "http:[redacted]proxy:3128": parse …`},
		"one with a quote":   {`proxyconnect http://me:hun"ter22@proxy:3128`, `proxyconnect http://[redacted]proxy:3128`},
		"one of no URL":      {`invalid proxy address "me:hunter%zz2@proxy:3128": parse …`, `invalid proxy address "me:[redacted]proxy:3128": parse …`},
		"an address in JSON": {`{"message":"ask admin@example.com","code":1}`, `{"message":"ask admin@example.com","code":1}`},
		"one with a slash":   {`invalid proxy address "http://me:hunt/er2@proxy:3128", to reach https://a/b`, `invalid proxy address "http://[redacted]proxy:3128", to reach https://a/b`},
		"long":               {strings.Repeat("word ", 100), strings.Repeat("word ", 39) + "wo…"},
		"long, other script": {strings.Repeat("失敗 ", 100), strings.Repeat("失敗 ", 28) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(scrub(c.output, Credentials{})).To(Equal(c.want))
		})
	}
}

func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct{ output, want string }{ // want "": its end
		"nothing":             {"\n ", ""},
		"one line":            {"panic: it failed\n", "panic: it failed"},
		"the end of many":     {strings.Repeat("all is well\n", 100) + "panic: it failed\n", ""},
		"PEM":                 {"started\n" + testPEM + "panic", "started [redacted] panic"},
		"the end of a PEM":    {testPEM[len(testPEM)-60:] + "panic", "[redacted] panic"},
		"a header":            {"Authorization: Basic YTpi\npanic", "Authorization: [redacted] panic"},
		"long, other scripts": {strings.Repeat("失敗", 100), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := LastWords(c.output)
			NewWithT(t).Expect(len(got)).To(BeNumerically("<=", maxLine))
			if c.want == "" && oneLine(c.output) != "" {
				NewWithT(t).Expect(got).To(HavePrefix("…"))
				NewWithT(t).Expect(utf8.ValidString(got)).To(BeTrue())
				NewWithT(t).Expect(oneLine(c.output)).To(HaveSuffix(strings.TrimPrefix(got, "…")))
				return
			}
			NewWithT(t).Expect(got).To(Equal(c.want))
		})
	}
}

func TestScrubIsQuickAndSmall(t *testing.T) {
	g := NewWithT(t)
	c := parseCredentials(t, "username", "a", "password", "e")
	for _, output := range []string{strings.Repeat("ae", maxOutput/2), strings.Repeat("-----BEGIN a", maxOutput/12), strings.Repeat("[flexctl][error]", maxOutput/16), strings.Repeat("A", maxOutput), strings.Repeat("eyJa.", maxOutput/5)} {
		g.Expect(len(scrub(output, c))).To(BeNumerically("<=", maxLine))
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("[flexctl][error] wrong secret ", "s3cr3t<&>/+=", " given\n", uint8(0))
	f.Add(testPEM, testPassword, testJWT, uint8(3))
	f.Add("\xff\x00é[flexctl]", "[error]", "-----BEGIN ", uint8(1))
	f.Add(strings.Repeat("x", 195), "ééééé", "Bearer ", uint8(5))
	f.Add("a: ", "two  words", "\u2028", uint8(2))
	f.Fuzz(func(t *testing.T, before, secret, after string, way uint8) {
		c, err := ParseCredentials(map[string][]byte{"username": []byte("no one's"), "password": []byte(secret)})
		if err != nil {
			return
		}
		secret = c.pair().secret
		spelled := spellings(secret)
		spelling := spelled[int(way)%len(spelled)]
		line := scrub(before+spelling+after, c)
		switch {
		case len(line) > maxLine:
			t.Errorf("%d bytes: %q", len(line), line)
		case !utf8.ValidString(line):
			t.Errorf("no UTF-8: %q", line)
		case strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Errorf("more than a line of text: %q", line)
		case strings.Contains(line, "-----BEGIN "):
			t.Errorf("PEM: %q", line)
		case strings.TrimSpace(line) != line || line == "":
			t.Errorf("blank: %q", line)
		}
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) {
			if len(word) >= 40 {
				t.Errorf("a long word: %q", line)
			}
		}
		// Of a secret that is in the words of this package, or of a few characters, nothing can be told.
		plain := oneLine(secret)
		if len(plain) < 5 || !utf8.ValidString(secret) || strings.ContainsAny(plain, "[]") || strings.Contains("[redacted] no output", plain) {
			return
		}
		for _, s := range spelled {
			if s = oneLine(s); len(s) >= 5 && !strings.Contains("[redacted] no output", s) && strings.Contains(line, s) {
				t.Errorf("%q shows %q", line, s)
			}
		}
	})
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"

func TestScrubHidesTheProxysPassword(t *testing.T) {
	g := NewWithT(t)
	c := Credentials{}.hiding([]string{"PATH=/bin", "HTTPS_PROXY=http://me:hunter22@proxy:3128", "https_proxy=http://proxy:3128", "NO_PROXY=x", "HOME=http://a:b@c"})
	g.Expect(scrub("[flexctl][error] proxy refused me:hunter22, that is hunter22", c)).To(Equal("proxy refused [redacted], that is [redacted]"))
}

// Programs take also what is no URL, and then quote it.
func TestScrubHidesThePasswordOfAProxyThatIsNoURL(t *testing.T) {
	for proxy, told := range map[string]string{
		"me:hunter22@proxy:3128":                "me:hunter22",
		"HTTP://me:hunter22@proxy:3128":         "me:hunter22",
		"http://me:hunt/er 22@proxy:3128":       "hunt/er 22",
		"http://me:hunter%zz@proxy:3128":        "hunter%zz",
		"http://me:hunter%2022@proxy:3128":      "hunter 22",
		"http://me%40here:hunter22@proxy:3128/": "me@here:hunter22",
	} {
		c := Credentials{}.hiding([]string{"HTTPS_PROXY=" + proxy})
		NewWithT(t).Expect(scrub("it said "+told, c)).To(Equal("it said [redacted]"), proxy)
	}
}
