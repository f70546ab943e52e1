package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/operator"
)

// strike carries out a fault's way of dying, if it is one.
func (r *run) strike(f Fault) {
	switch f.Way {
	case ThenDies:
		r.die(f.Call.By != Operator)
	case PodDeleted:
		r.deletePod()
	case NodeDies:
		r.killNode()
	case Synced:
		r.sync()
	default:
	}
}

// die kills the operator, from within one of its calls or beside them. away: it has no successor before the Job has
// ended that goes on meanwhile.
func (r *run) die(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return
	}
	r.dead, r.away = true, away && r.story.Runner == Jobs
	r.current.Kill()
}

// revive starts a successor, with fresh memory, of an operator that died.
func (r *run) revive() error {
	r.mu.Lock()
	op, due := r.current, r.dead && (!r.away || !r.jobsAreBusy())
	r.mu.Unlock()
	if !due {
		return nil
	}
	await(op)
	r.restarts++
	return r.start()
}

// await gives a dead operator the time to end. Where it would go on longer, it repeats a write, which reaches nothing.
func await(op *operator.Operator) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = op.Wait() // A dead operator fails in many ways.
	}()
	select {
	case <-ended:
	case <-time.After(time.Second):
	}
}

// start starts an operator. Whatever its calls lead to waits until it is the current one.
func (r *run) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	op, err := operator.Start(r.options)
	if err != nil {
		return err
	}
	r.current, r.dead = op, false
	return nil
}

func (r *run) stop() error {
	r.mu.Lock()
	op := r.current
	r.mu.Unlock()
	if op == nil {
		return nil // It was never started.
	}
	return op.Stop()
}

// starts is called before a container of a pod starts, and holds it as long as it takes to kill the pod.
func (r *run) starts(ctx context.Context, pod *corev1.Pod, container string) {
	key := client.ObjectKeyFromObject(pod)
	r.mu.Lock()
	r.pod = key
	if container == flexctlContainer {
		for name, other := range r.jobPods {
			if name != key.Name && !podIsOver(&other) && !r.deadPods[name] {
				r.spoiled = append(r.spoiled, fmt.Errorf("P3: flexctl starts in pod %s while pod %s has not ended", key.Name, name))
			}
		}
	}
	r.mu.Unlock()
	call, way := r.breaker.next(start(container))
	r.strike(Fault{call, way})
	if way == PodDeleted || way == NodeDies {
		<-ctx.Done()
	}
}

// deletePod deletes the pod that was started last.
func (r *run) deletePod() {
	r.mu.Lock()
	key := r.pod
	r.mu.Unlock()
	if err := r.bench.Admin.Delete(context.Background(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}); client.IgnoreNotFound(err) != nil {
		r.spoil(fmt.Errorf("deleting the pod: %w", err))
	}
}

// killNode ends the pod that was started last, and nobody reports it.
func (r *run) killNode() {
	r.mu.Lock()
	key := r.pod
	r.deadPods[key.Name] = true
	r.mu.Unlock()
	r.bench.Pods.kubelet.Kill(key)
}

// spoil notes what should not have happened.
func (r *run) spoil(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spoiled = append(r.spoiled, err)
}

func (r *run) spoils() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.spoiled...)
}
