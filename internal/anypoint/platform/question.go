package platform

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// service is what errors call it.
const service = "Anypoint"

const (
	// gatewayScopes is what is known to be needed for all that the operator asks of gateways.
	gatewayScopes = "the credentials may not do this: give the connected app the scopes Read Servers, Manage Servers and " +
		"View Organization in the gateway's organization, and check the ids of the organization and the environment"
	secretScopes = "the credentials may not do this: let the connected app, or the user, read secret groups in Secrets Manager " +
		"in this organization and environment, and check their ids"
)

// question is a request with a token. All of them only read, and are safe to repeat.
type question struct {
	httpclient.Request
	environment, gateway bool   // whether it is about one, which the platform may not have
	scopes               string // what is said where the credentials may not ask it
	wrong                *Error // why it can't be asked
}

func ask(doing, endpoint, path string) question {
	return question{Request: httpclient.Request{Service: service, Doing: doing, Endpoint: endpoint, Path: path}, scopes: gatewayScopes}
}

// An id becomes part of a path, so it must be nothing else.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// ask makes a question about what an API has of the environment.
func (in Environment) ask(doing, endpoint, api, resource string) question {
	q := ask(doing, endpoint, fmt.Sprintf("/%s/api/v1/organizations/%s/environments/%s/%s", api, in.OrganizationID, in.ID, resource))
	q.environment = true
	q.Header = http.Header{"X-Anypnt-Org-Id": {in.OrganizationID}, "X-Anypnt-Env-Id": {in.ID}}
	if !plainID.MatchString(in.OrganizationID) || !plainID.MatchString(in.ID) {
		q.wrong = &Error{Class: EnvironmentNotFound, Message: "the id of the organization or of the environment is not one: correct it"}
	}
	return q
}

// askGateway makes a question about one gateway of the environment, or what belongs to it.
func (in Environment) askGateway(doing, endpoint, id, belonging string) question {
	q := in.ask(doing, endpoint, "standalone", "gateways/"+id+belonging)
	q.gateway = true
	if q.wrong == nil && !plainID.MatchString(id) {
		q.wrong = &Error{Class: GatewayNotFound, Message: "the gateway's id is not one: correct the registration's agentId"}
	}
	return q
}

// get asks.
func (a *Account) get(ctx context.Context, q question, answer any) error {
	if q.wrong != nil {
		return q.wrong
	}
	q.Refused, q.Decode = q.refused, q.JSON(answer)
	return a.Ask(ctx, func(string) httpclient.Request { return q.Request })
}

var gatewayGone = regexp.MustCompile(`(?i)gateway not found`)

// refused classifies an answer that is an error.
func (q question) refused(status int, _ http.Header, body []byte) *Error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return q.Fail(anypoint.MissingScope, q.scopes)
	case status == http.StatusNotFound && q.gateway && gatewayGone.Match(body):
		return q.Fail(GatewayNotFound, "Anypoint knows no such gateway in this organization and environment: check their ids, or register the gateway anew")
	case status == http.StatusNotFound && q.environment:
		return q.Fail(EnvironmentNotFound, "Anypoint knows no such organization or environment: check their ids")
	default:
		return nil
	}
}
