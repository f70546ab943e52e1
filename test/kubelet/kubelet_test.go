package kubelet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/controlplane"
)

const (
	image        = "registry.example/tools:1"
	tokenPath    = serviceAccountPath
	processLimit = 5 * time.Second
)

// bench is what the tests share.
type bench struct {
	kubelet *Kubelet
	admin   client.WithWatch
	hold    *holds
}

// holds lets tests hold containers of pods in a namespace.
type holds struct {
	mu       sync.Mutex
	channels map[string]chan struct{}
}

func (h *holds) set(namespace, container string) (release func()) {
	c := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.channels[namespace+"/"+container] = c
	return sync.OnceFunc(func() { close(c) })
}

func (h *holds) hold(ctx context.Context, pod *corev1.Pod, container string) {
	h.mu.Lock()
	c := h.channels[pod.Namespace+"/"+container]
	h.mu.Unlock()
	if c != nil {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
}

func TestKubelet(t *testing.T) {
	c, err := controlplane.Start(t.Context(), controlplane.Options{LeaveJobPods: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	request := filepath.Join(t.TempDir(), "request")
	if out, err := exec.Command("go", "build", "-o", request, "./program").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	b := &bench{hold: &holds{channels: map[string]chan struct{}{}}}
	if b.admin, err = client.NewWithWatch(c.Config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	b.kubelet, err = Start(t.Context(), Options{
		Config: c.Config, Directory: directory, Env: []string{"FROM_TEST=yes", "OWN=not this"}, Hold: b.hold.hold, Log: t.Output(),
		Images: map[string]Image{
			image:                      {Programs: map[string]string{"/bin/sh": "/bin/sh", "bash": bash, "cat": "/bin/cat", "ls": "/bin/ls", "sleep": "/bin/sleep", "/request": request}},
			"registry.example/empty:*": {Entrypoint: []string{"flexctl"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.kubelet.Stop()
		if left, err := os.ReadDir(directory); err != nil || len(left) > 0 {
			t.Errorf("left in the directory: %v, %v", left, err)
		}
	})
	for name, test := range map[string]func(*testing.T, *bench, string){
		"success":          testSuccess,
		"failed-init":      testFailedInit,
		"failed-main":      testFailedMain,
		"late-secret":      testLateSecret,
		"late-env":         testLateEnv,
		"unknown-image":    testUnknownImage,
		"missing-program":  testMissingProgram,
		"deleted":          testDeleted,
		"deleted-stubborn": testDeletedStubborn,
		"deleted-waiting":  testDeletedWaiting,
		"dead-node":        testDeadNode,
		"sidecar":          testSidecar,
		"held":             testHeld,
	} {
		t.Run(name, func(t *testing.T) {
			create(t, b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
			test(t, b, name)
		})
	}
	t.Run("stopped", func(t *testing.T) { testStopped(t, b) })
}

// A pod as the operator's: volumes that are shared, a token that is the pod's, a message at the end.
func testSuccess(t *testing.T, b *bench, namespace string) {
	create(t, b, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "credentials"}, StringData: map[string]string{"id": "the-id", "secret": "the-secret"}})
	create(t, b, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "settings"}, Data: map[string]string{"level": "high"}})
	create(t, b, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "edit"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "default"}},
	})
	j := job(namespace)
	spec := &j.Spec.Template.Spec
	spec.AutomountServiceAccountToken = ptr.To(false)
	spec.Volumes = []corev1.Volume{
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		{Name: "credentials", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: "credentials", DefaultMode: ptr.To[int32](0o440), Items: []corev1.KeyToPath{{Key: "id", Path: "sub/id"}},
		}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](600)}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
		}}}},
	}
	work := corev1.VolumeMount{Name: "work", MountPath: "/work"}
	spec.InitContainers = []corev1.Container{
		shell("first", `cat /credentials/sub/id >/work/id; ls /credentials; printf prepared >/dev/termination-log`, work,
			corev1.VolumeMount{Name: "credentials", MountPath: "/credentials", ReadOnly: true}),
		shell("second", `echo "$(cat /work/id) $LEVEL $OWN $FROM_TEST $SECRET $NAME $COMBINED $MEMORY" >/work/new/all`, work,
			corev1.VolumeMount{Name: "work", MountPath: "/work/new", SubPath: "new"}),
	}
	spec.InitContainers[1].Env = []corev1.EnvVar{
		{Name: "OWN", Value: "own"},
		{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}},
		{Name: "LEVEL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "level"}}},
		{Name: "SECRET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "credentials"}, Key: "secret"}}},
		{Name: "COMBINED", Value: "<$(OWN)>"},
		{Name: "MEMORY", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}},
	}
	spec.InitContainers[1].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	spec.Containers = []corev1.Container{shell("main", fmt.Sprintf(
		`cat /work/new/all; cat $KUBECONFIG; cat /missing/x /work/missing; /request --token=%[1]s/token --ca=%[1]s/ca.crt --namespace=$(cat %[1]s/namespace)`, tokenPath),
		corev1.VolumeMount{Name: "work", MountPath: "/work", ReadOnly: true}, corev1.VolumeMount{Name: "token", MountPath: tokenPath, ReadOnly: true})}

	phases := watchStates(t, b, namespace)
	create(t, b, j)
	finishes(t, b, j, batchv1.JobComplete)

	pod := podOf(t, b, namespace)
	key := client.ObjectKeyFromObject(pod)
	// The Job controller takes its time, a second.
	if took := terminated(t, pod, "main").FinishedAt.Sub(pod.Status.StartTime.Time); took > time.Second {
		t.Errorf("the pod ran for %s", took)
	}
	if got := b.kubelet.Output(key, "first"); got != "sub\n" {
		t.Errorf("the Secret's volume contains %q, want sub alone", got)
	}
	printed := b.kubelet.Output(key, "main")
	for _, want := range []string{
		"the-id high own yes the-secret " + namespace + " <own> 67108864\n", "the API server answers 201\n", "tokenFile: " + tokenPath + "/token\n",
		"/missing/x: No such file", "/work/missing: No such file",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("main printed no %q but:\n%s", want, printed)
		}
	}
	if pod.Status.Phase != corev1.PodSucceeded || pod.Status.HostIP == "" || pod.Status.PodIP == "" || pod.Status.StartTime.IsZero() {
		t.Errorf("the pod's status: %+v", pod.Status)
	}
	first := terminated(t, pod, "first")
	if first.ExitCode != 0 || first.Reason != "Completed" || first.Message != "prepared" || first.StartedAt.IsZero() || first.FinishedAt.IsZero() || first.ContainerID == "" {
		t.Errorf("first: %+v", first)
	}
	for _, name := range []string{"second", "main"} {
		if s := terminated(t, pod, name); s.ExitCode != 0 || s.Reason != "Completed" || s.Message != "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	checkConditions(t, pod, "Initialized=True PodCompleted; Ready=False PodCompleted; ContainersReady=False PodCompleted; PodScheduled=True; PodReadyToStartContainers=False")
	want := []string{
		"Pending", // made, and scheduled
		"Pending first=PodInitializing second=PodInitializing main=PodInitializing",
		"Pending first=running second=PodInitializing main=PodInitializing",
		"Pending first=Completed second=PodInitializing main=PodInitializing",
		"Pending first=Completed second=running main=PodInitializing",
		"Pending first=Completed second=Completed main=PodInitializing",
		"Running first=Completed second=Completed main=running",
		"Succeeded first=Completed second=Completed main=Completed",
	}
	if got := phases(); !slices.Equal(got, want) {
		t.Errorf("the pod was, one after the other:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func testFailedInit(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.InitContainers = []corev1.Container{
		shell("first", `i=0; while [ $i -lt 500 ]; do printf 0123456789 >>/dev/termination-log; i=$((i+1)); done; printf end >>/dev/termination-log; exit 7`),
		shell("second", `true`),
	}
	create(t, b, j)
	finishes(t, b, j, batchv1.JobFailed)
	pod := podOf(t, b, namespace)
	first := terminated(t, pod, "first")
	if pod.Status.Phase != corev1.PodFailed || first.ExitCode != 7 || first.Reason != "Error" || len(first.Message) != 4096 || !strings.HasSuffix(first.Message, "789end") {
		t.Errorf("%s, first: %+v", pod.Status.Phase, first)
	}
	for _, name := range []string{"second", "main"} {
		if s := state(t, pod, name); s.Waiting == nil || s.Waiting.Reason != "PodInitializing" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	checkConditions(t, pod, "Initialized=False ContainersNotInitialized; Ready=False PodFailed; ContainersReady=False PodFailed; PodScheduled=True; PodReadyToStartContainers=False")
}

func testFailedMain(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	main := &j.Spec.Template.Spec.Containers[0]
	*main = shell("main", `echo "it broke"; kill -9 $$$$`)
	main.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	create(t, b, j)
	finishes(t, b, j, batchv1.JobFailed)
	pod := podOf(t, b, namespace)
	if s := terminated(t, pod, "main"); pod.Status.Phase != corev1.PodFailed || s.ExitCode != 137 || s.Reason != "Error" || s.Message != "it broke\n" {
		t.Errorf("%s, main: %+v", pod.Status.Phase, s)
	}
	checkConditions(t, pod, "Initialized=True; Ready=False PodFailed; ContainersReady=False PodFailed; PodScheduled=True; PodReadyToStartContainers=False")
}

func testLateSecret(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	spec := &j.Spec.Template.Spec
	spec.Volumes = []corev1.Volume{
		{Name: "credentials", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "late"}}},
		{Name: "optional", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "never", Optional: ptr.To(true)}}},
	}
	spec.Containers[0] = shell("main", `cat /credentials/key; ls /optional`, corev1.VolumeMount{Name: "credentials", MountPath: "/credentials"}, corev1.VolumeMount{Name: "optional", MountPath: "/optional"})
	create(t, b, j)
	message := eventOf(t, b, namespace, "FailedMount")
	if want := `MountVolume.SetUp failed for volume "credentials" : secret "late" not found`; message != want {
		t.Errorf("the Event says %q, want %q", message, want)
	}
	pod := podOf(t, b, namespace)
	if s := state(t, pod, "main"); pod.Status.Phase != corev1.PodPending || s.Waiting == nil || s.Waiting.Reason != "ContainerCreating" {
		t.Errorf("%s, main: %+v", pod.Status.Phase, s)
	}
	checkConditions(t, pod, "Initialized=True; Ready=False ContainersNotReady; ContainersReady=False ContainersNotReady; PodScheduled=True; PodReadyToStartContainers=False")
	create(t, b, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "late"}, StringData: map[string]string{"key": "here"}})
	finishes(t, b, j, batchv1.JobComplete)
	if got := b.kubelet.Output(client.ObjectKeyFromObject(pod), "main"); got != "here" {
		t.Errorf("main printed %q", got)
	}
}

