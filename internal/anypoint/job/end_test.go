package job

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The watch may not have shown yet what has come to its end.
func TestEndOfWhatIsNotCachedYet(t *testing.T) {
	for name, c := range map[string]struct {
		all, foreign bool
		leavesJob    bool
		leavesSecret bool
	}{
		"all":                     {all: true},
		"all but the Job":         {leavesJob: true},
		"what is somebody else's": {all: true, foreign: true, leavesJob: true, leavesSecret: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := &Runner{Clock: clocktesting.NewFakePassiveClock(since.Add(time.Second))}
			a := attemptOf(r, gatewayOf(corev1.PodSpec{}))
			secret, job := a.attemptSecret(nil), &batchv1.Job{ObjectMeta: a.meta(a.intent.Job)}
			if c.foreign {
				secret.OwnerReferences, job.OwnerReferences = nil, nil
			}
			api := cluster(seenCase{}, []client.Object{secret, job})
			r.Cache, r.Client, r.APIReader = cluster(seenCase{}, nil), api, api
			g.Expect(r.End(t.Context(), a.fr, a.intent.Job, c.all)).To(Succeed())
			is := func(object client.Object) bool {
				err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: a.intent.Job}, object)
				g.Expect(client.IgnoreNotFound(err)).To(Succeed())
				return !apierrors.IsNotFound(err)
			}
			g.Expect(is(&batchv1.Job{})).To(Equal(c.leavesJob))
			g.Expect(is(&corev1.Secret{})).To(Equal(c.leavesSecret))
		})
	}
}
