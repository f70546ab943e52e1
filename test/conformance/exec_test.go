package conformance_test

import (
	"os"
	"path/filepath"
	"sync"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// execRunner runs flexctl in this process's container, under the manager's supervision, as with --renewer=exec.
type execRunner struct {
	programs programs

	mu          sync.Mutex
	directories map[*scene]string
}

func (r *execRunner) renewer(s *scene) anypoint.Renewer {
	directory := s.t.TempDir()
	r.mu.Lock()
	r.directories[s] = directory
	r.mu.Unlock()
	environment := []string{"PATH=" + s.t.TempDir()}
	for name, value := range s.network.Proxy {
		environment = append(environment, name+"="+value)
	}
	if s.network.CABundle != nil {
		ca := filepath.Join(s.t.TempDir(), "ca.crt")
		s.Expect(os.WriteFile(ca, s.network.CABundle, 0o600)).To(Succeed())
		environment = append(environment, "SSL_CERT_FILE="+ca)
	}
	flexctl := s.flexctl
	if flexctl == "" {
		flexctl = filepath.Join(directory, "no-such-program")
	}
	return &anypoint.Exec{
		Flexctl: flexctl, Hosts: s.hosts, Directory: directory, Environment: environment,
		Supervisor: anypoint.Supervisor(r.programs.manager, "supervise"),
	}
}

// settled is nothing: what there is to see is the error.
func (r *execRunner) settled(*scene) map[string]string { return nil }

func (r *execRunner) leavesNothing(s *scene) {
	r.mu.Lock()
	directory := r.directories[s]
	r.mu.Unlock()
	s.Expect(os.ReadDir(directory)).To(BeEmpty())
}
