package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// recordCleaner removes, once a day, records that no FlexRegistration has used for a month. It runs where the
// reconciler does: in the leader; where several operators share a fleet, in that of the one which looks after what has no
// labels, so that no two of them write a record.
type recordCleaner struct{ *Reconciler }

// Start runs until the context ends. The first check is an hour after the start, so that operators which are
// restarted every day clean too.
func (c recordCleaner) Start(ctx context.Context) error {
	timer := c.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C():
			if err := c.clean(ctx); err != nil {
				log.FromContext(ctx).Error(err, "removing unused records; it is tried again tomorrow")
			}
			timer.Reset(24 * time.Hour)
		}
	}
}

func (c recordCleaner) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*timeout)
	defer cancel()
	records, err := gateway.ListRecords(ctx, c.APIReader, c.Scope.Namespaces...)
	if err != nil {
		return err
	}
	var errs []error
	for namespace, names := range records {
		used, known, err := c.used(ctx, namespace)
		if err != nil || !known {
			errs = append(errs, err)
			continue
		}
		for _, name := range names {
			if !slices.Contains(used, name) {
				errs = append(errs, gateway.RetireRecord(ctx, c.Client, c.APIReader, namespace, name, c.Clock.Now()))
			}
		}
	}
	return errors.Join(errs...)
}

// used names the records of a namespace that FlexRegistrations use; known is false where that can't be told of one.
func (c recordCleaner) used(ctx context.Context, namespace string) (names []string, known bool, err error) {
	var all v1alpha1.FlexRegistrationList
	reader := client.Reader(c.Client)
	if c.Scope.Selector != nil { // The cache does not have those of other operators, whose records must stay.
		reader = c.APIReader
	}
	if err := reader.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, false, fmt.Errorf("listing the FlexRegistrations of namespace %s: %w", namespace, err)
	}
	for _, fr := range all.Items {
		g, _, err := gateway.Discover(ctx, c.Client, fr)
		if err != nil {
			return nil, false, err
		}
		last := fr.Status.SecretRef
		if g == nil && last == nil {
			return nil, false, nil
		}
		if g != nil {
			names = append(names, gateway.RecordName(g.SecretName, g.Key))
		}
		if last != nil {
			names = append(names, gateway.RecordName(last.Name, last.Key))
		}
	}
	return names, true, nil
}
