package gateway

import (
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNoPodWithTheOldRegistrationIsMissed plays kubelets around the moment at which a Secret is written: pods are made and
// their container is restarted at any time, a new pod gets what the kubelet has by its watch, and files in a pod that is
// there are renewed once in a while. Whatever has read the old content must count.
func TestNoPodWithTheOldRegistrationIsMissed(t *testing.T) {
	const (
		watchDelay = 5 * time.Second   // of the kubelet's watch, at most
		refresh    = 115 * time.Second // of files in a pod, at most
		around     = 5 * time.Minute
	)
	random := rand.New(rand.NewPCG(7, 8))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d) + 1)) }
	written := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	old, spared := 0, 0
	for range 200_000 {
		created := written.Add(upTo(2*around) - around)
		// What is mounted when the pod is made, and from when on the new content is there.
		mounted := created.Add(upTo(10 * time.Second))
		fresh := mounted
		if mounted.Before(written.Add(upTo(watchDelay))) {
			fresh = written.Add(upTo(refresh))
			if fresh.Before(mounted) {
				fresh = mounted.Add(upTo(refresh))
			}
		}
		started := mounted.Add(upTo(5 * time.Second))
		if random.IntN(3) == 0 { // It is restarted.
			started = started.Add(upTo(around))
		}
		holdsOld := started.Before(fresh)
		pod := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created.Truncate(time.Second))},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started.Truncate(time.Second))}}}}},
		}
		counts := OldPods([]corev1.Pod{pod}, time.Time{}, written) == 1
		switch {
		case holdsOld && !counts:
			t.Fatalf("a pod that was made %s and started %s after the Secret was written has read the old content, which was there until %s, and does not count",
				created.Sub(written), started.Sub(written), fresh.Sub(written))
		case holdsOld:
			old++
		case !counts:
			spared++
		}
	}
	if old < 10_000 || spared < 10_000 {
		t.Errorf("the test is of no use: %d pods had read the old content, %d were known not to have", old, spared)
	}
}
