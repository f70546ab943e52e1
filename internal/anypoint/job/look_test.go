package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/registrations"
)

// seenCase is what is seen of an attempt, and what comes of it.
type seenCase struct {
	after   time.Duration // since the claim
	objects []client.Object
	cached  []client.Object // where the cache is behind
	fails   string          // the verb and kind of a call that the API server refuses

	// What is to come of it: a class of failure; else a registration, or that it goes on.
	class      anypoint.Class
	unresolved bool
	renewed    bool
	stuck      bool
	quiet      bool // all goes well
	says       []string
	again      time.Duration // when to look again, since the claim
}

const (
	fence = startWithin + startMargin
	quota = `Error creating: pods "x" is forbidden: exceeded quota: full`
)

func TestLook(t *testing.T) {
	old := registrations.New(t)
	renewed := string(old.Marshal())
	failed := ended(batchv1.JobFailed, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
	late := ended(batchv1.JobFailed, "DeadlineExceeded", "Job was active longer than specified deadline")
	podFailed := func(reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, reason, message
		}
	}
	unscheduled := func(p *corev1.Pod) {
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are\n available"}}}
	}
	flexctlRan := is(containerFlexctl, terminated(0, "Completed", ""))
	claim := `{"class":"RequestRefused","detail":"no ` + appSecret + `"}`
	for name, c := range map[string]seenCase{
		// It has not started yet.
		"no pod yet":               {after: time.Second, objects: objects(made()), quiet: true, again: 31 * time.Second},
		"no pod, no Event":         {after: 30 * time.Second, objects: objects(made()), quiet: true, again: time.Minute},
		"no room":                  {after: 31 * time.Second, objects: objects(made(), warning(jobUID, "FailedCreate", quota, since)), stuck: true, says: []string{"FailedCreate", "exceeded quota"}},
		"no room, just begun":      {after: 29 * time.Second, objects: objects(made(), warning(jobUID, "FailedCreate", quota, since)), quiet: true},
		"the newest warning":       {after: time.Minute, objects: objects(made(), warning(jobUID, "Old", "old", since), warning(jobUID, "New", "new", since.Add(1*time.Second)), warning(jobUID, "Older", "older", since.Add(-time.Second))), stuck: true, says: []string{"New: new"}},
		"another object's warning": {after: time.Minute, objects: objects(made(), warning("another", "FailedCreate", quota, since)), quiet: true},
		"a pod that starts":        {after: time.Second, objects: objects(made(), pod()), quiet: true},
		"a pod before its kubelet": {after: time.Second, objects: objects(made(), pod(func(p *corev1.Pod) { p.Status = corev1.PodStatus{} })), quiet: true},
		"a volume that is missing": {after: 31 * time.Second, objects: objects(made(), pod(), warning("the-pod", "FailedMount", `configmap "kube-root-ca.crt" not found`, since)), stuck: true, says: []string{"FailedMount", "kube-root-ca.crt"}},
		"unschedulable":            {after: time.Second, objects: objects(made(), pod(unscheduled)), stuck: true, says: []string{"not scheduled (Unschedulable): 0/3 nodes are available"}},
		"an image that is missing": {after: time.Second, objects: objects(made(), pod(is(containerFlexctl, waits("ImagePullBackOff", "not found")))), stuck: true, says: []string{"container flexctl with image flex-gateway:1 waits (ImagePullBackOff): not found"}},
		"the operator's image":     {after: time.Second, objects: objects(made(), pod(is(containerPrepare, waits("ErrImagePull", "denied")))), stuck: true, says: []string{"container prepare", "ImagePullBackOff", "denied"}},
		"a config error":           {after: time.Second, objects: objects(made(), pod(is(containerFlexctl, waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")))), stuck: true, says: []string{"CreateContainerConfigError", "runAsNonRoot"}},
		"much to say":              {after: time.Second, objects: objects(made(), pod(is(containerFlexctl, waits("ErrImagePull", strings.Repeat("long ", 1000))))), stuck: true, says: []string{"long long", "…"}},

		// It does not come to start. The last moment at which a pod may still run flexctl is not over for the operator.
		"the last moment":         {after: fence - 1, objects: objects(made(), pod()), again: fence},
		"looks when that is over": {after: fence - 10*time.Second, objects: objects(made(), pod()), again: fence},
		"given up":                {after: fence, objects: objects(made(), pod()), class: anypoint.JobNotStarted, says: []string{"its pod did not start in time"}},
		"given up without a pod":  {after: fence, objects: objects(made(), warning(jobUID, "FailedCreate", quota, since)), class: anypoint.JobNotStarted, says: []string{"exceeded quota"}},
		"given up without image":  {after: time.Hour, objects: objects(made(), pod(is(containerFlexctl, waits("ImagePullBackOff", "x")))), class: anypoint.JobNotStarted, says: []string{"ImagePullBackOff"}},
		"evicted before":          {after: time.Minute, objects: objects(made(failed), pod(podFailed("Evicted", "The node was low on resource: memory."))), class: anypoint.JobNotStarted, says: []string{"Evicted The node was low on resource"}},
		"prepare failed":          {after: time.Minute, objects: objects(made(failed), pod(podFailed("", ""), is(containerPrepare, terminated(1, "Error", "no space")))), class: anypoint.JobNotStarted, says: []string{"container prepare ended with exit code 1 (Error): no space"}},
		"too late before it":      {after: lifetime, objects: objects(made(late), pod()), class: anypoint.JobNotStarted},

		// flexctl runs, or has run.
		"flexctl runs":                {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, runs()))), quiet: true, again: fence},
		"it runs past the fence":      {after: fence, objects: objects(made(), pod(is(containerFlexctl, runs()))), again: Hold},
		"its last moment":             {after: Hold - 1, objects: objects(made(), pod(is(containerFlexctl, runs()))), again: Hold},
		"it runs for ever":            {after: Hold, objects: objects(made(), pod(is(containerFlexctl, runs()))), class: anypoint.JobFailed, unresolved: true, says: []string{"has not ended in time"}},
		"it has said why":             {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, terminated(1, "Error", claim)))), class: anypoint.RequestRefused, says: []string{"no [redacted]"}},
		"it said so, and the Job too": {after: time.Minute, objects: objects(made(failed), pod(is(containerFlexctl, terminated(1, "Error", claim)))), class: anypoint.RequestRefused},
		"it has said nothing":         {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, terminated(2, "Error", "")))), class: anypoint.JobFailed, unresolved: true, says: []string{"Error, exit code 2"}},
		"it has said something":       {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, terminated(2, "Error", "secret: "+appSecret)))), class: anypoint.JobFailed, unresolved: true},
		"out of memory":               {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, terminated(137, "OOMKilled", "")))), class: anypoint.JobFailed, unresolved: true, says: []string{"OOMKilled, exit code 137"}},
		"evicted":                     {after: time.Minute, objects: objects(made(failed), pod(podFailed("Evicted", "low"), is(containerFlexctl, terminated(137, "Error", "")))), class: anypoint.JobFailed, unresolved: true},
		"it can't be started":         {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, startError("StartError")))), class: anypoint.FlexctlUnusable, says: []string{"can't be started", "no such file"}},
		"it can't be started, CRI-O":  {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, startError("ContainerCannotRun")))), class: anypoint.FlexctlUnusable},
		"its kubelet has lost it": {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"},
		}))), class: anypoint.JobFailed, unresolved: true},
		"its node has lost it": {after: time.Minute, objects: objects(made(failed), pod(podFailed("NodeLost", "x"), func(p *corev1.Pod) {
			p.Status.InitContainerStatuses[1].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"}
		})), class: anypoint.JobFailed, unresolved: true},
		"it has ended":              {after: time.Minute, objects: objects(made(), pod(flexctlRan, is(containerHandoff, runs()))), quiet: true, again: fence},
		"handing over fails":        {after: time.Minute, objects: objects(made(), pod(flexctlRan, is(containerHandoff, terminated(1, "Error", "forbidden")))), again: fence},
		"handing over has failed":   {after: time.Minute, objects: objects(made(failed), pod(flexctlRan, is(containerHandoff, terminated(1, "Error", "forbidden")))), class: anypoint.JobFailed, unresolved: true, says: []string{"backoff limit", "container handoff ended with exit code 1 (Error): forbidden"}},
		"success without a result":  {after: time.Minute, objects: objects(made(ended(batchv1.JobComplete, "", "")), pod(flexctlRan)), class: anypoint.JobFailed, unresolved: true, says: []string{"nothing was handed over"}},
		"about to fail":             {after: time.Minute, objects: objects(made(ended(batchv1.JobFailureTarget, "x", "x")), pod(is(containerFlexctl, runs()))), again: fence},
		"too late, its pod gone":    {after: lifetime, objects: objects(made(late)), class: anypoint.JobFailed, unresolved: true, says: []string{"longer than specified deadline"}},
		"too late, its pod there":   {after: lifetime, objects: objects(made(late), pod(is(containerFlexctl, runs()))), class: anypoint.JobFailed, unresolved: true},
		"a pod that has gone":       {after: time.Minute, objects: objects(made(func(j *batchv1.Job) { j.Status.Failed = 1 })), again: fence},
		"a pod that had gone":       {after: Hold, objects: objects(made(func(j *batchv1.Job) { j.Status.Failed = 1 })), class: anypoint.JobFailed, unresolved: true, says: []string{"has not ended in time"}},
		"a node that is silent":     {after: fence, objects: objects(made(), pod(func(p *corev1.Pod) { p.Spec.NodeName, p.Status = "edge-1", corev1.PodStatus{} })), class: anypoint.JobFailed, unresolved: true, says: []string{"nothing was heard of its pod from node edge-1"}},
		"the newer of two pods":     {after: time.Minute, objects: objects(made(), pod(is(containerFlexctl, terminated(1, "Error", claim))), pod(newer)), again: 90 * time.Second},
		"somebody else's pod":       {after: time.Second, objects: objects(made(), pod(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "another" }, is(containerFlexctl, terminated(1, "Error", claim)))), quiet: true},
		"a pod of nobody":           {after: time.Second, objects: objects(made(), pod(func(p *corev1.Pod) { p.OwnerReferences = nil }, is(containerFlexctl, runs()))), quiet: true},
		"no Job yet":                {after: createWithin - 1, says: []string{"it is not there yet"}},
		"no Job, but its pod":       {after: createWithin, objects: objects(pod(flexctlRan)), says: []string{"its pod has not ended yet"}},
		"no Job, its pod for ever":  {after: Hold, objects: objects(pod(flexctlRan)), class: anypoint.JobFailed, unresolved: true},
		"no Job, its pod has ended": {after: createWithin, objects: objects(pod(podFailed("x", "x"))), class: anypoint.JobFailed, unresolved: true},
		"no Job":                    {after: createWithin, class: anypoint.JobFailed, unresolved: true, says: []string{jobName, "does not exist"}},

		// The result.
		"handed over":                    {after: time.Minute, objects: objects(made(), pod(flexctlRan), handoff(renewed)), renewed: true},
		"handed over, Job complete":      {after: time.Minute, objects: objects(made(ended(batchv1.JobComplete, "", "")), handoff(renewed)), renewed: true},
		"handed over, then failed":       {after: time.Minute, objects: objects(made(failed), pod(flexctlRan, is(containerHandoff, terminated(1, "Error", ""))), handoff(renewed)), renewed: true},
		"handed over, whatever it says":  {after: time.Minute, objects: objects(made(failed), pod(is(containerFlexctl, terminated(1, "Error", claim))), handoff(renewed)), renewed: true},
		"handed over, the Job gone":      {after: time.Hour, objects: objects(handoff(renewed)), renewed: true},
		"nothing in the Secret":          {after: time.Minute, objects: objects(made(), pod(flexctlRan), handoff("")), again: fence},
		"garbage":                        {after: time.Minute, objects: objects(made(), pod(flexctlRan), handoff("{"+appSecret)), class: anypoint.ResultInvalid, unresolved: true, says: []string{"is no registration"}},
		"half of it":                     {after: time.Minute, objects: objects(made(), pod(flexctlRan), handoff(renewed[:len(renewed)-100])), class: anypoint.ResultInvalid, unresolved: true},
		"another key":                    {after: time.Minute, objects: objects(made(), pod(flexctlRan), otherKey(renewed)), class: anypoint.ResultInvalid, unresolved: true},
		"a Secret of somebody else's":    {after: time.Minute, objects: objects(made(), pod(flexctlRan), foreign(renewed)), again: fence},
		"a foreign Secret without a Job": {after: createWithin, objects: objects(foreign(renewed)), class: anypoint.JobFailed, unresolved: true},

		// The cache is behind.
		"Job not cached":               {after: time.Minute, objects: objects(made(), pod()), cached: objects(handoff("")), quiet: true},
		"pod of a failed Job":          {after: time.Minute, objects: objects(made(failed), pod(podFailed("Evicted", "low"))), cached: objects(made(failed)), class: anypoint.JobNotStarted, says: []string{"Evicted"}},
		"state of a failed Job's pod":  {after: time.Minute, objects: objects(made(failed), pod(is(containerFlexctl, terminated(1, "Error", claim)))), cached: objects(made(failed), pod()), class: anypoint.RequestRefused},
		"started before it is late":    {after: fence, objects: objects(made(), pod(is(containerFlexctl, runs()))), cached: objects(made(), pod()), again: Hold},
		"result cached, Job not":       {after: time.Second, objects: objects(made(), pod(), handoff(renewed)), cached: objects(handoff(renewed)), fails: "get Job", renewed: true},
		"result not cached":            {after: time.Second, objects: objects(made(), pod(), handoff(renewed)), cached: objects(made(), pod(), handoff("")), quiet: true},
		"result not cached, Job ended": {after: time.Minute, objects: objects(made(), pod(), handoff(renewed)), cached: objects(made(failed), handoff("")), renewed: true},
		"result not cached, too late":  {after: fence, objects: objects(made(), pod(), handoff(renewed)), cached: objects(made(), pod(), handoff("")), renewed: true},

		// What can't be seen is no answer.
		"Job unreadable":    {after: time.Minute, objects: objects(made()), fails: "get Job", stuck: true, says: []string{"getting Job"}, again: 90 * time.Second},
		"pods unreadable":   {after: time.Minute, objects: objects(made()), fails: "list PodList", stuck: true, says: []string{"listing the pods"}},
		"result unreadable": {after: time.Minute, objects: objects(made(failed), pod(flexctlRan)), fails: "get Secret", stuck: true, says: []string{"reading Secret"}},
		"Events unreadable": {after: time.Minute, objects: objects(made()), fails: "list EventList", stuck: true, says: []string{"listing the Events"}},
		"never readable":    {after: 2 * Hold, objects: objects(made()), fails: "get Secret", stuck: true, again: 2*Hold + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			api := cluster(c, c.objects)
			cache := client.Reader(api)
			if c.cached != nil {
				cache = cluster(c, c.cached)
			}
			a := attemptOf(&Runner{Cache: cache, Client: api, APIReader: api, Clock: clocktesting.NewFakePassiveClock(since.Add(c.after))}, gatewayOf(corev1.PodSpec{}))
			answer, err := a.Renew(t.Context(), old, credentials(t))
			c.check(g, answer, err)
			var left batchv1.JobList
			g.Expect(api.List(t.Context(), &left)).To(Succeed())
			had := len(c.objects) > 0 && c.objects[0].GetName() == jobName
			g.Expect(len(left.Items) == 1).To(Equal(had), "who looks changes nothing")
		})
	}
}

