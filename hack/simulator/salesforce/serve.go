package salesforce

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Call names one of the calls that it answers.
type Call string

// The calls.
const (
	CallToken  Call = "token"
	CallQuery  Call = "query"
	CallRename Call = "rename"
	CallDelete Call = "delete"
)

// FaultKind says what goes wrong.
type FaultKind string

// Faults of any call.
const (
	DropBefore  FaultKind = "DropBefore" // closes the connection, nothing took effect
	DropAfter   FaultKind = "DropAfter"  // closes the connection after the call took effect
	Hang        FaultKind = "Hang"       // until the client leaves
	Unavailable FaultKind = "Unavailable"
	Garbage     FaultKind = "Garbage" // 200 with something that nobody asked for
	Answers     FaultKind = "Answers" // with Status and Body
)

// Fault is something to go wrong, once, with the first matching call after Skip others; without a Kind only the Hook is called.
type Fault struct {
	Call   Call // "" for any
	Kind   FaultKind
	Skip   int
	Always bool // from then on
	Status int
	Body   string
	// Hook is called before the call takes effect; of DropAfter, after it.
	Hook func()
}

func (o *Organization) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /services/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		form := r.ParseForm()
		o.act(CallToken, w, r, func(w http.ResponseWriter) {
			if form != nil || !o.admits(r) {
				answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "authentication failure"})
				return
			}
			token := "00D" + strings.ReplaceAll(uuid.NewString(), "-", "") + "!" + uuid.NewString()
			o.mu.Lock()
			o.tokens[token] = true
			o.mu.Unlock()
			// The real one names a host here, which nobody should follow.
			answer(w, http.StatusOK, map[string]string{"access_token": token, "token_type": "Bearer", "instance_url": "https://elsewhere.example.com"})
		})
	})
	mux.HandleFunc("GET /services/data/v"+Version+"/tooling/query", func(w http.ResponseWriter, r *http.Request) {
		o.act(CallQuery, w, r, func(w http.ResponseWriter) { o.query(w, r) })
	})
	mux.HandleFunc("POST /services/Soap/m/"+Version, o.soap)
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// admits tells a good request for a token.
func (o *Organization) admits(r *http.Request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.PostForm.Get("grant_type") == "client_credentials" {
		a, known := o.apps[r.PostForm.Get("client_id")]
		return known && a.secret != "" && a.secret == r.PostForm.Get("client_secret")
	}
	parts := strings.Split(r.PostForm.Get("assertion"), ".")
	if r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		return false
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	content, _ := base64.RawURLEncoding.DecodeString(parts[1])
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	_ = json.Unmarshal(content, &claims)
	a := o.apps[claims.Issuer]
	left := claims.Expires - o.clock.Now().Unix()
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return a.key != nil && a.username == claims.Subject && claims.Audience == "https://login.salesforce.com" && left > 0 && left <= 300 &&
		rsa.VerifyPKCS1v15(a.key, crypto.SHA256, digest[:], signature) == nil
}

func (o *Organization) knows(token string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tokens[token]
}

func (o *Organization) query(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !o.knows(token) {
		answer(w, http.StatusUnauthorized, []map[string]string{{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}})
		return
	}
	if r.URL.Query().Get("q") != "SELECT Id, DeveloperName, MasterLabel, ExpirationDate FROM Certificate" {
		answer(w, http.StatusBadRequest, []map[string]string{{"message": "unexpected token", "errorCode": "MALFORMED_QUERY"}})
		return
	}
	records := []map[string]any{}
	for _, c := range o.listed() {
		records = append(records, map[string]any{"attributes": map[string]string{"type": "Certificate"}, "Id": c.ID, "DeveloperName": c.Name, "MasterLabel": c.Label,
			"ExpirationDate": c.NotAfter.UTC().Format("2006-01-02T15:04:05.000-0700")})
	}
	answer(w, http.StatusOK, map[string]any{"size": len(records), "totalSize": len(records), "done": true, "records": records})
}

// soap answers the two calls of the Metadata API.
func (o *Organization) soap(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Session string `xml:"Header>SessionHeader>sessionId"`
		Rename  *struct {
			Type string `xml:"type"`
			Old  string `xml:"oldFullName"`
			New  string `xml:"newFullName"`
		} `xml:"Body>renameMetadata"`
		Delete *struct {
			Type  string   `xml:"type"`
			Names []string `xml:"fullNames"`
		} `xml:"Body>deleteMetadata"`
	}
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err := xml.Unmarshal(body, &ask); err != nil || r.Header.Get("SOAPAction") == "" || ask.Rename == nil && (ask.Delete == nil || len(ask.Delete.Names) != 1) {
		fault(w, "UNKNOWN_EXCEPTION", "the envelope can't be read")
		return
	}
	call := CallDelete
	if ask.Rename != nil {
		call = CallRename
	}
	o.act(call, w, r, func(w http.ResponseWriter) {
		if !o.knows(ask.Session) {
			fault(w, "INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session")
			return
		}
		var name, code, message string
		if ask.Rename != nil {
			name = ask.Rename.New
			code, message = o.rename(ask.Rename.Type, ask.Rename.Old, ask.Rename.New)
		} else {
			name = ask.Delete.Names[0]
			code, message = o.remove(ask.Delete.Type, name)
		}
		errors, success := "", "true"
		if code != "" {
			errors, success = fmt.Sprintf("<errors><message>%s</message><statusCode>%s</statusCode></errors>", html.EscapeString(message), code), "false"
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="http://soap.sforce.com/2006/04/metadata"><soapenv:Body>`+
			`<%[1]sMetadataResponse><result>%[2]s<fullName>%[3]s</fullName><success>%[4]s</success></result></%[1]sMetadataResponse></soapenv:Body></soapenv:Envelope>`, call, errors, html.EscapeString(name), success)
	})
}

func fault(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="http://soap.sforce.com/2006/04/metadata"><soapenv:Body>`+
		`<soapenv:Fault><faultcode>sf:%[1]s</faultcode><faultstring>%[1]s: %[2]s</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>`, code, html.EscapeString(message))
}

// rename changes the unique name. Whether the label goes with it is unknown; here it stays. The named credential goes on using the
// certificate, as it does in Setup.
func (o *Organization) rename(kind, name, to string) (code, message string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.find(name)
	switch {
	case kind != "Certificate" || i < 0:
		return "INVALID_CROSS_REFERENCE_KEY", "no " + kind + " named " + name + " found"
	case o.find(to) >= 0:
		return "DUPLICATE_DEVELOPER_NAME", "the name " + to + " is already used"
	}
	o.changing()
	o.certificates[i].Name = to
	o.changes = append(o.changes, "rename "+name+" to "+to)
	return "", ""
}

// remove refuses what is used. With which code and words the real one does is unknown.
func (o *Organization) remove(kind, name string) (code, message string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := o.find(name)
	if i >= 0 && !slices.ContainsFunc(o.certificates, func(c Certificate) bool {
		return c.Name == "Anypoint" && c.ID != o.certificates[i].ID && c.NotAfter.After(o.clock.Now())
	}) {
		o.onlyOnes = append(o.onlyOnes, name)
	}
	switch {
	case kind != "Certificate" || i < 0:
		return "INVALID_CROSS_REFERENCE_KEY", "no " + kind + " named " + name + " found"
	case o.certificates[i].ID == o.uses:
		return "DEPENDENCY_EXISTS", "This certificate is referenced by a named credential"
	}
	o.changing()
	o.certificates = slices.Delete(o.certificates, i, i+1)
	o.changes = append(o.changes, "delete "+name)
	return "", ""
}
