package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// somebody is the field manager of what people do.
const somebody = client.FieldOwner("helm")

// edit changes an object, whoever else writes it, and returns it.
func edit[T client.Object](ctx context.Context, r *run, name string, blank func() T, change func(T)) (object T, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		object = blank()
		if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, object); err != nil {
			return err
		}
		change(object)
		return r.bench.Admin.Update(ctx, object, somebody)
	})
	return object, err
}

func editRegistration(ctx context.Context, r *run, change func(*v1alpha1.FlexRegistration)) error {
	_, err := edit(ctx, r, operator.GatewayName, func() *v1alpha1.FlexRegistration { return &v1alpha1.FlexRegistration{} }, change)
	return err
}

// editDeployment changes the gateway's Deployment, and counts it where Kubernetes then replaces the pods.
func (r *run) editDeployment(ctx context.Context, change func(*appsv1.Deployment)) error {
	var replaces bool
	_, err := edit(ctx, r, operator.GatewayName, func() *appsv1.Deployment { return &appsv1.Deployment{} }, func(d *appsv1.Deployment) {
		before := d.Spec.Template.DeepCopy()
		change(d)
		replaces = !d.Spec.Paused && !equality.Semantic.DeepEqual(*before, d.Spec.Template)
	})
	if err == nil && replaces {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.edits++
	}
	return err
}

// editSecret changes the gateway's Secret, at another second than it was written before: times in managed fields have
// seconds.
func (r *run) editSecret(ctx context.Context, change func(*corev1.Secret)) error {
	blank := func() *corev1.Secret { return &corev1.Secret{} }
	if err := poll(ctx, func() (bool, error) {
		secret := blank()
		err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operator.SecretName}, secret)
		return time.Now().Truncate(time.Second).After(gateway.Written(secret, registration.DefaultKey)), err
	}); err != nil {
		return err
	}
	secret, err := edit(ctx, r, operator.SecretName, blank, change)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.theirs = append(r.theirs, secret.ResourceVersion)
	return err
}

// registers makes the FlexRegistration.
func registers(change func(*run, *v1alpha1.FlexRegistration)) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		fr := r.flexRegistration()
		if change != nil {
			change(r, fr)
		}
		return r.bench.Admin.Create(ctx, fr)
	}
}

// daily is a window that opens at a time of each day.
func daily(at time.Time, open time.Duration) v1alpha1.RenewalWindow {
	at = at.UTC()
	return v1alpha1.RenewalWindow{Schedule: fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour()), Duration: metav1.Duration{Duration: open}}
}

// startedEarlier has pods say that they were started long ago, so that they can't have read what somebody puts into the
// Secret.
func startedEarlier(d *appsv1.Deployment) {
	d.Spec.Template.Annotations = map[string]string{controlplane.StartedAnnotation: time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}
}

// putsBack puts the first registration back into the Secret, and changes something else there.
func putsBack(ctx context.Context, r *run) error {
	return r.editSecret(ctx, func(s *corev1.Secret) {
		s.Data = map[string][]byte{registration.DefaultKey: r.gateway.File, "notes.txt": fmt.Appendf(nil, "changed %d times\r\n", len(r.theirs))}
	})
}

// upgrades puts the first registration back, and makes pods come up with it.
func upgrades(ctx context.Context, r *run) error {
	if err := putsBack(ctx, r); err != nil {
		return err
	}
	const image = "mulesoft/flex-gateway:1.9.0"
	if err := r.editDeployment(ctx, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = image
		delete(d.Spec.Template.Annotations, controlplane.StartedAnnotation)
	}); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		pods, err := r.pods(ctx)
		return slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Spec.Containers[0].Image == image && !notReady(p) }), err
	})
}

