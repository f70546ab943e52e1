package job

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

const (
	content = "the renewed registration, of which an error says nothing"
	// metadata says which Secret it is, as on the pod's command line.
	metadata = `{"metadata":{"namespace":"gateways","name":"flexreg-handoff-ingress","uid":"the-handoff","labels":{"a":"b"}},"type":"gateway.flexops.dev/handoff"}`
)

// apiServer answers one request after the other in its own way; the last answer repeats.
type apiServer struct {
	answers []answer
	asked   []*http.Request
	bodies  []string
}

// answer is a status, or an error of the connection.
type answer struct {
	status int
	reason metav1.StatusReason
	err    error
}

var (
	accepted  = answer{status: http.StatusOK}
	forbidden = answer{status: http.StatusForbidden, reason: metav1.StatusReasonForbidden}
	broken    = answer{status: http.StatusInternalServerError, reason: metav1.StatusReasonInternalError}
	notFound  = answer{status: http.StatusNotFound, reason: metav1.StatusReasonNotFound}
	conflict  = answer{status: http.StatusConflict, reason: metav1.StatusReasonConflict}
	away      = answer{err: errors.New("dial tcp 192.0.2.1:443: connect: connection refused")}
	silent    = answer{err: context.DeadlineExceeded} // It takes what it is sent, and the client's patience.
)