func (c *seenCase) check(g *WithT, answer *registration.Registration, err error) {
	var failure *anypoint.Error
	var pending *anypoint.Pending
	var text string
	switch {
	case c.renewed:
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer).NotTo(BeNil())
		return
	case c.class != "":
		g.Expect(errors.As(err, &failure)).To(BeTrue(), "%T: %v", err, err)
		g.Expect(failure.Class).To(Equal(c.class), failure.Detail)
		g.Expect(failure.Unresolved).To(Equal(c.unresolved), failure.Detail)
		text = failure.Detail
	default:
		g.Expect(errors.As(err, &pending)).To(BeTrue(), "%T: %v", err, err)
		g.Expect(pending.Stuck).To(Equal(c.stuck), pending.Message)
		g.Expect(pending.At).To(BeTemporally(">", since.Add(c.after)))
		if c.again != 0 {
			g.Expect(pending.At).To(Equal(since.Add(c.again)))
		}
		text = pending.Message
	}
	g.Expect(answer).To(BeNil())
	if c.quiet {
		g.Expect(text).To(Equal("renewing in Job "+jobName), "nothing that the status would be written for")
	}
	for _, says := range c.says {
		g.Expect(text).To(ContainSubstring(says))
	}
	g.Expect(text).NotTo(Or(BeEmpty(), ContainSubstring("\n"), ContainSubstring(appSecret), ContainSubstring("PRIVATE KEY")))
	g.Expect(len(text)).To(BeNumerically("<", 1000))
}

