package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The rate and duration at which things change that are nobody's business.
const changesPerSecond, changesFor = 20, 10 * time.Second

// changing does something at that rate.
func changing(ctx context.Context, do func(ctx context.Context, i int) error) error {
	ticker := time.NewTicker(time.Second / changesPerSecond)
	defer ticker.Stop()
	for i := range int(changesFor.Seconds() * changesPerSecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if err := do(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// foreign makes Secrets that are nobody's business, as many as registrations, and has them change all the time.
func (b *bench) foreign(ctx context.Context, m *manager) error {
	before, err := m.memory(ctx)
	if err != nil {
		return err
	}
	content, annotation := []byte("content-of-a-foreign-secret"), []byte("annotation-of-a-foreign-secret")
	secret := func(i, version int) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: fleetNamespace(i % b.namespaces()), Name: fmt.Sprintf("foreign-%d", i), Annotations: map[string]string{"copy": string(annotation)}},
			Data:       map[string][]byte{"data": append(bytes.Repeat(content, 32*kibibyte/len(content)), byte(version))},
		}
	}
	if err := all(ctx, b.size.N, func(ctx context.Context, i int) error { return b.admin.Create(ctx, secret(i, 0)) }); err != nil {
		return err
	}
	if err := m.quiet(ctx); err != nil {
		return err
	}
	after, err := m.memory(ctx)
	if err != nil {
		return err
	}
	n, what := float64(b.size.N), fmt.Sprintf("%d foreign Secrets of 32 KiB", b.size.N)
	b.report.limit(what, "live heap for each", (after.heap-before.heap)/n/kibibyte, "KiB", 1)
	b.report.add(what, "RSS with them", after.rss/mebibyte, "MiB")
	what = fmt.Sprintf("%d of them change a second", changesPerSecond)
	if err := b.idle(ctx, m, what, func(ctx context.Context, i int) error { return b.admin.Update(ctx, secret(i%b.size.N, i)) }); err != nil {
		return err
	}
	for name, marker := range map[string][]byte{"content": content, "annotations": annotation} {
		holds, err := m.holds(marker)
		if err != nil {
			return fmt.Errorf("looking for their content in the operator's memory: %w", err)
		}
		found := 0.0
		if holds {
			found = 1
		}
		if name == "content" {
			b.report.limit(what, "their content in the process's memory (1: yes)", found, "", 0)
		} else {
			b.report.add(what, "their annotations in the process's memory, on the way through (1: yes)", found, "")
		}
	}
	return nil
}

// idle reports what changes cost that are nobody's business.
func (b *bench) idle(ctx context.Context, m *manager, what string, change func(ctx context.Context, i int) error) error {
	cpu, requests, anypoint, err := b.during(ctx, m, second, what, func(ctx context.Context) error {
		if err := changing(ctx, change); err != nil {
			return err
		}
		return m.quiet(ctx)
	})
	if err != nil {
		return err
	}
	b.report.limit(what, "API requests", requests, "", 0)
	b.report.limit(what, "Anypoint requests", anypoint, "", 0)
	b.report.add(what, "CPU for a change", cpu/changesFor.Seconds()/changesPerSecond*1000, "ms")
	return nil
}

// flapping has the status of a gateway's Deployment go up and down, against the Deployment controller, which mends it.
func (b *bench) flapping(ctx context.Context, m *manager) error {
	key := client.ObjectKey{Namespace: b.fleet[0].namespace, Name: b.fleet[0].name}
	what := fmt.Sprintf("a Deployment's status flaps %d times a second", changesPerSecond)
	return b.idle(ctx, m, what, func(ctx context.Context, _ int) error {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		return b.admin.Status().Patch(ctx, d, client.RawPatch(types.MergePatchType, []byte(`{"status":{"replicas":1,"unavailableReplicas":1}}`)))
	})
}
