package simulator_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.yaml.in/yaml/v4"
	testclock "k8s.io/utils/clock/testing"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

const day = 24 * time.Hour

// noon is where the simulated clock of the tests stands: far from the real one.
var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

// bench is a platform with a clock to move and a connected app.
type bench struct {
	*WithT
	*simulator.Platform
	clock    *testclock.FakeClock
	client   *http.Client
	app      string
	secret   string
	token    string
	gateways string // the path of the gateways
	dir      string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), clock: testclock.NewFakeClock(noon), dir: t.TempDir()}
	p, err := simulator.Start(simulator.Options{Clock: b.clock})
	b.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { b.Expect(p.Close()).To(Succeed()) })
	b.Platform, b.client = p, p.Client()
	// A GET on a connection that was used before would be repeated by the client.
	b.client.Transport.(*http.Transport).DisableKeepAlives = true
	b.app, b.secret = p.AddConnectedApp()
	b.token = b.tokenOf(b.app, b.secret)
	b.gateways = "/standalone/api/v1/organizations/" + p.OrganizationID() + "/environments/" + p.EnvironmentID() + "/gateways"
	p.ResetRequests()
	return b
}

// response is an answer, decoded if it is JSON.
type response struct {
	*http.Response
	text   string
	fields map[string]any
}

func (b *bench) try(method, path, token string, body any) (*response, error) {
	question, err := json.Marshal(body)
	b.Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequest(method, b.URL()+path, bytes.NewReader(question))
	b.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-ANYPNT-ORG-ID", b.OrganizationID())
	answer, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	b.Expect(err).NotTo(HaveOccurred())
	r := &response{Response: answer, text: string(data)}
	_ = json.Unmarshal(data, &r.fields)
	return r, nil
}

func (b *bench) get(path string) *response {
	r, err := b.try(http.MethodGet, path, b.token, nil)
	b.Expect(err).NotTo(HaveOccurred())
	return r
}

func (b *bench) post(path string, body any) *response {
	r, err := b.try(http.MethodPost, path, "", body)
	b.Expect(err).NotTo(HaveOccurred())
	return r
}

func (b *bench) askToken(app, secret string) *response {
	return b.post("/accounts/api/v2/oauth2/token", map[string]string{
		"grant_type": "client_credentials", "client_id": app, "client_secret": secret})
}

func (b *bench) tokenOf(app, secret string) string {
	r := b.askToken(app, secret)
	b.Expect(r.StatusCode).To(Equal(http.StatusOK))
	return r.fields["access_token"].(string)
}

func (b *bench) register(remaining time.Duration) simulator.Gateway {
	g, err := b.Register("ingress", remaining)
	b.Expect(err).NotTo(HaveOccurred())
	return g
}

// ran is what became of a run of flexctl.
type ran struct {
	status         int
	stdout, stderr string
}

func (b *bench) flexctl(arguments ...string) ran {
	var stdout, stderr bytes.Buffer
	f := simulator.Flexctl{Stdout: &stdout, Stderr: &stderr, Client: b.client}
	return ran{f.Run(arguments...), stdout.String(), stderr.String()}
}

// renew renews a file with the given credentials' flags, and gives the new one.
func (b *bench) renew(file []byte, credentials ...string) (ran, []byte) {
	source := filepath.Join(b.dir, "old.yaml")
	b.Expect(os.WriteFile(source, file, 0o600)).To(Succeed())
	out, err := os.MkdirTemp(b.dir, "out")
	b.Expect(err).NotTo(HaveOccurred())
	if len(credentials) == 0 {
		credentials = []string{"--client-id=" + b.app, "--client-secret", b.secret}
	}
	r := b.flexctl(append(append([]string{"registration", "renew"}, credentials...), "--output-directory="+out, source)...)
	renewed, err := os.ReadFile(filepath.Join(out, "registration.yaml"))
	if err != nil {
		b.Expect(os.IsNotExist(err)).To(BeTrue())
		return r, nil
	}
	return r, renewed
}

// documents decodes a registration independently of flexctl's own reading:
// the platform connection, and the Secret's spec.
func (b *bench) documents(file []byte) (connection, secret map[string]any) {
	for _, text := range strings.Split(string(file), "\n---\n") {
		var document struct {
			Kind string
			Spec map[string]any
		}
		b.Expect(yaml.Unmarshal([]byte(text), &document)).To(Succeed(), text)
		switch c, ok := document.Spec["platformConnection"]; {
		case ok:
			connection = c.(map[string]any)
		case document.Kind == "Secret":
			secret = document.Spec
		}
	}
	return connection, secret
}

// pair gives the certificate of a registration, and whether the key is its.
func (b *bench) pair(file []byte) (tls.Certificate, error) {
	_, secret := b.documents(file)
	return tls.X509KeyPair([]byte(secret["tls.crt"].(string)), []byte(secret["tls.key"].(string)))
}
