package salesforce

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// Rename gives a certificate another unique name. It is sent once: where its error is not a ChangeRefused, it may have taken
// effect all the same, and a new list tells.
func (a *Account) Rename(ctx context.Context, name, to string) error {
	return a.change(ctx, "renaming certificate "+name, renameMetadata{Type: certificate, Old: name, New: to})
}

// Delete deletes a certificate. Its errors are as those of Rename; Salesforce refuses where something uses the certificate.
func (a *Account) Delete(ctx context.Context, name string) error {
	return a.change(ctx, "deleting certificate "+name, deleteMetadata{Type: certificate, Names: []string{name}})
}

const certificate = "Certificate"

type (
	envelope struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Header  struct {
			Session struct {
				ID string `xml:"sessionId"`
			} `xml:"http://soap.sforce.com/2006/04/metadata SessionHeader"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Header"`
		Body struct{ Call any } `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	renameMetadata struct {
		XMLName xml.Name `xml:"http://soap.sforce.com/2006/04/metadata renameMetadata"`
		Type    string   `xml:"type"`
		Old     string   `xml:"oldFullName"`
		New     string   `xml:"newFullName"`
	}
	deleteMetadata struct {
		XMLName xml.Name `xml:"http://soap.sforce.com/2006/04/metadata deleteMetadata"`
		Type    string   `xml:"type"`
		Names   []string `xml:"fullNames"`
	}

	// answer is what comes back: the result of one change, or a fault.
	answer struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    struct {
			Fault   *fault   `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
			Renamed []result `xml:"http://soap.sforce.com/2006/04/metadata renameMetadataResponse>result"`
			Deleted []result `xml:"http://soap.sforce.com/2006/04/metadata deleteMetadataResponse>result"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	fault struct {
		Code   string `xml:"faultcode"`
		String string `xml:"faultstring"`
	}
	result struct {
		Success string `xml:"success"`
		Errors  []struct {
			Code    string `xml:"statusCode"`
			Message string `xml:"message"`
		} `xml:"errors"`
	}
)

func (a *Account) change(ctx context.Context, doing string, call any) error {
	return a.Ask(ctx, func(token string) httpclient.Request {
		var e envelope
		e.Header.Session.ID, e.Body.Call = token, call
		body, _ := xml.Marshal(e) // plain strings
		r := a.Request(doing, "salesforce-metadata", "/services/Soap/m/"+a.version)
		r.Once, r.Body = true, append([]byte(xml.Header), body...)
		r.ContentType, r.Header = "text/xml; charset=utf-8", http.Header{"Soapaction": {`""`}}
		r.Refused = func(_ int, _ http.Header, body []byte) *httpclient.Error {
			if parsed, err := parse(body); err == nil && parsed.Body.Fault != nil {
				return parsed.Body.Fault.failure(r)
			}
			return nil
		}
		r.Decode = func(body []byte) *httpclient.Error {
			parsed, err := parse(body)
			if err != nil {
				return r.Invalid("it is not the XML that was asked for")
			}
			return parsed.outcome(r)
		}
		return r
	})
}

// parse reads one SOAP envelope and nothing else. Document types, in which entities would be, are not part of SOAP.
func parse(body []byte) (*answer, error) {
	if bytes.Contains(body, []byte("<!")) && bytes.Contains(body, []byte("DOCTYPE")) {
		return nil, errors.New("it has a document type")
	}
	parsed, decoder := &answer{}, xml.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(parsed); err != nil {
		return nil, err
	}
	if rest := body[decoder.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there is more after the envelope")
	}
	return parsed, nil
}

// outcome is that of the one change that was asked for.
func (a *answer) outcome(r httpclient.Request) *httpclient.Error {
	results := append(a.Body.Renamed, a.Body.Deleted...) //nolint:gocritic // one of them is empty
	switch {
	case a.Body.Fault != nil:
		return a.Body.Fault.failure(r)
	case len(results) != 1:
		return r.Invalid("it has not one result")
	case results[0].Success == "true":
		return nil
	case results[0].Success != "false":
		return r.Invalid("it does not say whether it succeeded")
	}
	e := r.Fail(ChangeRefused, "Salesforce refused the change")
	for _, said := range results[0].Errors {
		e.Said = strings.TrimPrefix(e.Said+"; "+said.Code+": "+said.Message, "; ")
	}
	return e
}

// failure says what a fault means. The codes are those of Salesforce's SOAP API.
func (f *fault) failure(r httpclient.Request) *httpclient.Error {
	_, code, _ := strings.Cut(f.Code, ":")
	class, message := ChangeRefused, "Salesforce refused the change"
	switch code {
	case invalidSession:
		class, message = anypoint.MissingScope, "Salesforce refuses the token: check that the connected app has the OAuth scope for APIs, and that its user may use them"
	case limitExceeded:
		class, message = anypoint.RateLimited, limitReached
	case "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION":
		class, message = anypoint.PlatformUnavailable, notAvailable
	}
	e := r.Fail(class, message)
	e.Said, e.TokenRefused = f.String, code == invalidSession
	return e
}

const invalidSession = "INVALID_SESSION_ID"