func testLateEnv(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "late"}, Key: "key",
	}}}}
	create(t, b, j)
	waitsFor(t, b, namespace, "main", "CreateContainerConfigError", `secret "late" not found`)
	create(t, b, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "late"}, StringData: map[string]string{"key": "here"}})
	finishes(t, b, j, batchv1.JobComplete)
}

func testUnknownImage(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0].Image = "registry.example/later:1"
	states := watchStates(t, b, namespace)
	create(t, b, j)
	waitsFor(t, b, namespace, "main", "ImagePullBackOff", `Back-off pulling image "registry.example/later:1": ErrImagePull: rpc error: code = NotFound`)
	if got := states(); !slices.Contains(got, "Pending main=ErrImagePull") {
		t.Errorf("the pod was, one after the other:\n%s", strings.Join(got, "\n"))
	}
	eventOf(t, b, namespace, "BackOff")
	b.kubelet.AddImage("registry.example/later:1", Image{Programs: map[string]string{"/bin/sh": "/bin/sh"}})
	finishes(t, b, j, batchv1.JobComplete)
}

func testMissingProgram(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	spec := &j.Spec.Template.Spec
	spec.Containers = []corev1.Container{{Name: "entrypoint", Image: "registry.example/empty:7"}, {Name: "path", Image: image, Command: []string{"/bin/ls"}}}
	create(t, b, j)
	finishes(t, b, j, batchv1.JobFailed)
	pod := podOf(t, b, namespace)
	for name, want := range map[string]string{"entrypoint": `exec: "flexctl": executable file not found in $PATH`, "path": `exec: "/bin/ls": stat /bin/ls: no such file or directory`} {
		if s := terminated(t, pod, name); s.ExitCode != 128 || s.Reason != "StartError" || !strings.HasSuffix(s.Message, want) || s.StartedAt.Unix() != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func testDeleted(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0] = shell("main", `sleep 1000 & echo $! $$$$; wait`)
	create(t, b, j)
	pod, pids := printedPIDs(t, b, namespace, 2)
	remove(t, b, j)
	gone(t, b, pod)
	ended(t, pids)
}

// What doesn't end on SIGTERM, and what has left the process group, is killed.
func testDeletedStubborn(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	main := &j.Spec.Template.Spec.Containers[0]
	*main = shell("main", `trap "" TERM; set -m; sleep 1000 & echo $! $$$$; while true; do wait; done`)
	main.Command[0] = "bash"
	create(t, b, j)
	pod, pids := printedPIDs(t, b, namespace, 2)
	remove(t, b, pod)
	gone(t, b, pod)
	ended(t, pids)
	finishes(t, b, j, batchv1.JobFailed)
}

func testDeletedWaiting(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0].Image = "registry.example/never:1"
	create(t, b, j)
	waitsFor(t, b, namespace, "main", "ImagePullBackOff", "")
	pod := podOf(t, b, namespace)
	remove(t, b, j)
	gone(t, b, pod)
}

