package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const namespace = metav1.NamespaceDefault

func TestControlPlane(t *testing.T) {
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pids := programPIDs(t, c.dir)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if left := running(pids); len(left) > 0 {
			t.Errorf("still running after Stop: %v", left)
		}
		if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", c.dir, err)
		}
	})
	if len(pids) != 5 {
		t.Errorf("the watchdog knows %v, want etcd, the API server, the controller manager, the scheduler and kwok", pids)
	}
	admin, err := client.New(c.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("a Deployment rolls", func(t *testing.T) {
		d := deployment("rolls", 3, nil)
		create(t, admin, d)
		eventually(t, admin, d, rolledOut)
		update(t, admin, d, func() { d.Spec.Template.Annotations = map[string]string{"generation": "two"} })
		eventually(t, admin, d, rolledOut)
		for _, pod := range pods(t, admin, d) {
			status := pod.Status.ContainerStatuses[0]
			if pod.Status.PodIP == "" || !status.Ready || status.State.Running == nil || status.State.Running.StartedAt.IsZero() {
				t.Errorf("pod %s: %+v", pod.Name, pod.Status)
			}
		}
	})

	t.Run("what becomes of a pod is up to its annotation", func(t *testing.T) {
		ready := func(d *appsv1.Deployment) bool { return d.Status.ReadyReplicas == 1 }
		for behaviour, reached := range map[string]func(*appsv1.Deployment) bool{
			PodSlow: ready, PodCrashLoop: ready, PodNotReady: stuck, PodCrash: stuck, PodImagePull: stuck,
		} {
			t.Run(behaviour, func(t *testing.T) {
				t.Parallel()
				d := deployment(behaviour, 1, map[string]string{PodAnnotation: behaviour, AfterAnnotation: "300ms"})
				create(t, admin, d)
				eventually(t, admin, d, reached)
				if behaviour != PodCrashLoop {
					return
				}
				eventually(t, admin, d, func(*appsv1.Deployment) bool {
					status := pods(t, admin, d)[0].Status.ContainerStatuses[0]
					return status.Ready && status.RestartCount >= 2 && status.LastTerminationState.Terminated != nil
				})
			})
		}
	})

	t.Run("Jobs succeed and fail", func(t *testing.T) {
		succeeds, fails := job("succeeds", nil), job("fails", map[string]string{PodAnnotation: PodFail, MessageAnnotation: `it "broke"`})
		create(t, admin, succeeds)
		create(t, admin, fails)
		eventually(t, admin, succeeds, func(j *batchv1.Job) bool { return j.Status.Succeeded == 1 })
		eventually(t, admin, fails, func(j *batchv1.Job) bool { return j.Status.Failed == 1 })
		pod := pods(t, admin, fails)[0]
		if terminated := pod.Status.ContainerStatuses[0].State.Terminated; terminated.ExitCode != 1 || terminated.Message != `it "broke"` {
			t.Errorf("the failed container: %+v", terminated)
		}
	})

	t.Run("what is owned goes with its owner", func(t *testing.T) {
		owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: namespace}}
		create(t, admin, owner)
		owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", Namespace: namespace, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
		}}}
		create(t, admin, owned)
		if err := admin.Delete(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		poll(t, func() (bool, string) {
			err := admin.Get(t.Context(), client.ObjectKeyFromObject(owned), owned)
			return apierrors.IsNotFound(err), fmt.Sprint("the owned object is still there: ", err)
		})
	})

	t.Run("a user has no rights, and is on record", func(t *testing.T) {
		since := time.Now()
		config, err := c.User("nobody-special")
		if err != nil {
			t.Fatal(err)
		}
		user, err := client.New(config, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		key := client.ObjectKey{Namespace: namespace, Name: "some"}
		if err := user.Get(t.Context(), key, &corev1.Secret{}); !apierrors.IsForbidden(err) {
			t.Errorf("reading a Secret: %v, want forbidden", err)
		}
		if err := user.List(t.Context(), &appsv1.DeploymentList{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing Deployments: %v, want forbidden", err)
		}
		requests, err := c.Requests("nobody-special", since)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range requests {
			if r.Resource != "" { // the others are discovery
				got = append(got, fmt.Sprintf("%s %q %s %s/%s %d", r.Verb, r.Group, r.Resource, r.Namespace, r.Name, r.Code))
			}
		}
		want := `get "" secrets default/some 403; list "apps" deployments / 403`
		if strings.Join(got, "; ") != want {
			t.Errorf("recorded: %s\nwant: %s", strings.Join(got, "; "), want)
		}
		if later, err := c.Requests("nobody-special", time.Now()); err != nil || len(later) != 0 {
			t.Errorf("recorded after the end: %v, %v", later, err)
		}
	})

	t.Run("a watch is on record once, while it is open and after", func(t *testing.T) {
		since := time.Now()
		config, err := c.User("watcher", "system:masters")
		if err != nil {
			t.Fatal(err)
		}
		user, err := client.NewWithWatch(config, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		watch, err := user.Watch(t.Context(), &corev1.SecretList{})
		if err != nil {
			t.Fatal(err)
		}
		watches := func() (n int) {
			t.Helper()
			requests, err := c.Requests("watcher", since)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				if r.Verb == "watch" && r.Resource == "secrets" {
					n++
				}
			}
			return n
		}
		if n := watches(); n != 1 {
			t.Errorf("an open watch is listed %d times", n)
		}
		watch.Stop()
		poll(t, func() (bool, string) { // until the end is on record
			content, err := os.ReadFile(c.auditLog())
			ended := strings.Contains(string(content), `"stage":"ResponseComplete","requestURI":"/api/v1/secrets?watch=true"`)
			return ended, fmt.Sprint("the watch's end is not on record: ", err)
		})
		if n := watches(); n != 1 {
			t.Errorf("a watch that has ended is listed %d times", n)
		}
	})

	t.Run("kubectl works with a user's kubeconfig", func(t *testing.T) {
		kubeconfig, err := c.UserKubeconfig("somebody", "system:masters")
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), c.Kubectl, "--kubeconfig", kubeconfig, "auth", "whoami").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "somebody") {
			t.Errorf("%s, %v", out, err)
		}
	})
}