// cluster is an API server of the case's objects. It knows Events by what they are about, as the real one does.
func cluster(c seenCase, objects []client.Object) client.Client {
	refused := func(verb string, object any) error {
		if c.fails == strings.Replace(fmt.Sprintf("%s %T", verb, object), "*v1.", "", 1) {
			return apierrors.NewInternalError(errors.New("etcd is away"))
		}
		return nil
	}
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string { return []string{string(o.(*corev1.Event).InvolvedObject.UID)} }).
		WithIndex(&corev1.Event{}, "type", func(o client.Object) []string { return []string{o.(*corev1.Event).Type} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
				if err := refused("get", o); err != nil {
					return err
				}
				return api.Get(ctx, key, o, options...)
			},
			List: func(ctx context.Context, api client.WithWatch, o client.ObjectList, options ...client.ListOption) error {
				if err := refused("list", o); err != nil {
					return err
				}
				return api.List(ctx, o, options...)
			},
			Delete: func(ctx context.Context, api client.WithWatch, o client.Object, options ...client.DeleteOption) error {
				if err := refused("delete", o); err != nil {
					return err
				}
				return api.Delete(ctx, o, options...)
			},
		}).Build()
}

func objects(all ...client.Object) []client.Object { return all }

func newer(p *corev1.Pod) {
	p.Name, p.UID, p.CreationTimestamp = p.Name+"y", "another-pod", metav1.NewTime(since.Add(time.Second))
}

// startError is what a runtime says of a container that never ran.
func startError(reason string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 128, Reason: reason, Message: "exec: \"/runner/flexctl-runner\":\nno such file", StartedAt: metav1.Unix(0, 0),
	}}
}

func otherKey(content string) *corev1.Secret {
	s := handoff("")
	s.Labels, s.Data = map[string]string{labelHandedOver: "true"}, map[string][]byte{"other": []byte(content)}
	return s
}

// foreign is a Secret that stands where the handoff Secret would.
func foreign(content string) *corev1.Secret {
	s := handoff(content)
	s.Type = corev1.SecretTypeOpaque
	return s
}