// RoundTrip implements http.RoundTripper: no socket, so that time can be simulated.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(body))
	a := s.answers[min(len(s.asked), len(s.answers))-1]
	if a == silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/json")
	recorder.WriteHeader(a.status)
	if a.status == http.StatusOK {
		_, _ = recorder.WriteString(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"flexreg-handoff-ingress"}}`)
	} else {
		_ = json.NewEncoder(recorder).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: a.reason, Code: int32(a.status), Message: "it is " + string(a.reason)})
	}
	return recorder.Result(), nil
}

// CancelRequest is asked for by client-go; contexts do it.
func (s *apiServer) CancelRequest(*http.Request) {}

// result is the directory in which flexctl's container has left its file.
func result(t testing.TB) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, registration.DefaultKey), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return directory
}

func TestHandOff(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		asks    int
		within  time.Duration
		fails   string // "" for success
	}{
		"at once":                   {answers: []answer{accepted}, asks: 1},
		"a right not known yet":     {answers: []answer{forbidden, forbidden, accepted}, asks: 3, within: 10 * time.Second},
		"an API server that breaks": {answers: []answer{broken, accepted}, asks: 2, within: 10 * time.Second},
		"one that is away":          {answers: []answer{away, away, away, accepted}, asks: 4, within: 10 * time.Second},
		"one that says nothing":     {answers: []answer{silent, silent, accepted}, asks: 3, within: 2 * time.Minute},
		"all of it":                 {answers: []answer{away, silent, broken, forbidden, away, accepted}, asks: 6, within: 2 * time.Minute},
		"the Secret is gone":        {answers: []answer{notFound}, asks: 1, fails: "given up"},
		"it was made anew":          {answers: []answer{conflict}, asks: 1, fails: "given up"},
		"it goes meanwhile":         {answers: []answer{broken, away, notFound, accepted}, asks: 3, within: 10 * time.Second, fails: "given up"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := result(t)
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				api, start := &apiServer{answers: c.answers}, time.Now()
				err := handOff(t.Context(), &rest.Config{Host: "https://192.0.2.1", Transport: api, Timeout: 30 * time.Second}, metadata, directory)
				if c.fails == "" {
					g.Expect(err).NotTo(HaveOccurred())
				} else {
					g.Expect(err).To(MatchError(And(ContainSubstring(c.fails), ContainSubstring("gateways/flexreg-handoff-ingress"))))
					g.Expect(err.Error()).NotTo(ContainSubstring(content))
				}
				g.Expect(api.asked).To(HaveLen(c.asks))
				g.Expect(time.Since(start)).To(BeNumerically("<=", c.within))
			})
		})
	}
}

// One update of the whole Secret: the UID makes it that of this attempt, and what else was written to it doesn't matter.
func TestHandOffUpdatesThisAttemptsSecret(t *testing.T) {
	g := NewWithT(t)
	api := &apiServer{answers: []answer{accepted}}
	g.Expect(handOff(t.Context(), &rest.Config{Host: "https://192.0.2.1", Transport: api}, metadata, result(t))).To(Succeed())
	g.Expect(api.asked[0].Method).To(Equal(http.MethodPut))
	g.Expect(api.asked[0].URL.Path).To(Equal("/api/v1/namespaces/gateways/secrets/flexreg-handoff-ingress"))
	var sent corev1.Secret
	_, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode([]byte(api.bodies[0]), nil, &sent)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sent.UID).To(BeEquivalentTo("the-handoff"))
	g.Expect(sent.ResourceVersion).To(BeEmpty())
	g.Expect(sent.Type).To(Equal(HandoffType))
	g.Expect(sent.Labels).To(Equal(map[string]string{"a": "b", labelHandedOver: "true"}))
	g.Expect(api.asked[0].URL.RawQuery).To(BeEmpty(), "it is no dry run")
	g.Expect(sent.Data).To(Equal(map[string][]byte{registration.DefaultKey: []byte(content)}))
}

// What can't be had again is tried to be handed over for nearly as long as the Job may last, and no longer.
func TestHandOffGivesUp(t *testing.T) {
	for name, last := range map[string]answer{"forbidden": forbidden, "broken": broken, "away": away, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			directory := result(t)
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				api, start := &apiServer{answers: []answer{last}}, time.Now()
				err := handOff(t.Context(), &rest.Config{Host: "https://192.0.2.1", Transport: api, Timeout: 30 * time.Second}, metadata, directory)
				g.Expect(err).To(MatchError(ContainSubstring("writing Secret gateways/flexreg-handoff-ingress as the pod's ServiceAccount")))
				g.Expect(err.Error()).NotTo(ContainSubstring(content))
				g.Expect(time.Since(start)).To(And(BeNumerically(">=", handoffTimeout-30*time.Second), BeNumerically("<", lifetime)))
				g.Expect(len(api.asked)).To(BeNumerically(">", 20), "it is asked all the time")
			})
		})
	}
	t.Run("stopped", func(t *testing.T) {
		directory := result(t)
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			g.Expect(handOff(ctx, &rest.Config{Host: "https://192.0.2.1", Transport: &apiServer{answers: []answer{forbidden}}}, metadata, directory)).To(MatchError(context.DeadlineExceeded))
			g.Expect(time.Since(start)).To(Equal(time.Minute))
		})
	})
}

// Before flexctl is run, the pod tries to write, without writing, what it is to write afterwards.
func TestRehearseHandoff(t *testing.T) {
	for name, c := range map[string]struct {
		answers []answer
		asks    int
		fails   string
	}{
		"at once":               {answers: []answer{accepted}, asks: 1},
		"a right not known yet": {answers: []answer{away, forbidden, broken, accepted}, asks: 4},
		"it was made anew":      {answers: []answer{conflict}, asks: 1, fails: "given up"},
		"never":                 {answers: []answer{forbidden}, asks: int(rehearsalTimeout/handoffPause) + 1, fails: "as the pod's ServiceAccount"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				api, start := &apiServer{answers: c.answers}, time.Now()
				err := rehearseHandoff(t.Context(), &rest.Config{Host: "https://192.0.2.1", Transport: api, QPS: -1}, metadata)
				if c.fails == "" {
					g.Expect(err).NotTo(HaveOccurred())
				} else {
					g.Expect(err).To(MatchError(ContainSubstring(c.fails)))
				}
				g.Expect(len(api.asked)).To(BeNumerically("~", c.asks, 1))
				g.Expect(time.Since(start)).To(BeNumerically("<", startWithin/2), "flexctl can still be started in time")
				for i, asked := range api.asked {
					g.Expect(asked.URL.Query().Get("dryRun")).To(Equal("All"))
					g.Expect(api.bodies[i]).NotTo(ContainSubstring(content))
				}
			})
		})
	}
}

func TestHandOffOfNothing(t *testing.T) {
	g := NewWithT(t)
	api := &apiServer{answers: []answer{accepted}}
	config := &rest.Config{Host: "https://192.0.2.1", Transport: api}
	g.Expect(handOff(t.Context(), config, metadata, filepath.Join(t.TempDir(), "missing"))).To(MatchError(os.ErrNotExist))
	g.Expect(handOff(t.Context(), config, "{", result(t))).To(MatchError(ContainSubstring("which Secret")))
	for name, leave := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink(filepath.Join(result(t), registration.DefaultKey), path) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a huge file": func(path string) error { return os.WriteFile(path, make([]byte, registration.MaxSize+1), 0o600) },
	} {
		directory := t.TempDir()
		g.Expect(leave(filepath.Join(directory, registration.DefaultKey))).To(Succeed())
		g.Expect(handOff(t.Context(), config, metadata, directory)).To(MatchError(ContainSubstring("reading the result")), name)
	}
	g.Expect(api.asked).To(BeEmpty())
}

// The same by a real connection, found as a pod finds it.
func TestHandOffAsAPod(t *testing.T) {
	g := NewWithT(t)
	var authorization string
	api := &apiServer{answers: []answer{accepted}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		response, err := api.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer response.Body.Close()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(server.Close)
	access := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(access, "token"), []byte("the-token"), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(access, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)).To(Succeed())
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	g.Expect(err).NotTo(HaveOccurred())

	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err = accessConfig(access)
	g.Expect(err).To(MatchError(ContainSubstring("this is for a pod")))

	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	config, err := accessConfig(access)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(handOff(t.Context(), config, metadata, result(t))).To(Succeed())
	g.Expect(authorization).To(Equal("Bearer the-token"))
	g.Expect(api.asked).To(HaveLen(1))
}
