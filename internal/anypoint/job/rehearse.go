package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Try is something that a renewal does, and that can be tried.
type Try struct {
	Doing string
	Do    func(context.Context) error
}

// Doubt is an error that may not keep a renewal from going through.
type Doubt struct{ error }

// Rehearsal is what a renewal in a Job would do in the cluster, in its order, by a client that makes dry runs. The Secret that
// it would make holds no content.
func (r *Runner) Rehearsal(fr *v1alpha1.FlexRegistration, g *gateway.Gateway, dry client.Writer) []Try {
	rehearsing := *r
	rehearsing.Client = dry
	a := &attempt{Runner: &rehearsing, fr: fr, gateway: g, intent: renewal.Intent{Since: r.Clock.Now(), Job: Name(fr, "rehearsal", 0, time.Time{})}}
	image, _ := r.Image(fr, g)
	var pullSecrets []corev1.LocalObjectReference
	handoff := a.handoffSecret()
	job := &batchv1.Job{}
	tries := []Try{
		{"finding the pull secrets", func(ctx context.Context) (err error) {
			if pullSecrets, err = a.pullSecrets(ctx); err != nil {
				return err
			}
			return a.pullSecretsExist(ctx, pullSecrets)
		}},
		{"creating Secret " + handoff.Name, func(ctx context.Context) error {
			err := dry.Create(ctx, a.handoffSecret(), gateway.FieldOwner)
			if !apierrors.IsAlreadyExists(err) {
				return err
			}
			_, err = a.earlierHandoff(ctx)
			return err
		}},
	}
	if r.ManageRBAC {
		for _, each := range a.rbac() {
			tries = append(tries, Try{"applying " + each.kind + " " + HandoffName(fr.Name), func(ctx context.Context) error {
				err := dry.Apply(ctx, each.object, gateway.FieldOwner)
				if each.kind == "RoleBinding" && apierrors.IsNotFound(err) {
					return nil // It binds a Role that only a renewal makes.
				}
				return err
			}})
		}
	} else {
		tries = append(tries, Try{"finding ServiceAccount " + HandoffName(fr.Name), func(ctx context.Context) error {
			return r.APIReader.Get(ctx, client.ObjectKey{Namespace: fr.Namespace, Name: HandoffName(fr.Name)}, &corev1.ServiceAccount{})
		}})
	}
	return append(tries,
		Try{"creating Secret " + a.intent.Job, func(ctx context.Context) error {
			return dry.Create(ctx, a.attemptSecret(nil), gateway.FieldOwner)
		}},
		Try{"creating Job " + a.intent.Job, func(ctx context.Context) error {
			job = a.job(image, pullSecrets, handoff)
			return dry.Create(ctx, job.DeepCopy(), gateway.FieldOwner)
		}},
		Try{"creating the Job's pod", func(ctx context.Context) error {
			var quotas corev1.ResourceQuotaList
			if err := r.APIReader.List(ctx, &quotas, client.InNamespace(fr.Namespace)); err != nil {
				return err
			}
			return withinQuotas(quotas.Items, &job.Spec.Template.Spec)
		}},
	)
}

// pullSecretsExist names a pull secret that does not exist: the image could then only be pulled without it.
func (a *attempt) pullSecretsExist(ctx context.Context, references []corev1.LocalObjectReference) error {
	var errs []error
	for _, reference := range references {
		if err := a.APIReader.Get(ctx, client.ObjectKey{Namespace: a.fr.Namespace, Name: reference.Name}, gateway.SecretMetadata()); apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("pull secret %s does not exist: create it, or remove it from the gateway's pods, their ServiceAccount, or --job-pull-secrets", reference.Name))
		} else if err != nil {
			return fmt.Errorf("looking for pull secret %s: %w", reference.Name, err)
		}
	}
	if len(errs) > 0 {
		return Doubt{errors.Join(errs...)}
	}
	return nil
}