func testDeadNode(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0] = shell("main", `echo $$$$; sleep 1000`)
	create(t, b, j)
	pod, pids := printedPIDs(t, b, namespace, 1)
	eventually(t, b, pod, func() bool { return pod.Status.Phase == corev1.PodRunning })
	b.kubelet.Kill(client.ObjectKeyFromObject(pod))
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	b.kubelet.mu.Lock()
	w := b.kubelet.workers[pod.UID]
	b.kubelet.mu.Unlock()
	<-w.life.Done()
	version := pod.ResourceVersion
	if err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.ResourceVersion != version {
		t.Errorf("something has been reported: %+v, %v", pod.Status, err)
	}
}

func testSidecar(t *testing.T, b *bench, namespace string) {
	j := job(namespace)
	sidecar := shell("sidecar", "true")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	j.Spec.Template.Spec.InitContainers = []corev1.Container{sidecar}
	create(t, b, j)
	finishes(t, b, j, batchv1.JobFailed)
	if s := podOf(t, b, namespace).Status; s.Reason != "Unsupported" || !strings.Contains(s.Message, "sidecar") {
		t.Errorf("the pod's status: %+v", s)
	}
}

func testHeld(t *testing.T, b *bench, namespace string) {
	releaseVolumes, releaseMain := b.hold.set(namespace, ""), b.hold.set(namespace, "main")
	j := job(namespace)
	j.Spec.Template.Spec.InitContainers = []corev1.Container{shell("first", "true")}
	create(t, b, j)
	waitsFor(t, b, namespace, "first", "PodInitializing", "")
	checkConditions(t, podOf(t, b, namespace), "Initialized=False ContainersNotInitialized; Ready=False ContainersNotReady; ContainersReady=False ContainersNotReady; PodScheduled=True; PodReadyToStartContainers=False")
	releaseVolumes()
	pod := podOf(t, b, namespace)
	eventually(t, b, pod, func() bool { return pod.Status.InitContainerStatuses[0].Ready })
	if s := state(t, pod, "main"); s.Waiting == nil || s.Waiting.Reason != "PodInitializing" {
		t.Errorf("main: %+v", s)
	}
	releaseMain()
	finishes(t, b, j, batchv1.JobComplete)
}

