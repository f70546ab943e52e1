package platform

import (
	"context"
	"encoding/json"
	"time"
)

// login asks for a token.
func (a *Account) login(ctx context.Context) (token string, lifetime time.Duration, failed *Error) {
	data := a.credentials.Data()
	q := ask("asking for a token", "token", "/accounts/api/v2/oauth2/token")
	body := map[string]string{"grant_type": "client_credentials", "client_id": string(data["client-id"]), "client_secret": string(data["client-secret"])}
	if len(data["username"]) > 0 {
		q.Endpoint, q.Path = "login", "/accounts/login"
		body = map[string]string{"username": string(data["username"]), "password": string(data["password"])}
	}
	q.Body, _ = json.Marshal(body) // never fails
	q.Refused = q.refused
	return a.Token(ctx, q.Request)
}
