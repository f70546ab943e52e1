package gateway

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodsThatMayHoldAnOlderRegistration(t *testing.T) {
	written := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	reverted := written.Add(-10 * time.Minute)
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(written.Add(d)) }
	pod := func(created time.Duration, statuses ...corev1.ContainerState) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(created)}}
		for _, s := range statuses {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{State: s})
		}
		return p
	}
	running := func(d time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(d)}}
	}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	gone := pod(-time.Hour, running(-time.Hour))
	gone.DeletionTimestamp = &metav1.Time{Time: written}
	for name, c := range map[string]struct {
		pod *corev1.Pod
		// since the beginning, or since something was put back for ten minutes
		old, putBack bool
	}{
		"long before":                      {pod(-time.Hour, running(-time.Hour)), true, false},
		"made just before it was put back": {pod(-time.Hour, running(-10*time.Minute-9*time.Second)), true, true},
		"made well before it was put back": {pod(-time.Hour, running(-10*time.Minute-11*time.Second)), true, false},
		"made while it was put back":       {pod(-5*time.Minute, running(-5*time.Minute)), true, true},
		"restarted while it was put back":  {pod(-time.Hour, running(-5*time.Minute)), true, true},
		"one container restarted":          {pod(-time.Hour, running(-time.Hour), running(-5*time.Minute)), true, true},
		"restarts again and again":         {pod(-time.Hour, waiting), true, true},
		"restarted inside the margin":      {pod(-time.Hour, running(time.Minute)), true, true},
		"restarted after the margin":       {pod(-time.Hour, running(3*time.Minute)), false, false},
		"made inside the margin":           {pod(5*time.Second, running(5*time.Second)), true, true},
		"made after the margin":            {pod(11*time.Second, running(11*time.Second)), false, false},
		"not started yet":                  {pod(-time.Minute), true, true},
		"on its way out":                   {gone, false, false},
	} {
		if got := mayHoldOld(c.pod, time.Time{}, written); got != c.old {
			t.Errorf("%s: since the beginning: %t", name, got)
		}
		if got := mayHoldOld(c.pod, reverted, written); got != c.putBack {
			t.Errorf("%s: since it was put back: %t", name, got)
		}
	}
}

func TestWriter(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Time: &metav1.Time{Time: time.Unix(300, 0)}, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:notes.txt":{}}}`)},
		{Manager: "nobody"},
		{Manager: "chart", Time: &metav1.Time{Time: time.Unix(100, 0)}, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:registration.yaml":{}}}`)},
		{Manager: "helm", Time: &metav1.Time{Time: time.Unix(200, 0)}, FieldsV1: metav1.NewFieldsV1(`{"f:data":{".":{},"f:registration.yaml":{}},"f:type":{}}`)},
	}}}
	for key, want := range map[string]string{"registration.yaml": "helm", "notes.txt": "kubectl", "other": "somebody"} {
		if got := Writer(secret, key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	secret.ManagedFields = append(secret.ManagedFields, metav1.ManagedFieldsEntry{
		Manager: "argocd", Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:registration.yaml":{}}}`),
	})
	if got := Appliers(secret, "registration.yaml"); !slices.Equal(got, []string{"argocd"}) {
		t.Errorf("%q apply it: who has applied what was there already, which has no time, counts", got)
	}
	if got := Writer(secret, "registration.yaml"); got != "helm" {
		t.Errorf("%s has written it, who has only applied what was there already", got)
	}
	if got := Written(secret, "registration.yaml"); !got.Equal(time.Unix(200, 0)) {
		t.Errorf("written at %s: what is done to the rest of the Secret does not count", got)
	}
}
