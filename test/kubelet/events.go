package kubelet

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// event records an Event about the pod, the first time that it happens.
func (w *worker) event(kind, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead.Load() || w.events[reason+message] {
		return
	}
	w.events[reason+message] = true
	now := metav1.Now()
	err := w.kubelet.api.Create(w.life, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.pod.Namespace, Name: fmt.Sprintf("%s.%x", w.pod.Name, time.Now().UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: w.pod.Namespace, Name: w.pod.Name, UID: w.pod.UID, ResourceVersion: w.pod.ResourceVersion,
		},
		Type: kind, Reason: reason, Message: message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source:              corev1.EventSource{Component: "kubelet", Host: w.pod.Spec.NodeName},
		ReportingController: "kubelet", ReportingInstance: w.pod.Spec.NodeName,
	})
	if err != nil {
		w.failed("recording the Event "+reason, err)
	}
}
