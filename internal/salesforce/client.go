// Package salesforce lists the certificates of a Salesforce organization, renames and deletes them, over the published Tooling
// and Metadata APIs.
package salesforce

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// The classes of errors that only Salesforce has.
const (
	HostNotAllowed anypoint.Class = "SalesforceHostNotAllowed"
	// ChangeRefused: Salesforce has understood a change, and does not make it; Said has its words.
	ChangeRefused anypoint.Class = "ChangeRefused"
)

// Options of a client. Its hosts may also be *.DOMAIN, for every host below a domain.
type Options = httpclient.Options

// Client asks Salesforce, with the manners of package httpclient.
type Client struct {
	*httpclient.Client
	hosts []string
}

var hostPattern = regexp.MustCompile(`^(\*(\.[a-z0-9-]+){2,}|[a-z0-9][-.a-z0-9]*(:[0-9]{1,5})?)$`)

// New makes a client. It fails if a host is none, or if certificates can't be read.
func New(o Options) (*Client, error) {
	client, err := httpclient.New(o)
	if err != nil {
		return nil, err
	}
	c := &Client{Client: client}
	for _, host := range o.Hosts {
		host = httpclient.Canonical(host)
		if !hostPattern.MatchString(host) {
			return nil, fmt.Errorf("%q is no host: write one as example.my.salesforce.com or host:port, or all below a domain as *.my.salesforce.com", host)
		}
		c.hosts = append(c.hosts, host)
	}
	return c, nil
}

func (c *Client) allows(host string) bool {
	return slices.ContainsFunc(c.hosts, func(allowed string) bool {
		domain, wildcard := strings.CutPrefix(allowed, "*")
		return host == allowed || wildcard && len(host) > len(domain) && strings.HasSuffix(host, domain)
	})
}

// Account is somebody's in an organization.
type Account struct {
	*httpclient.Account
	host, version string
	credentials   Credentials
}

var apiVersion = regexp.MustCompile(`^[0-9]{2,3}\.0$`)

// Account checks that the URL is https://HOST of an allowed host. It sends nothing. The error is an *httpclient.Error.
func (c *Client) Account(instanceURL, version string, credentials Credentials) (*Account, error) {
	host := httpclient.Host(instanceURL)
	switch {
	case host == "":
		return nil, &httpclient.Error{Class: HostNotAllowed, Message: "the URL of the Salesforce organization is not https://HOST: correct spec.salesforce.instanceURL"}
	case !c.allows(host):
		return nil, &httpclient.Error{Class: HostNotAllowed, Message: "credentials may not be sent to the host " + host + ": correct spec.salesforce.instanceURL, or have the operator's administrator allow the host with --salesforce-hosts"}
	case !apiVersion.MatchString(version):
		return nil, &httpclient.Error{Class: anypoint.RequestRefused, Message: "the version of Salesforce's API is none, such as 62.0: correct spec.salesforce.apiVersion"}
	}
	base := "https://" + host
	a := &Account{host: host, version: version, credentials: credentials, Account: &httpclient.Account{
		Client: c.Client, Service: "Salesforce", Base: base, Key: base + " " + c.Digest(credentials.data()), Scrub: credentials.scrub,
	}}
	a.Login = a.login
	return a, nil
}

// login gets a token from the organization's own host, by one of two OAuth flows. What the answer says of other hosts is not heeded.
func (a *Account) login(ctx context.Context) (token string, lifetime time.Duration, failed *httpclient.Error) {
	r := a.Request("asking for a token", "salesforce-token", "/services/oauth2/token")
	r.ContentType, r.Header = "application/x-www-form-urlencoded", http.Header{"Accept": {"application/json"}}
	form, err := a.credentials.grant(audience(a.host), a.Client.Clock.Now())
	if err != nil {
		return "", 0, r.Fail(anypoint.CredentialsRejected, "the credentials can't be used: "+err.Error())
	}
	r.Body = []byte(form.Encode())
	r.Refused = func(status int, _ http.Header, body []byte) *httpclient.Error {
		var answer struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(body, &answer) // what is no such answer has no error
		switch {
		case !denies(status):
			return nil
		case answer.Error == "unknown_error": // "retry your request", seen with 400
			return r.Fail(anypoint.PlatformUnavailable, notAvailable)
		}
		return r.Fail(anypoint.CredentialsRejected, "Salesforce refused the credentials: put valid ones into the credentials Secret, and check that the connected app has the flow switched on, and its user")
	}
	return a.Token(ctx, r)
}

// denies says that a request was understood and is not granted.
func denies(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// audience is whom a signed assertion is for: of the two that Salesforce documents, that of sandboxes or the other.
func audience(host string) string {
	if strings.HasSuffix(host, ".sandbox.my.salesforce.com") {
		return "https://test.salesforce.com"
	}
	return "https://login.salesforce.com"
}

// Certificate is one in Certificate and Key Management. Name is its unique name, DeveloperName.
type Certificate struct {
	ID             string          `json:"Id"`
	Name           string          `json:"DeveloperName"`
	Label          string          `json:"MasterLabel"`
	ExpirationDate httpclient.Time `json:"ExpirationDate"`
}

// Certificates lists all certificates of the organization, or fails.
func (a *Account) Certificates(ctx context.Context) ([]Certificate, error) {
	var page struct {
		Done    bool          `json:"done"`
		Records []Certificate `json:"records"`
	}
	r := a.Request("listing certificates", "salesforce-query", "/services/data/v"+a.version+"/tooling/query")
	r.Query = url.Values{"q": {"SELECT Id, DeveloperName, MasterLabel, ExpirationDate FROM Certificate"}}.Encode()
	r.Refused = func(status int, _ http.Header, body []byte) *httpclient.Error { return refusedQuery(r, status, body) }
	r.Decode = r.JSON(&page)
	if err := a.Ask(ctx, func(string) httpclient.Request { return r }); err != nil {
		return nil, err
	}
	if page.Records == nil || !page.Done {
		return nil, r.Invalid("it has no list of certificates, or not the whole list")
	}
	if slices.ContainsFunc(page.Records, func(c Certificate) bool { return c.ID == "" || c.Name == "" }) {
		return nil, r.Invalid("a certificate has no id, or no name")
	}
	return page.Records, nil
}

// refusedQuery reads the errors of Salesforce's REST APIs.
func refusedQuery(r httpclient.Request, status int, body []byte) (e *httpclient.Error) {
	var answer []struct {
		Code    string `json:"errorCode"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &answer) // what is no such answer has no code
	said := ""
	if len(answer) > 0 {
		said = answer[0].Code + ": " + answer[0].Message
	}
	switch {
	case strings.HasPrefix(said, limitExceeded):
		e = r.Fail(anypoint.RateLimited, limitReached)
	case denies(status):
		e = r.Fail(anypoint.MissingScope, "Salesforce does not show its certificates to these credentials: give their user the permissions that docs/experience-hub.md names")
	case status == http.StatusNotFound:
		e = r.Fail(anypoint.RequestRefused, "Salesforce does not have this API: set spec.salesforce.apiVersion to a version that the organization has")
	default:
		return nil
	}
	e.Said = said
	return e
}

// limitExceeded is how Salesforce's APIs call the limit of their requests.
const limitExceeded = "REQUEST_LIMIT_EXCEEDED"

// What is said of more than one API.
const (
	limitReached = "the organization's limit of API requests was reached"
	notAvailable = "Salesforce is not available, or fails"
)
