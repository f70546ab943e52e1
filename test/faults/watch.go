package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// watch follows what becomes of the namespace's Secrets, Deployments, Jobs, pods and Events.
func (r *run) watch(ctx context.Context) error {
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &appsv1.DeploymentList{}, &batchv1.JobList{}, &corev1.PodList{}, &eventsv1.EventList{}} {
		w, err := r.bench.Admin.Watch(ctx, list, client.InNamespace(r.namespace))
		if err != nil {
			return fmt.Errorf("watching %T: %w", list, err)
		}
		go func() {
			for event := range w.ResultChan() {
				r.saw(event)
			}
		}()
		context.AfterFunc(ctx, w.Stop)
	}
	return nil
}

// saw keeps what the promises are about.
func (r *run) saw(event apiwatch.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := event.Type == apiwatch.Deleted
	switch o := event.Object.(type) {
	case *corev1.Secret:
		r.sawSecret(o)
	case *appsv1.Deployment:
		r.sawDeployment(o)
	case *batchv1.Job:
		r.shown = append(r.shown, shown{"Job", o})
		if r.jobs[o.Name] = *o; gone {
			delete(r.jobs, o.Name)
		}
	case *corev1.Pod:
		if o.Labels[batchv1.JobNameLabel] == "" {
			return
		}
		r.shown = append(r.shown, shown{"pod", o})
		r.allPods[o.Name] = *o
		if r.jobPods[o.Name] = *o; gone {
			delete(r.jobPods, o.Name)
		}
	case *eventsv1.Event:
		r.shown = append(r.shown, shown{"Event", o})
	}
}

// sawSecret keeps every version of the gateway's Secret, and what pods have handed over.
func (r *run) sawSecret(secret *corev1.Secret) {
	if secret.Name == operator.SecretName {
		r.versions = append(r.versions, *secret)
	}
	if secret.Type == job.HandoffType && len(secret.Data) > 0 {
		file := secret.Data[registration.DefaultKey]
		r.files = append(r.files, file)
		f := fingerprint(file)
		if !slices.Contains(r.handedOver, f) {
			r.handedOver = append(r.handedOver, f)
			r.handedOverAt[f] = r.clock.Now()
		}
	}
}

// shown is a version of an object that people see.
type shown struct {
	kind   string
	object any
}

func (s shown) text() (string, error) {
	encoded, err := json.Marshal(s.object)
	return string(encoded), err
}
