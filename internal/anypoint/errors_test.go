package anypoint

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// facade is what flexctl prints of a refused renewal.
func facade(status, body string) string {
	return "[flexctl][error] reg facade call returned error response:\nHTTP/1.1 " + status + "\r\nContent-Type: text/plain\r\nDate: Mon, 01 Jan 2031 00:00:00 GMT\r\n\r\n" + body + "\n"
}

func authentication(status, body string) string {
	return strings.Replace(facade(status, body), "reg facade call", "authentication call", 1)
}

func TestClassify(t *testing.T) {
	for name, c := range map[string]struct {
		output     string
		class      Class
		unresolved bool
	}{
		"refused":                {facade("400 Bad Request", `{"message":"Gateway not found by id"}`), RequestRefused, false},
		"not found":              {facade("404 Not Found", ""), RequestRefused, false},
		"conflict":               {facade("409 Conflict", ""), RequestRefused, false},
		"HTTP/2":                 {strings.Replace(facade("400 Bad Request", ""), "HTTP/1.1", "HTTP/2.0", 1), RequestRefused, false},
		"wrong credentials":      {authentication("401 Unauthorized", "Unauthorized"), CredentialsRejected, false},
		"OAuth":                  {authentication("400 Bad Request", `{"error":"invalid_client"}`), CredentialsRejected, false},
		"password":               {authentication("400 Bad Request", `{"error":"invalid_grant"}`), CredentialsRejected, false},
		"MFA":                    {authentication("401 Unauthorized", `{"message":"multi-factor authentication is required"}`), MFARequired, false},
		"MFA, short":             {"[flexctl][error] MFA is enabled for this user", MFARequired, false},
		"2FA":                    {"[flexctl][error] two factor", FlexctlFailed, true},
		"2FA with a hyphen":      {"[flexctl][error] Two-Factor required", MFARequired, false},
		"no permission":          {facade("403 Forbidden", "Forbidden"), MissingScope, false},
		"no permission, 401":     {facade("401 Unauthorized", "Unauthorized"), MissingScope, false},
		"no scope":               {"[flexctl][error] insufficient_scope", MissingScope, false},
		"rate limit":             {facade("503 Service Unavailable", "503 Service Unavailable: Back-end server is at capacity"), RateLimited, false},
		"rate limit, 429":        {facade("429 Too Many Requests", ""), RateLimited, false},
		"down":                   {facade("503 Service Unavailable", "Service Unavailable"), PlatformUnavailable, false},
		"failed":                 {facade("500 Internal Server Error", ""), PlatformUnavailable, true},
		"bad gateway":            {facade("502 Bad Gateway", ""), PlatformUnavailable, true},
		"gateway timeout":        {facade("504 Gateway Timeout", ""), PlatformUnavailable, true},
		"old flexctl":            {"[flexctl][error] unknown command \"renew\" for \"flexctl registration\"", FlexctlTooOld, false},
		"old flexctl's flags":    {"[flexctl][error] unknown flag: --output-directory\nUsage: …", FlexctlTooOld, false},
		"old flexctl's flags, 2": {"flag provided but not defined: -client-id", FlexctlTooOld, false},
		"not started":            {"starting flexctl: fork/exec: permission denied\n", FlexctlUnusable, false},
		"of another machine":     {"/usr/bin/flexctl: 1: exec format error", FlexctlUnusable, false},
		"without its libraries":  {"flexctl: error while loading shared libraries: libssl.so.3: cannot open shared object file", FlexctlUnusable, false},
		"no such host":           {`[flexctl][error] Post "https://anypoint.mulesoft.com/x": dial tcp: lookup anypoint.mulesoft.com: no such host`, PlatformUnavailable, false},
		"DNS is down":            {`[flexctl][error] Post "https://a/x": dial tcp: lookup a on 10.96.0.10:53: server misbehaving`, PlatformUnavailable, false},
		"DNS times out":          {`[flexctl][error] Post "https://a/x": dial tcp: lookup a: i/o timeout`, PlatformUnavailable, false},
		"refused connection":     {`[flexctl][error] Post "https://a/x": dial tcp 127.0.0.1:443: connect: connection refused`, PlatformUnavailable, false},
		"blocked egress":         {`[flexctl][error] Post "https://a/x": dial tcp 10.1.2.3:443: i/o timeout`, PlatformUnavailable, false},
		"blocked egress, kernel": {`[flexctl][error] Post "https://a/x": dial tcp 10.1.2.3:443: connect: connection timed out`, PlatformUnavailable, false},
		"proxy":                  {`[flexctl][error] Post "https://a/x": proxyconnect tcp: EOF`, PlatformUnavailable, false},
		"proxy forbids":          {`[flexctl][error] Post "https://a/x": Forbidden`, PlatformUnavailable, false},
		"proxy wants a password": {`[flexctl][error] Post "https://a/x": Proxy Authentication Required`, PlatformUnavailable, false},
		"proxy's bad gateway":    {`[flexctl][error] Post "https://a/x": Bad Gateway`, PlatformUnavailable, false},
		"handshake":              {`[flexctl][error] Post "https://a/x": net/http: TLS handshake timeout`, PlatformUnavailable, false},
		"unknown authority":      {`[flexctl][error] Post "https://a/x": tls: failed to verify certificate: x509: certificate signed by unknown authority`, PlatformUnavailable, false},
		"no answer":              {`[flexctl][error] Post "https://a/x": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, PlatformUnavailable, true},
		"dropped":                {`[flexctl][error] Post "https://a/x": EOF`, PlatformUnavailable, true},
		"dropped midway":         {`[flexctl][error] unexpected EOF`, PlatformUnavailable, true},
		"reset":                  {`[flexctl][error] read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer`, PlatformUnavailable, true},
		"no JSON":                {"[flexctl][error] invalid character '<' looking for beginning of value", FlexctlFailed, true},
		"file exists":            {"[flexctl][error] file already exists: /x/registration.yaml", FlexctlFailed, false},
		"panic":                  {"panic: runtime error: index out of range [1] with length 1\n", FlexctlFailed, true},
		"nothing":                {"", FlexctlFailed, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := classify("exit status 1", c.output, Credentials{})
			g.Expect(e.Class).To(Equal(c.class), e.Detail)
			g.Expect(e.Unresolved).To(Equal(c.unresolved), e.Detail)
			g.Expect(e.Detail).To(ContainSubstring("flexctl exit status 1: "))
			g.Expect(e.Error()).To(Equal(e.Detail))
			g.Expect(e.Detail).NotTo(ContainSubstring("\n"))
		})
	}
}

func TestPathless(t *testing.T) {
	g := NewWithT(t)
	_, err := os.ReadFile("/no/such/directory/file")
	g.Expect(pathless(err)).To(Equal("open: no such file or directory"))
	g.Expect(pathless(os.ErrPermission)).To(Equal("permission denied"))
}
