package salesforce

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	simulated "github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

// hasty is a clock on which every wait is over at once.
type hasty struct{ *testclock.FakeClock }

func (c hasty) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	c.Step(d)
	return timer
}

type bench struct {
	*WithT
	*simulated.Organization
	clock      hasty
	client     *Client
	account    *Account
	id, secret string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), clock: hasty{testclock.NewFakeClock(noon)}}
	b.Organization = simulated.Start(b.clock)
	t.Cleanup(b.Close)
	var err error
	b.client, err = New(Options{Hosts: []string{b.Host()}, CA: b.CA(), UserAgent: "test", Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	b.id, b.secret = b.AddApp()
	b.account = b.of(map[string][]byte{"client-id": []byte(b.id), "client-secret": []byte(b.secret + "\n")})
	return b
}

func (b *bench) of(data map[string][]byte) *Account {
	credentials, err := ParseCredentials(data)
	b.Expect(err).NotTo(HaveOccurred())
	account, err := b.client.Account(b.URL(), simulated.Version, credentials)
	b.Expect(err).NotTo(HaveOccurred())
	return account
}

func failed(t testing.TB, err error) *httpclient.Error {
	t.Helper()
	e := &httpclient.Error{}
	NewWithT(t).Expect(errors.As(err, &e)).To(BeTrue(), "%v", err)
	return e
}

func TestCalls(t *testing.T) {
	b := newBench(t)
	b.Expect(b.account.Certificates(t.Context())).To(BeEmpty())
	old := b.Add("Anypoint", noon.Add(time.Hour))
	b.Use(old.ID)
	b.Expect(b.account.Certificates(t.Context())).To(ConsistOf(Certificate{ID: old.ID, Name: "Anypoint", Label: "Anypoint", ExpirationDate: httpclient.Time{Time: noon.Add(time.Hour)}}))
	b.Expect(b.account.Rename(t.Context(), "Anypoint", "Anypoint_to_expire")).To(Succeed())
	b.Expect(b.account.Certificates(t.Context())).To(ConsistOf(HaveField("Name", "Anypoint_to_expire")))

	err := b.account.Delete(t.Context(), "Anypoint_to_expire")
	b.Expect(failed(t, err).Class).To(Equal(ChangeRefused))
	b.Expect(err).To(MatchError(ContainSubstring("DEPENDENCY_EXISTS: This certificate is referenced by a named credential")))
	b.Expect(failed(t, b.account.Rename(t.Context(), "Anypoint", "B")).Class).To(Equal(ChangeRefused), "it was renamed already")
	b.Expect(b.Login()).To(BeTrue())
	b.Expect(b.account.Delete(t.Context(), "Anypoint_to_expire")).To(Succeed())
	b.Expect(b.Certificates()).To(ConsistOf(HaveField("Name", "Anypoint")))
	b.Expect(b.Requests()).To(HaveEach(Not(BeEmpty())))
	b.Expect(strings.Count(fmt.Sprint(b.Requests()), "token")).To(Equal(1), "one token for all")
}

func TestTokensThatEndAreFetchedAnew(t *testing.T) {
	b := newBench(t)
	b.Add("Anypoint", noon)
	for _, call := range []func() error{
		func() error { _, err := b.account.Certificates(t.Context()); return err },
		func() error { return b.account.Rename(t.Context(), "Anypoint", "A") },
		func() error { return b.account.Delete(t.Context(), "A") },
	} {
		b.Expect(call()).To(Succeed())
		b.ExpireTokens()
	}
	b.Expect(strings.Count(fmt.Sprint(b.Requests()), "token")).To(Equal(3))
}

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func TestJWTBearer(t *testing.T) {
	b := newBench(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key())
	b.Expect(err).NotTo(HaveOccurred())
	id := b.AddJWTApp("operator@example.com", &key().PublicKey)
	for _, block := range []pem.Block{{Type: "PRIVATE KEY", Bytes: pkcs8}, {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key())}} {
		data := map[string][]byte{"client-id": []byte(id), "username": []byte("operator@example.com"), "private-key": pem.EncodeToMemory(&block)}
		b.Expect(b.of(data).Certificates(t.Context())).To(BeEmpty())
		data["username"] = []byte("another@example.com")
		_, err := b.of(data).Certificates(t.Context())
		b.Expect(failed(t, err).Class).To(Equal(anypoint.CredentialsRejected))
	}
	b.Expect(audience("example.my.salesforce.com")).To(Equal("https://login.salesforce.com"))
	b.Expect(audience("example--test.sandbox.my.salesforce.com")).To(Equal("https://test.salesforce.com"))
}

