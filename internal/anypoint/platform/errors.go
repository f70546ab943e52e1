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
	AnswerInvalid                      = httpclient.AnswerInvalid
	Interrupted                        = httpclient.Interrupted
)

// Error is a failed call.
type Error = httpclient.Error

// missingScope is what is known to be needed for all that the operator does.
const missingScope = "the credentials may not do this: give the connected app the scopes Read Servers, Manage Servers and " +
	"View Organization in the gateway's organization, and check the ids of the organization and the environment"

var (
	mfa         = regexp.MustCompile(`(?i)multi-?factor|\bmfa\b|two-?factor`)
	gatewayGone = regexp.MustCompile(`(?i)gateway not found`)
)

// refused classifies an answer that is an error.
func (q question) refused(status int, _ http.Header, body []byte) *Error {
	switch denied := status == http.StatusUnauthorized || status == http.StatusForbidden; {
	// How the platform refuses credentials is only known in part, and an account must not be locked: whatever says
	// that a request for a token was understood but not granted counts.
	case q.Body != nil && (denied || status == http.StatusBadRequest):
		switch {
		case q.Endpoint != "login":
			return q.Fail(anypoint.CredentialsRejected, "Anypoint refused the credentials: put valid ones into the credentials Secret")
		case mfa.Match(body):
			return q.Fail(anypoint.MFARequired, "Anypoint wants multi-factor authentication: use a connected app's client-id and client-secret instead of a user's")
		}
		return q.Fail(anypoint.CredentialsRejected, "Anypoint refused the credentials: put valid ones into the credentials Secret, "+
			"or a connected app's where the user has multi-factor authentication")
	case denied:
		return q.Fail(anypoint.MissingScope, q.scope)
	case status == http.StatusNotFound && q.gateway && gatewayGone.Match(body):
		return q.Fail(GatewayNotFound, "Anypoint knows no such gateway in this organization and environment: check their ids, or register the gateway anew")
	case status == http.StatusNotFound && q.environment.OrganizationID != "":
		return q.Fail(EnvironmentNotFound, "Anypoint knows no such organization or environment: check their ids")
	default:
		return nil
	}
}
