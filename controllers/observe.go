package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// observation is what was seen, and the objects in which it was seen, for acting on them.
type observation struct {
	renewal.Observation

	flexRegistration *v1alpha1.FlexRegistration
	gateway          *gateway.Gateway
	secret           *corev1.Secret
	registration     *registration.Registration
	record           *gateway.Record
	credentials      anypoint.Credentials
	leftovers        []client.Object
	// generation is that of the spec that was looked at.
	generation int64
	// deploymentsRead says that Deployments were seen, and aren't just empty.
	deploymentsRead bool
	// outdated says that so much time has passed since that everything must be looked at again.
	outdated bool
}

// observe reads everything that the plan asks about. What is wrong in the cluster is a finding in the
// observation; an error says that something could not be read.
func (r *Reconciler) observe(ctx context.Context, fr *v1alpha1.FlexRegistration) (*observation, error) {
	o := &observation{flexRegistration: fr, generation: fr.Generation, record: &gateway.Record{}, Observation: renewal.Observation{
		Suspended:      fr.Spec.Suspend,
		Before:         ptr.Deref(fr.Spec.Renewal.Before, zero).Duration,
		RolloutNever:   fr.Spec.Rollout.Policy == v1alpha1.RolloutNever,
		RolloutTimeout: ptr.Deref(fr.Spec.Rollout.Timeout, zero).Duration,
		RenewRequest:   fr.Annotations[v1alpha1.AnnotationRenew],
	}}
	o.observeWindows()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, look := range []func(context.Context, *observation) error{
		r.observeGateway, r.observeRegistration, r.observeRecord, r.observeCredentials, r.observeJobs, r.observePeers, r.observeDeployments,
	} {
		if err := look(ctx, o); err != nil {
			return o, err
		}
		if o.Unreadable != nil {
			return o, nil
		}
	}
	return o, nil
}

// observeWindows reads when a renewal may start.
func (o *observation) observeWindows() {
	spec := o.flexRegistration.Spec.Renewal
	o.UrgentBefore, o.UrgentWait = ptr.Deref(spec.UrgentBefore, zero).Duration, spec.UrgentPolicy == v1alpha1.UrgentWait
	for _, w := range spec.Windows {
		window, err := renewal.NewWindow(w.Schedule, w.TimeZone, w.Duration.Duration)
		if err != nil {
			o.WindowInvalid = renewal.NewFinding(v1alpha1.ReasonWindowInvalid, "spec.renewal.windows: %v", err)
			return
		}
		o.Windows.Windows = append(o.Windows.Windows, window)
	}
	for _, f := range spec.Freezes {
		o.Windows.Freezes = append(o.Windows.Freezes, renewal.Freeze{From: f.From.Time, To: f.To.Time})
	}
}

func (r *Reconciler) observeGateway(ctx context.Context, o *observation) (err error) {
	o.gateway, o.Unreadable, err = gateway.Discover(ctx, r.Client, o.flexRegistration)
	return err
}

func (r *Reconciler) observeRegistration(ctx context.Context, o *observation) error {
	g := o.gateway
	secret := &corev1.Secret{}
	if err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: g.SecretName}, secret); apierrors.IsNotFound(err) {
		o.Unreadable = renewal.NewFinding(v1alpha1.ReasonSecretNotFound, "Secret %s, which holds the gateway's registration, does not exist in namespace %s: create it", g.SecretName, g.Namespace)
		return nil
	} else if err != nil {
		return fmt.Errorf("getting Secret %s/%s, which holds the gateway's registration: %w", g.Namespace, g.SecretName, err)
	}
	if operators(secret) {
		o.Unreadable = renewal.NewFinding(v1alpha1.ReasonRegistrationInvalid, "Secret %s is the operator's own (%s), and no gateway's registration: correct spec.secretRef.name", g.SecretName, secret.Type)
		return nil
	}
	parsed, err := registration.Parse(secret.Data, g.Key)
	if err != nil {
		o.Unreadable = renewal.NewFinding(v1alpha1.ReasonRegistrationInvalid, "Secret %s: %v", g.SecretName, err)
		return nil
	}
	o.see(secret, parsed)
	switch err := parsed.CheckHost(r.AnypointHosts); {
	case ptr.Deref(secret.Immutable, false):
		o.Unwritable = renewal.NewFinding(v1alpha1.ReasonSecretImmutable, "Secret %s is immutable, so a renewed registration can't be written to it: replace it by one that is not", g.SecretName)
		o.Blocked = o.Unwritable
	case err != nil:
		o.Blocked = renewal.NewFinding(v1alpha1.ReasonAnypointHostNotAllowed, "Secret %s: %v", g.SecretName, err)
	}
	return nil
}

// operators says that a Secret is a record, or belongs to a renewal: nobody is to reach it through a reference.
func operators(secret *corev1.Secret) bool {
	return strings.HasPrefix(string(secret.Type), v1alpha1.GroupVersion.Group+"/")
}

// see takes over what stands in the gateway's Secret.
func (o *observation) see(secret *corev1.Secret, parsed *registration.Registration) {
	o.secret, o.registration = secret, parsed
	o.Certificate = renewal.Certificate(parsed.Certificate())
	o.SecretChanged = gateway.Written(secret, o.gateway.Key)
	o.Standing = standing(parsed, o.record)
}

// remember takes over a record that has been stored.
func (o *observation) remember(record *gateway.Record) {
	o.record = record
	o.Record = record.Record
	if o.registration != nil {
		o.Standing = standing(o.registration, record)
	}
}