func TestRefusedCredentialsAreAskedOnce(t *testing.T) {
	b := newBench(t)
	b.RemoveApp(b.id)
	for range 3 {
		_, err := b.account.Certificates(t.Context())
		b.Expect(failed(t, err).Class).To(Equal(anypoint.CredentialsRejected))
	}
	b.Expect(b.Requests()).To(HaveLen(1))
}

// Salesforce says in this way that it has failed itself, which is over soon, and isn't remembered as a refusal is.
func TestATokenThatSalesforceFailsToGive(t *testing.T) {
	b := newBench(t)
	b.Inject(simulated.Fault{Call: simulated.CallToken, Kind: simulated.Answers, Status: 400, Body: `{"error":"unknown_error","error_description":"retry your request"}`})
	b.Expect(b.account.Certificates(t.Context())).To(BeEmpty())
	b.account.Forget(0)
	b.Inject(simulated.Fault{Call: simulated.CallToken, Kind: simulated.Answers, Status: 400, Body: `{"error":"unknown_error","error_description":"retry your request"}`, Always: true})
	_, err := b.account.Certificates(t.Context())
	b.Expect(failed(t, err).Class).To(Equal(anypoint.PlatformUnavailable))
	b.ClearFaults()
	b.Expect(b.account.Certificates(t.Context())).To(BeEmpty())
}

func TestTheDaysLimitIsNotAskedAgainAtOnce(t *testing.T) {
	b := newBench(t)
	b.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Answers, Status: 403, Body: `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`, Always: true})
	_, err := b.account.Certificates(t.Context())
	b.Expect(failed(t, err).Class).To(Equal(anypoint.RateLimited))
	b.Expect(strings.Count(fmt.Sprint(b.Requests()), string(simulated.CallQuery))).To(Equal(1))
}

func TestCredentials(t *testing.T) {
	g := NewWithT(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		_, err = ParseCredentials(map[string][]byte{"client-id": []byte("a"), "username": []byte("b"),
			"private-key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)})})
	}
	g.Expect(err).To(HaveOccurred())
	for _, c := range []map[string]string{
		{}, {"client-secret": "s3cr3t"}, {"client-id": "a"}, {"client-id": "a", "username": "b"}, {"client-id": "a", "private-key": "s3cr3t"},
		{"client-id": "a", "username": "b", "private-key": "s3cr3t"}, {"client-id": "a", "client-secret": "s3cr3t", "username": "b"},
	} {
		data := map[string][]byte{}
		for k, v := range c {
			data[k] = []byte(v)
		}
		_, err := ParseCredentials(data)
		g.Expect(err).To(MatchError(And(ContainSubstring("key"), Not(ContainSubstring("s3cr3t")))), "%v", c)
	}
	shown, err := ParseCredentials(map[string][]byte{"client-id": []byte("an-id"), "client-secret": []byte("s3cr3t")})
	g.Expect(err).NotTo(HaveOccurred())
	encoded, _ := json.Marshal(shown)
	g.Expect(fmt.Sprintf("%v %+v %#v %s %s", shown, shown, shown, shown, encoded)).NotTo(Or(ContainSubstring("s3cr3t"), ContainSubstring("an-id")))
}

func TestHostsThatCredentialsMayGoTo(t *testing.T) {
	g := NewWithT(t)
	c, err := New(Options{Hosts: []string{"*.my.salesforce.com", "Example.com:8443"}, Clock: clock.RealClock{}})
	g.Expect(err).NotTo(HaveOccurred())
	for url, allowed := range map[string]bool{
		"https://example.my.salesforce.com": true, "https://EXAMPLE.my.salesforce.com:443/": true, "https://example--test.sandbox.my.salesforce.com": true, "https://example.com:8443": true,
		"https://my.salesforce.com": false, "https://.my.salesforce.com": false, "https://example.my.salesforce.com:8443": false, "https://examplemy.salesforce.com": false,
		"https://example.my.salesforce.com.evil.com": false, "https://evil.com/.my.salesforce.com": false, "http://example.my.salesforce.com": false,
		"https://user:password@example.my.salesforce.com": false, "https://example.my.salesforce.com/x": false, "https://example.my.salesforce.com?x=y": false, "https://example.com": false,
	} {
		_, err := c.Account(url, "62.0", Credentials{})
		g.Expect(err == nil).To(Equal(allowed), url)
		if err != nil {
			g.Expect(failed(t, err).Class).To(Equal(HostNotAllowed), url)
			g.Expect(err.Error()).NotTo(ContainSubstring("password"))
		}
	}
	_, err = c.Account("https://example.my.salesforce.com", "62.0/../x", Credentials{})
	g.Expect(err).To(HaveOccurred())
	for _, host := range []string{"*", "*.com", "https://example.com", "a b", "", "*.*.com", "x.*.com"} {
		_, err := New(Options{Hosts: []string{host}, Clock: clock.RealClock{}})
		g.Expect(err).To(HaveOccurred(), host)
	}
}

func TestListsThatCantBeUsed(t *testing.T) {
	for body, class := range map[string]anypoint.Class{
		`{}`: httpclient.AnswerInvalid, `{"done":true}`: httpclient.AnswerInvalid, `{"done":false,"records":[]}`: httpclient.AnswerInvalid, `null`: httpclient.AnswerInvalid,
		`{"done":true,"records":[{"Id":"1"}]}`: httpclient.AnswerInvalid, `{"done":true,"records":[{"DeveloperName":"1"}]}`: httpclient.AnswerInvalid, `[]`: httpclient.AnswerInvalid,
	} {
		b := newBench(t)
		b.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Answers, Body: body})
		_, err := b.account.Certificates(t.Context())
		b.Expect(failed(t, err).Class).To(Equal(class), body)
	}
	b := newBench(t)
	b.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Answers, Body: `{"done":true,"records":[{"Id":"1","DeveloperName":"A","ExpirationDate":"soon"}]}`})
	b.Expect(b.account.Certificates(t.Context())).To(ConsistOf(HaveField("ExpirationDate", httpclient.Time{})))
}

