// Package conformance_test holds the two ways to run flexctl, in the operator's process and in a Job, to the same
// behaviour: one table of cases, asked of both through the same interface.
package conformance_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

const (
	// parallel cases wait for the control plane, or for processes, most of the time.
	parallel = 6
	// patience bounds the wait for one answer, pause is between two questions.
	patience = time.Minute
	pause    = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// runner is a way to run flexctl.
type runner interface {
	// renewer is what one renewal of the scene is asked of.
	renewer(*scene) anypoint.Renewer
	// settled waits until nothing of the renewal goes on, and returns what people may see of it, by where it stands.
	settled(*scene) map[string]string
	// leavesNothing checks that no secret stays behind.
	leavesNothing(*scene)
}

func TestConformance(t *testing.T) {
	p := build(t)
	jobs := newJobRunner(t, p)
	for name, way := range map[string]runner{"exec": &execRunner{programs: p, directories: map[*scene]string{}}, "job": jobs} {
		t.Run(name, func(t *testing.T) {
			for name, c := range allCases() {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					want := c.want
					if c.inJob != nil && way == runner(jobs) {
						want = *c.inJob
					}
					s := newScene(t, p, c)
					s.check(way, want)
				})
			}
		})
	}
	t.Run("job alone", func(t *testing.T) { testJobAlone(t, p, jobs) })
}

func allCases() map[string]testCase {
	all := map[string]testCase{}
	for _, some := range []map[string]testCase{platformCases, networkCases, flexctlCases, hostileCases} {
		maps.Copy(all, some)
	}
	return all
}

// check renews, and checks the answer and what holds whatever it is.
func (s *scene) check(way runner, want want) {
	s.t.Helper()
	renewed, err := s.ask(way.renewer(s))
	renewals := s.platform.Renewals(s.gateway.AgentID)
	s.Expect(renewals).To(HaveLen(want.issued), "certificates that the platform has issued; %v", err)
	if want.class == "" {
		s.Expect(err).NotTo(HaveOccurred())
		fingerprint := s.old.Certificate().Fingerprint
		if want.issued > 0 {
			fingerprint = renewals[want.issued-1].NewFingerprint
		}
		s.Expect(renewed.Certificate().Fingerprint).To(Equal(fingerprint))
		s.hide(renewed)
	} else {
		s.Expect(renewed).To(BeNil())
		s.failed(err, want)
	}
	for where, text := range way.settled(s) {
		s.Expect(s.leaks(text)).To(BeEmpty(), "%s shows a secret:\n%s", where, text)
	}
	way.leavesNothing(s)
	if s.afterwards != nil {
		s.afterwards()
	}
}

func (s *scene) failed(err error, want want) {
	s.t.Helper()
	var failure *anypoint.Error
	s.Expect(errors.As(err, &failure)).To(BeTrue(), "%T: %v", err, err)
	s.Expect(failure.Class).To(Equal(want.class), failure.Detail)
	s.Expect(failure.Unresolved).To(Equal(want.unresolved), failure.Detail)
	for _, says := range want.says {
		s.Expect(failure.Detail).To(ContainSubstring(says))
	}
	s.Expect(failure.Detail).NotTo(Or(BeEmpty(), ContainSubstring("\n")))
	s.Expect(len(failure.Detail)).To(BeNumerically("<=", 700))
	s.Expect(s.leaks(failure.Detail)).To(BeEmpty(), failure.Detail)
}

// ask asks again while the answer is yet to come.
func (s *scene) ask(renewer anypoint.Renewer) (*registration.Registration, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		renewed, err := renewer.Renew(ctx, s.old, s.credentials)
		var pending *anypoint.Pending
		if !errors.As(err, &pending) {
			return renewed, err
		}
		s.Expect(s.leaks(pending.Message)).To(BeEmpty(), pending.Message)
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("no answer within %s: %s", patience, pending.Message)
		}
	}
}
