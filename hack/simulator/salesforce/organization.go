// Package salesforce stands for a Salesforce organization in tests and in the demo: its tokens, the list of its certificates, the
// calls that rename and delete them, and the administrator whose login to API Experience Hub makes a new one. Where the real
// answer is unknown the code says so beside its choice.
package salesforce

import (
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
)

// Version is the one of the API that it has.
const Version = "62.0"

// Certificate is one of the organization's.
type Certificate struct {
	ID, Name, Label string
	NotAfter        time.Time
}

// Organization is a running simulated organization. It is safe for concurrent use.
type Organization struct {
	// ByLabel: API Experience Hub looks its certificate up by the label. Which it does is unknown. Set it before anybody logs in.
	ByLabel bool

	clock  clock.Clock
	server *httptest.Server

	mu           sync.Mutex // guards what follows
	made         int
	certificates []Certificate
	uses         string // the id of the certificate that the named credential uses
	apps         map[string]app
	tokens       map[string]bool
	faults       []*Fault
	requests     []Call
	changes      []string
	onlyOnes     []string
	lags         int           // how many queries after a change still show what there was before
	shown        []Certificate // by queries, while they lag
	lagging      int
}

type app struct {
	secret, username string
	key              *rsa.PublicKey
}

// Start starts an organization without certificates. Close ends it.
func Start(c clock.Clock) *Organization {
	o := &Organization{clock: c, apps: map[string]app{}, tokens: map[string]bool{}}
	o.server = httptest.NewUnstartedServer(o.routes())
	o.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.server.StartTLS()
	return o
}

// Close stops it.
func (o *Organization) Close() {
	o.server.CloseClientConnections()
	o.server.Close()
}

// URL is that of its My Domain, Host what is in it.
func (o *Organization) URL() string { return o.server.URL }

// Host is the host and port of URL.
func (o *Organization) Host() string { return strings.TrimPrefix(o.server.URL, "https://") }

// CA is what the server's certificate is verified with, in PEM.
func (o *Organization) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.server.Certificate().Raw})
}

// AddApp makes a connected app with the client credentials flow.
func (o *Organization) AddApp() (clientID, clientSecret string) {
	id, secret := uuid.NewString(), uuid.NewString()+uuid.NewString()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.apps[id] = app{secret: secret}
	return id, secret
}

// AddJWTApp makes a connected app with the JWT bearer flow for one user.
func (o *Organization) AddJWTApp(username string, key *rsa.PublicKey) (clientID string) {
	id := uuid.NewString()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.apps[id] = app{username: username, key: key}
	return id
}

// RemoveApp has an app refused from now on; tokens stay good.
func (o *Organization) RemoveApp(clientID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.apps, clientID)
}

// ExpireTokens makes it refuse every token that it has issued.
func (o *Organization) ExpireTokens() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.tokens)
}

// Add makes a certificate with this name and label.
func (o *Organization) Add(name string, notAfter time.Time) Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.add(name, notAfter)
}

func (o *Organization) add(name string, notAfter time.Time) Certificate {
	o.made++
	c := Certificate{ID: fmt.Sprintf("0P1%015d", o.made), Name: name, Label: name, NotAfter: notAfter.UTC().Truncate(time.Second)}
	o.certificates = append(o.certificates, c)
	return c
}

// Lag has so many queries after each change show what there was before it.
func (o *Organization) Lag(queries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lags = queries
}

// changing is called before a change.
func (o *Organization) changing() { o.shown, o.lagging = slices.Clone(o.certificates), o.lags }

// listed are the certificates that a query shows.
func (o *Organization) listed() []Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lagging > 0 {
		o.lagging--
		return o.shown
	}
	return slices.Clone(o.certificates)
}

// Use has the named credential use a certificate.
func (o *Organization) Use(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uses = id
}

// Relabel is what an administrator does in Setup.
func (o *Organization) Relabel(name, label string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := o.find(name); i >= 0 {
		o.certificates[i].Label = label
	}
}

// Login is that of an administrator to API Experience Hub. Its diagnostic check makes a certificate for a year where there is
// none, and has the named credential use it. It says whether it has made one.
func (o *Organization) Login() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.ContainsFunc(o.certificates, func(c Certificate) bool { return c.Name == "Anypoint" || o.ByLabel && c.Label == "Anypoint" }) {
		return false
	}
	o.uses = o.add("Anypoint", o.clock.Now().AddDate(1, 0, 0)).ID
	return true
}

// Certificates are those that there are.
func (o *Organization) Certificates() []Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.certificates)
}

// Changes are those that took effect, as "rename A to B" and "delete A".
func (o *Organization) Changes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.changes)
}

// OnlyOnes are the certificates that somebody has tried to delete, although there was no other that API Experience Hub could use.
func (o *Organization) OnlyOnes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.onlyOnes)
}

// Requests are the calls that have arrived.
func (o *Organization) Requests() []Call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.requests)
}

// find gives the place of a certificate. o.mu is held.
func (o *Organization) find(name string) int {
	return slices.IndexFunc(o.certificates, func(c Certificate) bool { return strings.EqualFold(c.Name, name) })
}

// Inject makes the next matching call go wrong.
func (o *Organization) Inject(f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &f)
}

// ClearFaults removes every fault.
func (o *Organization) ClearFaults() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = nil
}

func (o *Organization) takeFault(call Call) Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, call)
	for i, f := range o.faults {
		if f.Call != "" && f.Call != call {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if !f.Always {
			o.faults = slices.Delete(o.faults, i, i+1)
		}
		return *f
	}
	return Fault{}
}

// act carries out the fault of a call around the call itself.
func (o *Organization) act(call Call, w http.ResponseWriter, r *http.Request, handle func(http.ResponseWriter)) {
	f := o.takeFault(call)
	if f.Kind != DropAfter && f.Hook != nil {
		f.Hook()
	}
	switch f.Kind {
	case DropBefore:
		panic(http.ErrAbortHandler)
	case DropAfter:
		handle(httptest.NewRecorder())
		if f.Hook != nil {
			f.Hook()
		}
		panic(http.ErrAbortHandler)
	case Hang:
		<-r.Context().Done()
	case Unavailable:
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	case Garbage:
		_, _ = io.WriteString(w, "<html>sign in</html>")
	case Answers:
		if f.Status != 0 {
			w.WriteHeader(f.Status)
		}
		_, _ = io.WriteString(w, f.Body)
	default:
		handle(w)
	}
}