// putsNewestBack puts the newest registration into the Secret.
func putsNewestBack(ctx context.Context, r *run) error {
	record, err := r.storedRecord(ctx)
	if err != nil {
		return err
	}
	renewed, err := registration.Parse(record.Data, recordNewest)
	if err != nil {
		return err
	}
	return r.editSecret(ctx, func(s *corev1.Secret) {
		if merged, failed := registration.Merge(s.Data, registration.DefaultKey, renewed); failed == nil {
			s.Data = merged
		}
	})
}

func pinsPrevious(ctx context.Context, r *run) error {
	return editRegistration(ctx, r, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = r.original.Certificate().SerialNumber })
}

func unpins(ctx context.Context, r *run) error {
	return editRegistration(ctx, r, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Pin = "" })
}

// failsSoon has Kubernetes give up at once where pods don't get ready, and keep those that are.
func failsSoon(d *appsv1.Deployment) {
	d.Spec.ProgressDeadlineSeconds = ptr.To[int32](1)
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstr.FromInt32(0)), MaxSurge: ptr.To(intstr.FromInt32(1))}
}

// registersPaused makes the FlexRegistration of a gateway whose next pods won't get ready, and holds them up.
func registersPaused(ctx context.Context, r *run) error {
	if err := r.editDeployment(ctx, func(d *appsv1.Deployment) {
		d.Spec.Paused = true
		metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, controlplane.PodAnnotation, controlplane.PodNotReady)
	}); err != nil {
		return err
	}
	return registers(nil)(ctx, r)
}

func resumes(ctx context.Context, r *run) error {
	return r.editDeployment(ctx, func(d *appsv1.Deployment) { d.Spec.Paused = false })
}

// mends has the gateway's next pods get ready.
func mends(ctx context.Context, r *run) error {
	return r.editDeployment(ctx, func(d *appsv1.Deployment) { delete(d.Spec.Template.Annotations, controlplane.PodAnnotation) })
}

// approves approves the renewal of the first certificate.
func approves(ctx context.Context, r *run) error {
	return editRegistration(ctx, r, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Approve = r.original.Certificate().SerialNumber })
}

// publication is the Secret that registrations are published to for somebody to carry.
const publication = "renewed"

func publishes(_ *run, fr *v1alpha1.FlexRegistration) {
	fr.Spec.Publish = v1alpha1.PublishSpec{Policy: v1alpha1.PublishExternal, SecretRef: &v1alpha1.SecretKeyReference{Name: publication}}
}

// carries puts what is published into the gateway's Secret.
func carries(ctx context.Context, r *run) error {
	published := &corev1.Secret{}
	if err := r.bench.Admin.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: publication}, published); err != nil {
		return err
	}
	return r.editSecret(ctx, func(s *corev1.Secret) { s.Data[registration.DefaultKey] = published.Data[registration.DefaultKey] })
}

func follows(ctx context.Context, r *run) error {
	return editRegistration(ctx, r, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Policy = v1alpha1.RenewalFollow })
}

// sync replaces the gateway's manifests by what they were at first, as Argo CD does with Replace=true. It comes in the middle
// of a call of the operator.
func (r *run) sync() {
	ctx := context.Background()
	err := r.editSecret(ctx, func(s *corev1.Secret) { s.Data = operator.RegistrationSecret(r.namespace, r.gateway.File).Data })
	if err == nil {
		err = r.editDeployment(ctx, func(d *appsv1.Deployment) {
			d.Spec.Template = operator.Deployment(r.namespace, operator.GatewayName, operator.SecretName, 2).Spec.Template
		})
	}
	if err != nil {
		r.spoil(fmt.Errorf("replacing the manifests: %w", err))
	}
}

// connects has the platform list the gateway's pods as replicas with its newest certificate.
func connects(ctx context.Context, r *run) error {
	pods, err := r.pods(ctx)
	if err != nil {
		return err
	}
	var replicas []simulator.Replica
	for _, pod := range pods {
		replicas = append(replicas, simulator.Replica{Name: pod.Name + "." + pod.Namespace})
	}
	r.platform.SetReplicas(r.gateway.AgentID, replicas...)
	return nil
}
