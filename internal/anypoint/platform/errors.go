package platform

import (
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

// The classes of errors that renewals don't have.
const (
	GatewayNotFound     anypoint.Class = "GatewayNotFound"
	EnvironmentNotFound anypoint.Class = "EnvironmentNotFound" // or the organization, which the platform doesn't tell apart
	// SecretGroupNotFound: Secrets Manager has no such secret group, or does not show it.
	SecretGroupNotFound anypoint.Class = "SecretGroupNotFound"
	AnswerInvalid                      = httpclient.AnswerInvalid
	Interrupted                        = httpclient.Interrupted
)

// Error is a failed call.
type Error = httpclient.Error
