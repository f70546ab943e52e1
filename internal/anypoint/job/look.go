package job

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// eventsAfter is how long a Job may take to start before Events are asked what it waits for. Whatever pods say
// themselves is told at once.
const eventsAfter = 30 * time.Second

// look says what has become of the Job: the answer, an *anypoint.Error, or an *anypoint.Pending.
func (a *attempt) look(ctx context.Context, credentials anypoint.Credentials) (*registration.Registration, error) {
	if a.isHandedOver(ctx) {
		if renewed, err := a.result(ctx); renewed != nil || err != nil {
			return renewed, err
		}
	}
	job, err := a.find(ctx)
	if err != nil {
		return nil, a.unread(err)
	}
	now := a.Clock.Now()
	failed, ended := finished(job, batchv1.JobFailed), finished(job, batchv1.JobComplete) != nil
	giveUp := !now.Before(a.intent.Since.Add(startWithin + startMargin))
	if job == nil || failed != nil || ended || giveUp {
		// After the Job: where that has ended, so has whatever its pod could hand over.
		if renewed, err := a.result(ctx); renewed != nil || err != nil {
			return renewed, err
		}
	}
	switch {
	case job == nil && now.Before(a.intent.Since.Add(createWithin)):
		return nil, a.pending("it is not there yet", false, createWithin)
	case job == nil:
		return nil, a.withoutJob(ctx, now)
	}
	// Before something final is said of the pod, the cache is not enough: it may be behind that of Jobs.
	reader := a.Cache
	if failed != nil || giveUp {
		reader = a.APIReader
	}
	pod, err := a.pod(ctx, reader, job)
	if err != nil {
		return nil, a.unread(err)
	}
	if status := flexctlStatus(pod); status != nil && status.State.Terminated != nil && status.State.Terminated.ExitCode != 0 {
		return nil, a.flexctlFailed(status.State.Terminated, credentials)
	}
	started := hasStarted(pod)
	runs := started || pod == nil && job.Status.Failed > 0
	switch {
	case failed != nil && pod != nil && !started:
		return nil, a.notStarted(podFailure(pod))
	case failed != nil:
		return nil, a.failed(strings.TrimSpace(failed.Message + " " + podFailure(pod)))
	case ended:
		return nil, a.failed("it reports success, but nothing was handed over")
	case runs && now.Before(a.intent.Until):
		return nil, a.pending("", false, a.intent.Until.Sub(now))
	case runs:
		return nil, a.failed("it has not ended in time " + podFailure(pod))
	}
	why, err := a.waitsFor(ctx, job, pod, now)
	switch {
	case err != nil:
		return nil, a.unread(err)
	case !giveUp:
		return nil, a.pending(why, why != "", eventsAfter)
	case pod != nil && pod.Spec.NodeName != "" && mayHaveStarted(pod):
		return nil, a.failed("nothing was heard of its pod from node " + pod.Spec.NodeName)
	default: // A pod that comes up now does not run flexctl any more.
		return nil, a.notStarted(cmp.Or(why, "its pod did not start in time"))
	}
}

// result reads what the pod has handed over; nil where there is none yet.
func (a *attempt) result(ctx context.Context) (*registration.Registration, error) {
	handoff, err := a.readHandoff(ctx)
	if client.IgnoreNotFound(err) != nil {
		return nil, a.unread(err)
	}
	renewed, err := handedOver(handoff)
	if err != nil {
		return nil, &anypoint.Error{Class: anypoint.ResultInvalid, Unresolved: true, Detail: "what the pod handed over is no registration: " + err.Error()}
	}
	return renewed, nil
}