// With LeaveJobPods, the pods of Jobs are the test's own.
func TestLeaveJobPods(t *testing.T) {
	c, err := Start(t.Context(), Options{LeaveJobPods: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	admin, err := client.New(c.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j, d := job("left", nil), deployment("runs", 1, nil)
	create(t, admin, j)
	eventually(t, admin, j, func(j *batchv1.Job) bool { return j.Status.Active == 1 })
	pod := &pods(t, admin, j)[0]
	eventually(t, admin, pod, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
	create(t, admin, d)
	eventually(t, admin, d, rolledOut)
	eventually(t, admin, pod, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodPending })
	pod.Status.Phase = corev1.PodSucceeded
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, admin, j, func(j *batchv1.Job) bool { return j.Status.Succeeded == 1 })
}

// A process that starts a control plane and is killed leaves nothing behind.
func TestKilledParent(t *testing.T) {
	const marker = "CONTROLPLANE_TEST_DIES"
	if os.Getenv(marker) != "" {
		c, err := Start(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("started in", c.dir)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledParent$")
	parent.Env = append(os.Environ(), marker+"=1")
	// The directory is removed by the watchdog, so the process ids are gathered while it is there.
	temp := t.TempDir()
	parent.Env = append(parent.Env, "TMPDIR="+temp)
	pids := make(chan map[string]int)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		known := map[string]int{}
		defer func() { pids <- known }()
		for ctx.Err() == nil {
			dirs, _ := filepath.Glob(filepath.Join(temp, "controlplane-*", "pids", "*"))
			for _, file := range dirs {
				if pid, err := readPID(file); err == nil {
					known[filepath.Base(file)] = pid
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	out, err := parent.CombinedOutput()
	cancel()
	known := <-pids
	if err == nil || !strings.Contains(string(out), "started in") {
		t.Fatalf("the process did not start a control plane and die: %v\n%s", err, out)
	}
	if len(known) != 5 {
		t.Errorf("saw only %v", known)
	}
	poll(t, func() (bool, string) {
		left := running(known)
		return len(left) == 0, fmt.Sprintf("still running: %v", left)
	})
	poll(t, func() (bool, string) {
		left, _ := filepath.Glob(filepath.Join(temp, "*"))
		// envtest makes this one wherever it is told to put the certificates of webhooks; there are none.
		left = slices.DeleteFunc(left, func(path string) bool { return strings.Contains(path, "envtest-serving-certs") })
		return len(left) == 0, fmt.Sprintf("left behind: %v", left)
	})
}

// A program that ends at once fails the start, with the program's own words.
func TestProgramThatFails(t *testing.T) {
	all, err := findPrograms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, failing := range []string{"etcd", "kube-scheduler"} {
		t.Run(failing, func(t *testing.T) {
			programs := t.TempDir()
			for _, name := range programNames {
				if err := os.Symlink(filepath.Join(all, name), filepath.Join(programs, name)); err != nil {
					t.Fatal(err)
				}
			}
			program := filepath.Join(programs, failing)
			if err := os.Remove(program); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, []byte("#!/bin/sh\necho not feeling well >&2\nexit 1\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("KUBEBUILDER_ASSETS", programs)
			logs := t.TempDir()
			c, err := Start(t.Context(), Options{LogDir: logs})
			if err == nil {
				_ = c.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), "not feeling well") {
				t.Errorf("%v, want the program's own words", err)
			}
			if _, err := os.Stat(filepath.Join(logs, failing+".log")); err != nil {
				t.Errorf("the log is gone: %v", err)
			}
		})
	}
}

func deployment(name string, replicas int32, annotations map[string]string) *appsv1.Deployment {
	deadline := int32(2)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, ProgressDeadlineSeconds: &deadline,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"name": name}},
			Template: template(name, annotations),
		},
	}
}

func job(name string, annotations map[string]string) *batchv1.Job {
	retries := int32(0)
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       batchv1.JobSpec{BackoffLimit: &retries, Template: template(name, annotations)},
	}
	j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return j
}

func template(name string, annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"name": name}, Annotations: annotations},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "example.com/init:1"}},
			Containers:     []corev1.Container{{Name: "main", Image: "example.com/main:1"}},
		},
	}
}

