package salesforce

import (
	"encoding/xml"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	simulated "github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

const (
	head = `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="http://soap.sforce.com/2006/04/metadata"><soapenv:Body>`
	tail = `</soapenv:Body></soapenv:Envelope>`
)

func TestEnvelope(t *testing.T) {
	g := NewWithT(t)
	var e envelope
	e.Header.Session.ID, e.Body.Call = "00D!<&>", deleteMetadata{Type: "Certificate", Names: []string{"A"}}
	body, err := xml.Marshal(e)
	g.Expect(err).NotTo(HaveOccurred())
	// As the WSDL wants it: each element in its namespace, what is below a call in the call's.
	decoder, names := xml.NewDecoder(strings.NewReader(string(body))), []string{}
	for {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		if start, is := token.(xml.StartElement); is {
			names = append(names, start.Name.Space[strings.LastIndex(strings.TrimSuffix(start.Name.Space, "/"), "/")+1:]+" "+start.Name.Local)
		}
	}
	g.Expect(names).To(Equal([]string{"envelope/ Envelope", "envelope/ Header", "metadata SessionHeader", "metadata sessionId", "envelope/ Body",
		"metadata deleteMetadata", "metadata type", "metadata fullNames"}))
	g.Expect(string(body)).To(ContainSubstring("00D!&lt;&amp;&gt;"))
}

// The answers are those of the documentation, and what may come in their place.
func TestAnswers(t *testing.T) {
	fault := func(code string) string {
		return head + `<soapenv:Fault><faultcode xmlns="">sf:` + code + `</faultcode><faultstring xmlns="">` + code + `: no</faultstring></soapenv:Fault>` + tail
	}
	for name, c := range map[string]struct {
		status int
		body   string
		class  anypoint.Class
	}{
		"renamed":              {200, head + `<renameMetadataResponse><result><fullName>A</fullName><success>true</success></result></renameMetadataResponse>` + tail + "\n", ""},
		"refused":              {200, head + `<renameMetadataResponse><result><errors><message>x</message><statusCode>Y</statusCode></errors><fullName>A</fullName><success>false</success></result></renameMetadataResponse>` + tail, ChangeRefused},
		"neither":              {200, head + `<renameMetadataResponse><result><success>perhaps</success></result></renameMetadataResponse>` + tail, httpclient.AnswerInvalid},
		"no result":            {200, head + `<renameMetadataResponse></renameMetadataResponse>` + tail, httpclient.AnswerInvalid},
		"two results":          {200, head + `<renameMetadataResponse><result><success>true</success></result><result><success>true</success></result></renameMetadataResponse>` + tail, httpclient.AnswerInvalid},
		"another namespace":    {200, strings.ReplaceAll(head, "soap.sforce.com", "example.com") + `<renameMetadataResponse><result><success>true</success></result></renameMetadataResponse>` + tail, httpclient.AnswerInvalid},
		"a fault":              {500, fault("INSUFFICIENT_ACCESS"), ChangeRefused},
		"a fault with 200":     {200, fault("INSUFFICIENT_ACCESS"), ChangeRefused},
		"a session":            {500, fault("INVALID_SESSION_ID"), anypoint.MissingScope},
		"the limit":            {500, fault("REQUEST_LIMIT_EXCEEDED"), anypoint.RateLimited},
		"down":                 {500, fault("SERVER_UNAVAILABLE"), anypoint.PlatformUnavailable},
		"an outage":            {503, "<html>maintenance", anypoint.PlatformUnavailable},
		"nothing":              {200, "", httpclient.AnswerInvalid},
		"JSON":                 {200, "{}", httpclient.AnswerInvalid},
		"a page":               {200, "<html>sign in</html>", httpclient.AnswerInvalid},
		"cut off":              {200, head, httpclient.AnswerInvalid},
		"something after it":   {200, head + `<renameMetadataResponse><result><success>true</success></result></renameMetadataResponse>` + tail + "<x/>", httpclient.AnswerInvalid},
		"text after it":        {200, head + `<renameMetadataResponse><result><success>true</success></result></renameMetadataResponse>` + tail + "x", httpclient.AnswerInvalid},
		"entities":             {200, `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "true">]>` + strings.TrimPrefix(head, `<?xml version="1.0" encoding="UTF-8"?>`) + `<renameMetadataResponse><result><success>&a;</success></result></renameMetadataResponse>` + tail, httpclient.AnswerInvalid},
		"an external document": {200, `<!DOCTYPE x SYSTEM "file:///etc/passwd">` + head + tail, httpclient.AnswerInvalid},
		"deep":                 {200, head + strings.Repeat("<a>", 100_000), httpclient.AnswerInvalid},
		"huge":                 {200, head + strings.Repeat(" ", 1<<20) + tail, httpclient.AnswerInvalid},
		"another encoding":     {200, strings.Replace(head, "UTF-8", "UTF-7", 1) + tail, httpclient.AnswerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject(simulated.Fault{Call: simulated.CallRename, Kind: simulated.Answers, Status: c.status, Body: c.body, Always: true})
			err := b.account.Rename(t.Context(), "Anypoint", "A")
			if c.class == "" {
				b.Expect(err).NotTo(HaveOccurred())
				return
			}
			b.Expect(failed(t, err).Class).To(Equal(c.class))
			b.Expect(len(failed(t, err).Said)).To(BeNumerically("<=", 200))
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{head + tail, head + `<renameMetadataResponse><result><success>true</success></result></renameMetadataResponse>` + tail,
		head + `<soapenv:Fault><faultcode>sf:X</faultcode></soapenv:Fault>` + tail, "<!DOCTYPE a>", "&a;", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := parse(body)
		if err != nil {
			return
		}
		r := httpclient.Request{Doing: "changing"}
		if failed := parsed.outcome(r); failed == nil {
			results := len(parsed.Body.Renamed) + len(parsed.Body.Deleted)
			NewWithT(t).Expect(results).To(Equal(1), "only one result that says so is a success")
			NewWithT(t).Expect(parsed.Body.Fault).To(BeNil())
		}
	})
}
