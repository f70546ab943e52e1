package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// retryInterval is how often is tried again what a pod waits for: a kubelet backs off, a test has no time to.
const retryInterval = 100 * time.Millisecond

// Options say which pods are run, and how.
type Options struct {
	// Config connects as a cluster administrator.
	Config *rest.Config
	// Selector is a label selector of the pods to run; empty means every pod of a Job.
	Selector string
	// Images are what can be pulled, by name or by a pattern as of path.Match. Names go before patterns.
	Images map[string]Image
	// Directory receives the pods' files, each pod's until it ends.
	Directory string
	// Env is added to the environment of each container, as NAME=value. The pod's own goes before it. Paths in it
	// are this machine's.
	Env []string
	// Hold, where set, is called before each container starts, and with an empty container name before the pod's
	// volumes are mounted. The pod waits until it returns. The context ends when the pod is deleted or its node
	// dies. Several pods call it at the same time.
	Hold func(ctx context.Context, pod *corev1.Pod, container string)
	// Log, where set, receives what containers print, each line after the names of the pod and the container, and
	// what the kubelet itself couldn't do. It is written to by one goroutine at a time.
	Log io.Writer
}

// Kubelet runs pods.
type Kubelet struct {
	options    Options
	api        client.Client
	host, port string // of the API server
	images     *images
	outputs    *outputs
	running    sync.WaitGroup
	life       context.Context // ends with Stop
	end        context.CancelFunc

	mu      sync.Mutex
	stopped bool
	workers map[types.UID]*worker
	seen    int // pods, for their addresses
}

// Start begins to run pods and returns once it watches them. It runs until Stop, or until the context ends.
func Start(ctx context.Context, o Options) (*Kubelet, error) {
	if o.Directory == "" {
		return nil, errors.New("starting the kubelet: there is no directory for the pods' files")
	}
	selector, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("starting the kubelet: reading the selector %q: %w", o.Selector, err)
	}
	host, port, err := address(o.Config)
	if err != nil {
		return nil, fmt.Errorf("starting the kubelet: %w", err)
	}
	config := rest.CopyConfig(o.Config)
	config.QPS = -1
	config.UserAgent = "kubelet"
	api, err := client.New(config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("starting the kubelet: making a client: %w", err)
	}
	pods, err := cache.New(config, cache.Options{
		Scheme:   clientgoscheme.Scheme,
		ByObject: map[client.Object]cache.ByObject{&corev1.Pod{}: {Label: selector}},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the kubelet: making a cache: %w", err)
	}
	k := &Kubelet{
		options: o, api: api, host: host, port: port,
		images: newImages(o.Images), outputs: newOutputs(o.Log), workers: map[types.UID]*worker{},
	}
	k.life, k.end = context.WithCancel(ctx)
	informer, err := pods.GetInformer(k.life, &corev1.Pod{})
	if err != nil {
		k.end()
		return nil, fmt.Errorf("starting the kubelet: watching pods: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    k.observe,
		UpdateFunc: func(_, object any) { k.observe(object) },
		DeleteFunc: k.forget,
	}); err != nil {
		k.end()
		return nil, fmt.Errorf("starting the kubelet: watching pods: %w", err)
	}
	// What watching has to say at the end of a test is of no interest.
	silent := klog.NewContext(k.life, klog.Logger{})
	k.running.Go(func() {
		if err := pods.Start(silent); err != nil {
			k.outputs.log("kubelet", fmt.Sprintf("watching pods: %v", err))
		}
	})
	if !pods.WaitForCacheSync(k.life) {
		k.Stop()
		return nil, fmt.Errorf("starting the kubelet: watching pods: %w", context.Cause(ctx))
	}
	return k, nil
}

// Stop kills what runs, reports no more, and returns when all of it has ended.
func (k *Kubelet) Stop() {
	k.mu.Lock()
	k.stopped = true
	workers := make([]*worker, 0, len(k.workers))
	for _, w := range k.workers {
		workers = append(workers, w)
	}
	k.mu.Unlock()
	for _, w := range workers {
		w.kill()
	}
	k.end()
	k.running.Wait()
}

// AddImage makes an image known; pods that wait for it go on.
func (k *Kubelet) AddImage(name string, image Image) { k.images.add(name, image) }

// Output is what a container has printed so far.
func (k *Kubelet) Output(pod client.ObjectKey, container string) string {
	return k.outputs.get(pod, container)
}

// Kill is the death of the pod's node: on return its processes are dead, and nothing is reported about it any more,
// not even that it is gone once it is deleted. It has no effect on a pod that isn't known yet.
func (k *Kubelet) Kill(pod client.ObjectKey) {
	k.mu.Lock()
	var dying []*worker
	for _, w := range k.workers {
		if w.key == pod {
			dying = append(dying, w)
		}
	}
	k.mu.Unlock()
	for _, w := range dying {
		w.kill()
	}
}

// observe starts the pods that are to be run and ends those that are deleted.
func (k *Kubelet) observe(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w, known := k.workers[pod.UID]
	if !known {
		owner := metav1.GetControllerOf(pod)
		if k.stopped || pod.Spec.NodeName == "" || owner == nil || owner.Kind != "Job" {
			return
		}
		k.seen++
		w = newWorker(k, pod, k.seen)
		k.workers[pod.UID] = w
	}
	if pod.DeletionTimestamp != nil {
		w.delete(pod)
	}
	if !known {
		k.running.Go(w.run)
	}
}

// forget ends what still runs of a pod that has been removed by force.
func (k *Kubelet) forget(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.workers[pod.UID]
	delete(k.workers, pod.UID)
	if w != nil && !k.stopped {
		// Not here: other pods' news are waiting.
		k.running.Go(w.kill)
	}
}

// address is where containers reach the API server.
func address(config *rest.Config) (host, port string, err error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", "", fmt.Errorf("reading the API server's address: %w", err)
	}
	return server.Hostname(), cmp.Or(server.Port(), "443"), nil
}