// Nothing outlives the kubelet.
func testStopped(t *testing.T, b *bench) {
	const namespace = "stopped"
	create(t, b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	j := job(namespace)
	j.Spec.Template.Spec.Containers[0] = shell("main", `sleep 1000 & echo $! $$$$; wait`)
	create(t, b, j)
	pod, pids := printedPIDs(t, b, namespace, 2)
	b.kubelet.Stop()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
	if err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || finished(pod) {
		t.Errorf("the end has been reported: %+v, %v", pod.Status, err)
	}
}

// job is one that succeeds.
func job(namespace string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "job"},
		Spec: batchv1.JobSpec{
			BackoffLimit: ptr.To[int32](0),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{shell("main", "true")},
			}},
		},
	}
}

func shell(name, script string, mounts ...corev1.VolumeMount) corev1.Container {
	return corev1.Container{Name: name, Image: image, Command: []string{"/bin/sh", "-c"}, Args: []string{script}, VolumeMounts: mounts}
}

func create(t *testing.T, b *bench, object client.Object) {
	t.Helper()
	if err := b.admin.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}

func remove(t *testing.T, b *bench, object client.Object) {
	t.Helper()
	if err := b.admin.Delete(t.Context(), object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatalf("deleting %T %s: %v", object, object.GetName(), err)
	}
}

func poll(t *testing.T, what string, done func() (bool, error)) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) { return done() })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

