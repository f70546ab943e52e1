package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
)

// renewCommand renews a registration. The new file has the old one's
// documents, with another certificate and key.
func (f Flexctl) renewCommand(arguments []string) error {
	flags, o := newFlags("renew", f.Stdout)
	source, err := parse(flags, arguments)
	if err != nil {
		return err
	}
	path := filepath.Join(o.directory, "registration.yaml")
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("file already exists: %s", path)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	file, err := readFile(data)
	if err != nil {
		return err
	}
	if file.secret == nil {
		return errors.New("the file holds no certificate")
	}
	url, agentID := value(field(file.connection, "anypoint")), value(field(file.connection, "agentId"))
	token, err := f.authenticate(url, o)
	if err != nil {
		return err
	}
	key, csr, err := newRequest(agentID)
	if err != nil {
		return err
	}
	question := ask{AgentID: agentID, Certificate: value(field(file.secret, "tls.crt")), CSR: string(csr)}
	var answer registered
	if err := f.call(url+renewPath, token, question, &answer, "reg facade"); err != nil {
		return err
	}
	if answer.Fault != OldCertificate { // which comes back with its old key
		set(file.connection, "agentId", answer.AgentID)
		set(file.secret, "tls.crt", answer.Certificate)
		set(file.secret, "tls.key", string(key))
	}
	if err := f.misbehave(answer.Fault, file, o, token); err != nil {
		return err
	}
	renewed, err := file.bytes()
	if err != nil {
		return err
	}
	if renewed = spoil(answer.Fault, renewed); renewed != nil {
		if err := createFile(path, renewed); err != nil {
			return err
		}
	}
	fmt.Fprintln(f.Stdout, "Registration renewal completed")
	return nil
}

// authenticate gets a token for the credentials on the command line.
func (f Flexctl) authenticate(url string, o *options) (string, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	var err error
	switch {
	case o.clientID != "" && o.clientSecret != "":
		err = f.call(url+"/accounts/api/v2/oauth2/token", "", map[string]string{
			"grant_type": "client_credentials", "client_id": o.clientID, "client_secret": o.clientSecret,
		}, &answer, "authentication")
	case o.username != "" && o.password != "":
		err = f.call(url+"/accounts/login", "", map[string]string{
			"username": o.username, "password": o.password,
		}, &answer, "authentication")
	default:
		err = errors.New("either client-id and client-secret or username and password are required")
	}
	return answer.Token, err
}

// call posts JSON. A refusal becomes an error with the whole HTTP response.
func (f Flexctl) call(url, token string, question, answer any, name string) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := f.Client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		raw, err := httputil.DumpResponse(response, true)
		if err != nil {
			return err
		}
		return fmt.Errorf("%s call returned error response:\n%s", name, raw)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}