func rolledOut(d *appsv1.Deployment) bool {
	want := *d.Spec.Replicas
	s := d.Status
	return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.Replicas == want
}

func stuck(d *appsv1.Deployment) bool {
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentProgressing && condition.Reason == "ProgressDeadlineExceeded" {
			return d.Status.ReadyReplicas == 0 && d.Status.UpdatedReplicas == 1
		}
	}
	return false
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, c client.Client, object client.Object, change func()) {
	t.Helper()
	poll(t, func() (bool, string) {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return false, err.Error()
		}
		change()
		err := c.Update(t.Context(), object)
		return err == nil, fmt.Sprint(err)
	})
}

func pods(t *testing.T, c client.Client, owner client.Object) []corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	if err := c.List(t.Context(), list, client.InNamespace(owner.GetNamespace()), client.MatchingLabels{"name": owner.GetName()}); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatalf("%s has no pods", owner.GetName())
	}
	return list.Items
}

func eventually[T client.Object](t *testing.T, c client.Client, object T, reached func(T) bool) {
	t.Helper()
	poll(t, func() (bool, string) {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return false, err.Error()
		}
		return reached(object), fmt.Sprintf("%+v", object)
	})
}

func poll(t *testing.T, reached func() (done bool, otherwise string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (done bool, _ error) {
		done, last = reached()
		return done, nil
	})
	if err != nil {
		t.Fatalf("%v; last: %s", err, last)
	}
}

func programPIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "pids", "*"))
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, file := range files {
		if pids[filepath.Base(file)], err = readPID(file); err != nil {
			t.Fatal(err)
		}
	}
	return pids
}

func readPID(file string) (int, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

func running(pids map[string]int) map[string]int {
	left := map[string]int{}
	for name, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			left[name] = pid
		}
	}
	return left
}
