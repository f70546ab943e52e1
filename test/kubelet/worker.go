package kubelet

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxGrace is what a deleted pod's processes get to end, at most: a test has no time for half a minute.
const maxGrace = time.Second

// worker is the life of one pod.
type worker struct {
	kubelet   *Kubelet
	key       client.ObjectKey
	directory string
	address   string

	// Each of these contexts is within the one before it.
	life        context.Context // ends when the node dies
	endLife     context.CancelFunc
	patience    context.Context // ends when the processes of a deleted pod are to be killed
	endPatience context.CancelFunc
	work        context.Context // ends when the pod is deleted
	endWork     context.CancelFunc

	dead atomic.Bool // ahead of the end of life, for who holds mu

	mu      sync.Mutex
	pod     *corev1.Pod // with the status as reported
	sandbox bool        // volumes are mounted and there is an address
	over    bool        // it can't run, or no more
	events  map[string]bool

	processesMu sync.Mutex
	processes   map[*process]bool
}

func newWorker(k *Kubelet, pod *corev1.Pod, number int) *worker {
	w := &worker{
		kubelet: k, key: client.ObjectKeyFromObject(pod), pod: pod.DeepCopy(),
		directory: filepath.Join(k.options.Directory, string(pod.UID)),
		// Beside the range that the simulated node takes addresses from.
		address:   fmt.Sprintf("10.245.%d.%d", number/250%250, number%250+1),
		over:      finished(pod),
		events:    map[string]bool{},
		processes: map[*process]bool{},
	}
	w.life, w.endLife = context.WithCancel(k.life)
	w.patience, w.endPatience = context.WithCancel(w.life)
	w.work, w.endWork = context.WithCancel(w.patience)
	return w
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// run runs the pod, and removes it once it is deleted.
func (w *worker) run() {
	defer w.endLife()
	if !finished(w.pod) {
		w.sync()
		w.removeFiles()
	}
	<-w.work.Done()
	if w.life.Err() == nil {
		w.remove()
	}
}

// sync runs the pod to its end. Nobody else changes the pod meanwhile.
func (w *worker) sync() {
	if reason := unsupported(w.pod); reason != "" {
		w.report(func(s *corev1.PodStatus) {
			w.over = true
			s.Reason, s.Message = "Unsupported", "Pod was rejected: "+reason
		})
		return
	}
	if w.work.Err() == nil {
		w.report(w.accept)
	}
	if w.hold("") && w.mountAll() {
		w.report(w.sandboxReady)
		if w.runInitContainers() {
			w.runContainers()
		}
	}
	w.report(func(*corev1.PodStatus) { w.over = true })
}

func (w *worker) runInitContainers() bool {
	for i := range w.pod.Spec.InitContainers {
		if !w.runContainer(&w.pod.Spec.InitContainers[i]) {
			return false
		}
	}
	return true
}

func (w *worker) runContainers() {
	var running sync.WaitGroup
	for i := range w.pod.Spec.Containers {
		running.Go(func() { w.runContainer(&w.pod.Spec.Containers[i]) })
	}
	running.Wait()
}

// hold asks the test whether to go on, and says whether the pod is still to be run.
func (w *worker) hold(container string) bool {
	if w.kubelet.options.Hold != nil && w.work.Err() == nil {
		w.mu.Lock()
		pod := w.pod.DeepCopy()
		w.mu.Unlock()
		w.kubelet.options.Hold(w.work, pod, container)
	}
	return w.work.Err() == nil
}

// retry tries until it succeeds, or the pod is not to be run any more.
func (w *worker) retry(try func() error, failed func(error)) bool {
	for w.work.Err() == nil {
		err := try()
		if err == nil {
			return true
		}
		if w.work.Err() != nil {
			return false
		}
		failed(err)
		pause(w.work)
	}
	return false
}

// delete ends the pod, for the API server wants it removed.
func (w *worker) delete(pod *corev1.Pod) {
	grace := maxGrace
	if s := pod.DeletionGracePeriodSeconds; s != nil {
		grace = min(grace, time.Duration(*s)*time.Second)
	}
	if grace == 0 {
		w.endPatience()
		return
	}
	if w.work.Err() == nil {
		w.endWork()
		time.AfterFunc(grace, w.endPatience)
	}
}

// kill is the death of the node.
func (w *worker) kill() {
	w.dead.Store(true)
	w.mu.Lock() // What is being reported is reported.
	w.endLife()
	w.mu.Unlock()
	w.processesMu.Lock()
	processes := w.processes
	w.processes = nil // So that none is started any more.
	w.processesMu.Unlock()
	for p := range processes {
		p.kill()
		<-p.ended
	}
}

// remove tells the API server that nothing of the pod is left.
func (w *worker) remove() {
	for w.life.Err() == nil {
		// Beyond this pod's life: the news that it has gone may come before the answer.
		err := w.kubelet.api.Delete(w.kubelet.life, w.pod.DeepCopy(), client.GracePeriodSeconds(0), client.Preconditions{UID: &w.pod.UID})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		w.failed("removing the pod", err)
		pause(w.life)
	}
}

// removeFiles removes the pod's files, those too that were made read-only.
func (w *worker) removeFiles() {
	_ = filepath.WalkDir(w.directory, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) // What that matters for, RemoveAll tells.
		}
		return nil
	})
	if err := os.RemoveAll(w.directory); err != nil {
		w.log("removing the pod's files: " + err.Error())
	}
}

// failed logs what couldn't be done, unless that is because the node is dead.
func (w *worker) failed(doing string, err error) {
	if w.life.Err() == nil {
		w.log(doing + ": " + err.Error())
	}
}

func (w *worker) log(line string) { w.kubelet.outputs.log(w.key.String(), line) }

// pause lasts until it is time to try again, or until the context ends.
func pause(ctx context.Context) {
	timer := time.NewTimer(retryInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
