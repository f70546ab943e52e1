package conformance_test

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

const day = 24 * time.Hour

// scene is a platform of its own with a registered gateway, and what a runner is given to renew it.
type scene struct {
	*WithT
	t        *testing.T
	platform *simulator.Platform
	gateway  simulator.Gateway
	old      *registration.Registration

	credentials anypoint.Credentials
	flexctl     string // "" where the image has none
	hosts       []string
	network     anypoint.Network
	afterwards  func() // what else is to be checked, where set

	secrets []string
}

// newScene arranges what a case is about; without it there is a connected app, and a gateway that expires soon.
func newScene(t *testing.T, p programs, c testCase) *scene {
	t.Helper()
	s := &scene{WithT: NewWithT(t), t: t, flexctl: p.flexctl}
	var err error
	s.platform, err = simulator.Start(simulator.Options{Hosts: c.hosts})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = s.platform.Close() }) // A case may have closed it.
	s.hosts = []string{s.platform.Host()}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	s.Expect(s.platform.WriteCA(ca)).To(Succeed())
	s.network.CABundle, err = os.ReadFile(ca)
	s.Expect(err).NotTo(HaveOccurred())
	s.app(s.platform.AddConnectedApp())
	s.register(10 * day)
	if c.arrange != nil {
		c.arrange(s)
	}
	return s
}

func (s *scene) register(remaining time.Duration) {
	s.t.Helper()
	var err error
	s.gateway, err = s.platform.Register("ingress", remaining)
	s.Expect(err).NotTo(HaveOccurred())
	s.old, err = registration.Parse(map[string][]byte{registration.DefaultKey: s.gateway.File}, registration.DefaultKey)
	s.Expect(err).NotTo(HaveOccurred())
	s.hide(s.old)
}

func (s *scene) app(id, secret string) {
	s.t.Helper()
	s.use(map[string]string{"client-id": id, "client-secret": secret})
}

func (s *scene) user(name, password string) {
	s.t.Helper()
	s.use(map[string]string{"username": name, "password": password})
}

func (s *scene) use(values map[string]string) {
	s.t.Helper()
	data := map[string][]byte{}
	for key, value := range values {
		data[key] = []byte(value)
		s.secrets = append(s.secrets, value)
	}
	var err error
	s.credentials, err = anypoint.ParseCredentials(data)
	s.Expect(err).NotTo(HaveOccurred())
}

// proxy makes what flexctl reaches the platform by.
func (s *scene) proxy(host, password string) {
	s.network.Proxy = map[string]string{"HTTPS_PROXY": "http://operator:" + password + "@" + host, "NO_PROXY": "10.0.0.0/8"}
	s.secrets = append(s.secrets, password)
}

// script puts some lines of shell in the place of flexctl. $FLEXCTL is what they replace.
func (s *scene) script(lines ...string) {
	s.t.Helper()
	// A container finds on its PATH what is in its image, which here is nothing else.
	text := "#!/bin/sh\nPATH=/usr/bin:/bin\nFLEXCTL=" + s.flexctl + "\n" + strings.Join(lines, "\n") + "\n"
	s.file(text)
}

// file puts a file in the place of flexctl.
func (s *scene) file(text string) {
	s.t.Helper()
	s.flexctl = filepath.Join(s.t.TempDir(), "flexctl")
	s.Expect(os.WriteFile(s.flexctl, []byte(text), 0o755)).To(Succeed())
}

// hide adds a registration's key to what must not be seen: each line of it, and of the certificate.
func (s *scene) hide(r *registration.Registration) {
	for line := range strings.Lines(string(r.Marshal())) {
		if line = strings.TrimSpace(line); len(line) > 40 && !strings.ContainsAny(line, ": -") {
			s.secrets = append(s.secrets, line[:30])
		}
	}
}

// leaks are the secrets that a text shows, in the spellings that programs have for them.
func (s *scene) leaks(text string) (found []string) {
	for _, secret := range s.secrets {
		quoted := strconv.Quote(secret)
		for _, spelling := range []string{
			secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret), base64.RawStdEncoding.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(text, spelling) {
				found = append(found, spelling)
			}
		}
	}
	return found
}