// standing compares a registration with the record: fingerprints that it knows decide first.
func standing(current *registration.Registration, record *gateway.Record) renewal.Standing {
	if record.Newest == nil {
		return renewal.Same
	}
	c := current.Certificate()
	switch {
	case c.Fingerprint == record.Newest.Certificate().Fingerprint:
		return renewal.Same
	case current.AgentID() != record.Newest.AgentID():
		return renewal.Reregistered // Also where it was registered so before: nothing of it can be merged.
	case record.Previous != nil && c.Fingerprint == record.Previous.Certificate().Fingerprint:
		return renewal.Older
	case c.NewerThan(record.Newest.Certificate()):
		return renewal.Newer
	default:
		return renewal.Older
	}
}

func (r *Reconciler) observeRecord(ctx context.Context, o *observation) error {
	record, refused, err := gateway.LoadRecord(ctx, r.APIReader, o.gateway)
	if err != nil {
		return err
	}
	if o.Excluded = refused; refused == nil {
		o.remember(record)
	}
	if o.Cluster, err = r.clusterIdentity(ctx, o.gateway.Namespace); err != nil {
		return err
	}
	confirmed := o.flexRegistration.Annotations[v1alpha1.AnnotationConfirmCluster] == o.Cluster
	if o.Excluded == nil && o.Record.Exists() && !gateway.SameCluster(o.Record.Cluster, o.Cluster) && !confirmed {
		o.Excluded = renewal.NewFinding(v1alpha1.ReasonClusterChanged, "the record of this gateway was written in another cluster, so this one is a copy or a restored backup: "+
			"if this cluster is to renew the registration from now on, and no other does, set the annotation %s to %q", v1alpha1.AnnotationConfirmCluster, o.Cluster)
	}
	return nil
}

func (r *Reconciler) observeCredentials(ctx context.Context, o *observation) error {
	name := o.flexRegistration.Spec.CredentialsRef.Name
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: o.gateway.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		if o.Blocked == nil {
			o.Blocked = renewal.NewFinding(v1alpha1.ReasonCredentialsNotFound, "Secret %s, which is to hold the Anypoint credentials, does not exist in namespace %s: "+
				"create it, or correct spec.credentialsRef.name", name, o.gateway.Namespace)
		}
		return nil
	case err != nil:
		return fmt.Errorf("getting Secret %s/%s, which holds the Anypoint credentials: %w", o.gateway.Namespace, name, err)
	}
	o.Credentials = string(secret.UID) + "/" + secret.ResourceVersion
	if o.credentials, err = anypoint.ParseCredentials(secret.Data); err == nil && operators(secret) {
		o.credentials, err = anypoint.Credentials{}, errors.New("it is the operator's own")
	}
	if err != nil && o.Blocked == nil {
		o.Blocked = renewal.NewFinding(v1alpha1.ReasonCredentialsIncomplete, "Secret %s can't be used as Anypoint credentials: %v", name, err)
	}
	return nil
}

// observeJobs finds the image of flexctl, and what earlier renewals have left.
func (r *Reconciler) observeJobs(ctx context.Context, o *observation) (err error) {
	if r.Jobs == nil {
		return nil
	}
	image, finding := r.Jobs.Image(o.flexRegistration, o.gateway)
	if o.Image = image; finding != nil && o.Blocked == nil {
		o.Blocked = finding
	}
	if o.Excluded != nil {
		return nil // What goes on may be another cluster's.
	}
	open := ""
	if intent := o.Record.Intent; intent != nil && intent.Job != "" {
		// A record is of a Secret, which more than one FlexRegistration may name.
		o.Resumable, open = intent.For == string(o.flexRegistration.UID), intent.Job
	}
	failed := o.Record.AttemptsFor(o.Record.Newest.Fingerprint).Failed > 0
	o.leftovers, err = r.Jobs.Leftovers(ctx, o.flexRegistration, open, failed)
	o.Leftovers = len(o.leftovers)
	return err
}

// observeDeployments says how far the Deployments are. Those that don't carry the pending rollout's annotation are judged
// by their pods; where they should carry it, the cache may only be behind.
func (r *Reconciler) observeDeployments(ctx context.Context, o *observation) error {
	o.Deployments = nil
	rollout := o.Record.Rollout
	for i := range o.gateway.Deployments {
		d := &o.gateway.Deployments[i]
		uid := string(d.UID)
		if _, begun := rollout.Begun(uid); begun && !rollout.Done(uid) && gateway.Annotation(d) != rollout.Annotation() {
			if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return fmt.Errorf("getting Deployment %s/%s: %w", d.Namespace, d.Name, err)
			}
		}
		progress := gateway.Progress(d)
		begun, rolled := rollout.Begun(uid)
		undone, since := !rollout.Done(uid), o.Record.Revert.Since
		unannotated := undone && progress.Annotation != rollout.Annotation()
		stuck := undone && rolled && !progress.Complete && (progress.Failed || o.RolloutTimeout > 0 && !r.Clock.Now().Before(begun.Add(o.RolloutTimeout)))
		if since.IsZero() && !unannotated && !stuck {
			o.Deployments = append(o.Deployments, progress)
			continue
		}
		pods, err := gateway.Pods(ctx, r.APIReader, d)
		if err != nil {
			return err
		}
		if !since.IsZero() {
			progress.RevertedPods = gateway.OldPods(pods, since, o.SecretChanged)
		}
		if unannotated {
			progress.OldPods = gateway.OldPods(pods, time.Time{}, rollout.Published)
		}
		if stuck {
			complaint := gateway.Complaints(pods, d)
			for _, says := range []string{complaint.Reason, anypoint.Scrub(complaint.Output)} {
				if says != "" {
					progress.Message += "; " + says
				}
			}
		}
		o.Deployments = append(o.Deployments, progress)
	}
	o.deploymentsRead = true
	return nil
}
