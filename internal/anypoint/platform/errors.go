package platform

import (
	"net/http"
	"regexp"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// The classes of errors that renewals don't have.
const (
	GatewayNotFound     anypoint.Class = "GatewayNotFound"
	EnvironmentNotFound anypoint.Class = "EnvironmentNotFound" // or the organization, which the platform doesn't tell apart
	// SecretGroupNotFound: Secrets Manager has no such secret group, or does not show it.
	SecretGroupNotFound anypoint.Class = "SecretGroupNotFound"
)

// Error is a failed call.
type Error = httpclient.Error

const (
	// gatewayScopes is what is known to be needed for all that the operator asks of gateways.
	gatewayScopes = "the credentials may not do this: give the connected app the scopes Read Servers, Manage Servers and " +
		"View Organization in the gateway's organization, and check the ids of the organization and the environment"
	secretScopes = "the credentials may not do this: let the connected app, or the user, read secret groups in Secrets Manager " +
		"in this organization and environment, and check their ids"
)

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