func eventually(t *testing.T, b *bench, object client.Object, done func() bool) {
	t.Helper()
	poll(t, fmt.Sprintf("%T %s", object, object.GetName()), func() (bool, error) {
		err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		return err == nil && done(), err
	})
}

func gone(t *testing.T, b *bench, pod *corev1.Pod) {
	t.Helper()
	poll(t, "the pod to go", func() (bool, error) {
		err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func podOf(t *testing.T, b *bench, namespace string) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	poll(t, "the pod", func() (bool, error) {
		err := b.admin.List(t.Context(), &pods, client.InNamespace(namespace))
		return len(pods.Items) == 1, err
	})
	return &pods.Items[0]
}

func state(t *testing.T, pod *corev1.Pod, container string) corev1.ContainerState {
	t.Helper()
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == container {
			return s.State
		}
	}
	return corev1.ContainerState{}
}

func terminated(t *testing.T, pod *corev1.Pod, container string) corev1.ContainerStateTerminated {
	t.Helper()
	s := state(t, pod, container)
	if s.Terminated == nil {
		t.Errorf("%s has not terminated: %+v", container, s)
		return corev1.ContainerStateTerminated{}
	}
	return *s.Terminated
}

// waitsFor waits until a container waits for a reason.
func waitsFor(t *testing.T, b *bench, namespace, container, reason, message string) {
	t.Helper()
	pod := podOf(t, b, namespace)
	eventually(t, b, pod, func() bool {
		s := state(t, pod, container)
		return s.Waiting != nil && s.Waiting.Reason == reason && strings.HasPrefix(s.Waiting.Message, message)
	})
}

// finishes waits until the Job controller has found that the Job is over, in this way.
func finishes(t *testing.T, b *bench, j *batchv1.Job, want batchv1.JobConditionType) {
	t.Helper()
	var got batchv1.JobConditionType
	eventually(t, b, j, func() bool {
		for _, c := range j.Status.Conditions {
			if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
				got = c.Type
			}
		}
		return got != ""
	})
	if got != want {
		t.Fatalf("the Job is %s, want %s; its pod: %+v", got, want, podOf(t, b, j.Namespace).Status)
	}
}

func checkConditions(t *testing.T, pod *corev1.Pod, want string) {
	t.Helper()
	for condition := range strings.SplitSeq(want, "; ") {
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return strings.TrimSpace(fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)) == condition && !c.LastTransitionTime.IsZero()
		}) {
			t.Errorf("there is no condition %s in %+v", condition, pod.Status.Conditions)
		}
	}
}

func eventOf(t *testing.T, b *bench, namespace, reason string) (message string) {
	t.Helper()
	poll(t, "an Event "+reason, func() (bool, error) {
		var events corev1.EventList
		err := b.admin.List(t.Context(), &events, client.InNamespace(namespace))
		for _, e := range events.Items {
			if e.Reason == reason && e.InvolvedObject.Kind == "Pod" {
				message = e.Message
			}
		}
		return message != "", err
	})
	return message
}

// watchStates returns what gives the states that pods in the namespace have been in so far.
func watchStates(t *testing.T, b *bench, namespace string) func() []string {
	t.Helper()
	w, err := b.admin.Watch(t.Context(), &corev1.PodList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	var mu sync.Mutex
	var states []string
	go func() {
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			mu.Lock()
			if s := described(pod); len(states) == 0 || states[len(states)-1] != s {
				states = append(states, s)
			}
			mu.Unlock()
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
}

func described(pod *corev1.Pod) string {
	description := string(pod.Status.Phase)
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		now := "running"
		switch {
		case s.State.Waiting != nil:
			now = s.State.Waiting.Reason
		case s.State.Terminated != nil:
			now = s.State.Terminated.Reason
		}
		description += " " + s.Name + "=" + now
	}
	return description
}

// printedPIDs waits until main has printed that many process ids.
func printedPIDs(t *testing.T, b *bench, namespace string, count int) (*corev1.Pod, []int) {
	t.Helper()
	pod := podOf(t, b, namespace)
	var fields []string
	poll(t, "process ids", func() (bool, error) {
		fields = strings.Fields(b.kubelet.Output(client.ObjectKeyFromObject(pod), "main"))
		return len(fields) == count, nil
	})
	var pids []int
	for _, f := range fields {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pod, pids
}

// ended fails where a process has outlived its pod.
func ended(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
		}
	}
}

// alive says whether a process runs. What nobody has reaped doesn't.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(content), ") Z ")
}
