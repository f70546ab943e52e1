package faults

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
)

// nothingIsLeft: of what renewals in Jobs make and remove, nothing is there in the end. The last Job, which has renewed,
// may be one that failed afterwards: such a Job is kept for its logs.
func (r *run) nothingIsLeft(ctx context.Context) error {
	var errs []error
	var jobs batchv1.JobList
	if err := r.bench.Admin.List(ctx, &jobs, client.InNamespace(r.namespace)); err != nil {
		return err
	}
	for i := range jobs.Items {
		j := &jobs.Items[i]
		r.mu.Lock()
		failed := jobHas(j, batchv1.JobFailed) || r.isDead(j.Name)
		r.mu.Unlock()
		if !failed || len(jobs.Items) > 1 {
			errs = append(errs, fmt.Errorf("leftover: Job %s, conditions %+v", j.Name, j.Status.Conditions))
		}
	}
	var secrets corev1.SecretList
	if err := r.bench.Admin.List(ctx, &secrets, client.InNamespace(r.namespace)); err != nil {
		return err
	}
	for i := range secrets.Items {
		if s := &secrets.Items[i]; s.Type == job.AttemptType || s.Type == job.HandoffType {
			errs = append(errs, fmt.Errorf("leftover: Secret %s of type %s", s.Name, s.Type))
		}
	}
	return errors.Join(errs...)
}
