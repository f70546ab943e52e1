package conformance_test

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// A Job that does not come to run flexctl is given up when no pod of it can do so any more.
func testImagePull(t *testing.T, p programs, jobs *jobRunner) {
	s := newScene(t, p, testCase{})
	a := jobs.prepare(s)
	var pending *anypoint.Pending
	s.Eventually(func() bool {
		_, err := a.Renew(t.Context(), s.old, s.credentials)
		return errors.As(err, &pending) && pending.Stuck
	}).WithTimeout(patience).WithPolling(pause).Should(BeTrue(), "it says that somebody may have to act")
	s.Expect(pending.Message).To(And(ContainSubstring("ImagePull"), ContainSubstring("flex-gateway:1")))
	s.Expect(pending.At).To(BeTemporally(">", a.clock.Now()))
	s.Expect(s.leaks(pending.Message)).To(BeEmpty())

	a.clock.SetTime(a.intent.Since.Add(6*time.Minute - time.Second))
	_, err := a.Renew(t.Context(), s.old, s.credentials)
	s.Expect(errors.As(err, &pending)).To(BeTrue(), "%v", err)
	s.Expect(pending.At).To(Equal(a.intent.Since.Add(6 * time.Minute)))

	a.clock.Step(time.Second)
	renewed, err := a.Renew(t.Context(), s.old, s.credentials)
	s.Expect(renewed).To(BeNil())
	s.failed(err, want{class: anypoint.JobNotStarted, says: []string{"ImagePull"}})
	s.Expect(s.platform.Requests()).To(BeEmpty())
	jobs.leavesNothing(s)
	s.Eventually(func() ([]batchv1.Job, error) {
		var left batchv1.JobList
		err := jobs.admin.List(t.Context(), &left, client.InNamespace(a.fr.Namespace))
		return left.Items, err
	}).WithTimeout(patience).WithPolling(pause).Should(BeEmpty())
}
