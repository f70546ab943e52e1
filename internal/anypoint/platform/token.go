package platform

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"time"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

var mfa = regexp.MustCompile(`(?i)multi-?factor|\bmfa\b|two-?factor`)

// login asks for a token.
func (a *Account) login(ctx context.Context) (token string, lifetime time.Duration, failed *Error) {
	data := a.credentials.Data()
	r := a.Request("asking for a token", "token", "/accounts/api/v2/oauth2/token")
	body := map[string]string{"grant_type": "client_credentials", "client_id": string(data["client-id"]), "client_secret": string(data["client-secret"])}
	remedy := "Anypoint refused the credentials: put valid ones into the credentials Secret"
	user := len(data["username"]) > 0
	if user {
		r.Endpoint, r.Path = "login", "/accounts/login"
		body = map[string]string{"username": string(data["username"]), "password": string(data["password"])}
		remedy += ", or a connected app's where the user has multi-factor authentication"
	}
	r.Body, _ = json.Marshal(body) // never fails
	// How the platform refuses credentials is only known in part, and an account must not be locked: whatever says
	// that a request for a token was understood but not granted counts.
	r.Refused = func(status int, _ http.Header, body []byte) *Error {
		switch {
		case status != http.StatusBadRequest && status != http.StatusUnauthorized && status != http.StatusForbidden:
			return nil
		case user && mfa.Match(body):
			return r.Fail(anypoint.MFARequired, "Anypoint wants multi-factor authentication: use a connected app's client-id and client-secret instead of a user's")
		default:
			return r.Fail(anypoint.CredentialsRejected, remedy)
		}
	}
	return a.Token(ctx, r)
}