// withoutJob says what is to be made of an attempt whose Job does not exist. A pod that it has left behind may still hand
// its result over.
func (a *attempt) withoutJob(ctx context.Context, now time.Time) error {
	var pods corev1.PodList
	if err := a.APIReader.List(ctx, &pods, client.InNamespace(a.fr.Namespace), client.MatchingLabels{batchv1.JobNameLabel: a.intent.Job}); err != nil {
		return a.unread(err)
	}
	for i := range pods.Items {
		if phase := pods.Items[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed && now.Before(a.intent.Until) {
			return a.pending("it was deleted, and its pod has not ended yet", false, eventsAfter)
		}
	}
	return a.failed("it does not exist: the operator stopped before it was created, or somebody has deleted it")
}

// unread says that an attempt goes on although it could not be looked at.
func (a *attempt) unread(err error) error {
	return a.pending(err.Error(), true, eventsAfter)
}

func (a *attempt) failed(why string) error {
	return &anypoint.Error{Class: anypoint.JobFailed, Unresolved: true, Detail: fmt.Sprintf("Job %s: %s", a.intent.Job, why)}
}

func (a *attempt) notStarted(why string) error {
	return &anypoint.Error{Class: anypoint.JobNotStarted, Detail: fmt.Sprintf("Job %s did not come to run flexctl: %s", a.intent.Job, why)}
}

// flexctlFailed makes an error of how the container with flexctl ended.
func (a *attempt) flexctlFailed(terminated *corev1.ContainerStateTerminated, credentials anypoint.Credentials) error {
	if failure := anypoint.ParseTerminationMessage(terminated.Message, credentials); failure != nil {
		return failure
	}
	if terminated.Reason == "StartError" || terminated.Reason == "ContainerCannotRun" {
		return &anypoint.Error{Class: anypoint.FlexctlUnusable, Detail: fmt.Sprintf("Job %s: the container with flexctl can't be started: %s", a.intent.Job, gateway.Bounded(terminated.Message))}
	}
	return a.failed(fmt.Sprintf("the container with flexctl was ended (%s, exit code %d)", terminated.Reason, terminated.ExitCode))
}

// find returns the Job, nil if it does not exist.
func (a *attempt) find(ctx context.Context) (*batchv1.Job, error) {
	job, key := &batchv1.Job{}, client.ObjectKey{Namespace: a.fr.Namespace, Name: a.intent.Job}
	err := a.Cache.Get(ctx, key, job)
	if apierrors.IsNotFound(err) { // The cache may be behind.
		err = a.APIReader.Get(ctx, key, job)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("getting Job %s: %w", key, err)
	}
	return job, nil
}

// pod returns the Job's newest pod, nil if there is none.
func (a *attempt) pod(ctx context.Context, reader client.Reader, job *batchv1.Job) (*corev1.Pod, error) {
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return nil, fmt.Errorf("listing the pods of Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	var newest *corev1.Pod
	for i := range pods.Items {
		if p := &pods.Items[i]; metav1.IsControlledBy(p, job) && (newest == nil || newest.CreationTimestamp.Before(&p.CreationTimestamp)) {
			newest = p
		}
	}
	return newest, nil
}

// finished returns the condition that ended a Job, nil if it didn't, or there is none. A Job that is about to fail still has pods
// whose end is awaited.
func finished(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	if job == nil {
		return nil
	}
	i := slices.IndexFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind && c.Status == corev1.ConditionTrue })
	if i < 0 {
		return nil
	}
	return &job.Status.Conditions[i]
}

func flexctlStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	if pod == nil {
		return nil
	}
	i := slices.IndexFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == containerFlexctl })
	if i < 0 {
		return nil
	}
	return &pod.Status.InitContainerStatuses[i]
}

// hasStarted says that flexctl runs or has run.
func hasStarted(pod *corev1.Pod) bool {
	status := flexctlStatus(pod)
	return status != nil && (status.State.Running != nil || status.State.Terminated != nil || status.LastTerminationState.Terminated != nil)
}

// mayHaveStarted says that nothing was heard of a pod for so long that flexctl, which would have come next, may run.
func mayHaveStarted(pod *corev1.Pod) bool {
	if flexctlStatus(pod) == nil {
		return true
	}
	return slices.ContainsFunc(pod.Status.InitContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == containerPrepare && s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
	}) && gateway.PodProblem(pod) == ""
}

// podFailure says why a pod failed, as far as it says so itself.
func podFailure(pod *corev1.Pod) string {
	if pod == nil {
		return ""
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("container %s ended with exit code %d (%s): %s", status.Name, t.ExitCode, t.Reason, gateway.Bounded(t.Message))
		}
	}
	return gateway.Bounded(strings.TrimSpace(pod.Status.Reason + " " + pod.Status.Message))
}