func TestErrorsOfTheQuery(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		class  anypoint.Class
	}{
		{403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`, anypoint.RateLimited},
		{403, `[{"errorCode":"API_DISABLED_FOR_ORG","message":"no"}]`, anypoint.MissingScope},
		{400, `[{"errorCode":"INVALID_TYPE","message":"sObject type 'Certificate' is not supported."}]`, anypoint.MissingScope},
		{404, `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`, anypoint.RequestRefused},
		{500, `oops`, anypoint.PlatformUnavailable},
		{302, ``, httpclient.AnswerInvalid},
	} {
		b := newBench(t)
		b.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: simulated.Answers, Status: c.status, Body: c.body, Always: true})
		_, err := b.account.Certificates(t.Context())
		b.Expect(failed(t, err).Class).To(Equal(c.class), c.body)
	}
}

// A change is sent once, whatever becomes of it; a list is asked for again.
func TestWhatIsRepeated(t *testing.T) {
	for _, kind := range []simulated.FaultKind{simulated.DropBefore, simulated.DropAfter, simulated.Unavailable} {
		b := newBench(t)
		b.Add("Anypoint", noon)
		b.Inject(simulated.Fault{Call: simulated.CallQuery, Kind: kind})
		b.Expect(b.account.Certificates(t.Context())).To(HaveLen(1))
		b.Inject(simulated.Fault{Call: simulated.CallRename, Kind: kind})
		b.Expect(failed(t, b.account.Rename(t.Context(), "Anypoint", "A")).Class).To(Equal(anypoint.PlatformUnavailable))
		b.Expect(strings.Count(fmt.Sprint(b.Requests()), "rename")).To(Equal(1))
		b.Expect(len(b.Changes())).To(Equal(map[simulated.FaultKind]int{simulated.DropAfter: 1}[kind]))
	}
}

// Whatever Salesforce, or what stands in its place, sends back: nothing secret is in an error.
func TestSecretsAreInNoError(t *testing.T) {
	for _, status := range []int{0, 400, 401, 403, 404, 500, 503} {
		b := newBench(t)
		echo := b.secret + " " + b.id + " client_secret=" + b.secret + ` <faultstring>` + b.secret + `</faultstring>`
		for _, call := range []simulated.Call{simulated.CallToken, simulated.CallQuery, simulated.CallRename} {
			b.Inject(simulated.Fault{Call: call, Kind: simulated.Answers, Status: status, Body: echo, Always: true})
			b.account.Forget(0)
			_, err := b.account.Certificates(t.Context())
			for _, err := range []error{err, b.account.Rename(t.Context(), "Anypoint", "A")} {
				if err != nil {
					b.Expect(fmt.Sprintf("%v %+v %#v", err, err, b.account)).NotTo(Or(ContainSubstring(b.secret), ContainSubstring(b.id)))
				}
			}
			b.ClearFaults()
		}
	}
}
