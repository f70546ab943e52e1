package controllers

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
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
	// publication is where the registration is published, if not in the gateway's Secret.
	publication *gateway.Publication
	// environment is where the gateway is on the platform; zero where that is not known.
	environment platform.Environment
	// answered are the checks, by condition, that were made in this reconcile, rehearsal is the request for them that was met.
	answered  map[string]answered
	rehearsal string
	// generation is that of the spec that was looked at, requests are the annotations that ask for something, and lookedAt is
	// when that was. The object itself is replaced by each write of the status, and then may have newer ones.
	generation int64
	requests   map[string]string
	lookedAt   time.Time
	// secrets reads and writes those of the gateway.
	secrets heldSecrets
	// published says that the gateway's Secret was just written.
	published bool
	// deploymentsRead says that Deployments were seen, and aren't just empty.
	deploymentsRead bool
	// outdated says that so much time has passed since that everything must be looked at again.
	outdated bool
}

// observe reads everything that the plan asks about. What is wrong in the cluster is a finding in the
// observation; an error says that something could not be read.
func (r *Reconciler) observe(ctx context.Context, fr *v1alpha1.FlexRegistration) (*observation, error) {
	o := &observation{flexRegistration: fr, generation: fr.Generation, requests: requests(fr), lookedAt: r.Clock.Now()}
	o.secrets, o.record = r.secretsOf(client.ObjectKeyFromObject(fr)), &gateway.Record{}
	o.Observation = renewal.Observation{
		Suspended:      fr.Spec.Suspend,
		Before:         ptr.Deref(fr.Spec.Renewal.Before, zero).Duration,
		RolloutNever:   fr.Spec.Rollout.Policy == v1alpha1.RolloutNever,
		RolloutTimeout: ptr.Deref(fr.Spec.Rollout.Timeout, zero).Duration,
		Settle:         ptr.Deref(fr.Spec.Rollout.Settle, metav1.Duration{Duration: renewal.DefaultSettle}).Duration,
		RenewRequest:   fr.Annotations[v1alpha1.AnnotationRenew],
		Pin:            fr.Spec.Pin,
		Jitter:         jitter(fr.UID),
		ObserveOnly:    r.ObserveOnly,
		Follow:         fr.Spec.Renewal.Policy == v1alpha1.RenewalFollow,
		Manual:         fr.Spec.Renewal.Policy == v1alpha1.RenewalManual,
		Approved:       approvals(fr),
		External:       fr.Spec.Publish.Policy == v1alpha1.PublishExternal,
	}
	if o.RenewRequest == fr.Status.LastHandledRequest {
		o.RenewRequest = "" // Also where the record is from a backup that was made before.
	}
	o.observeWindows()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, look := range []func(context.Context, *observation) error{
		r.observeGateway, r.observeRegistration, r.observeRecord, r.observePublication, r.observeCredentials, r.observeJobs, r.observePeers, r.observeDeployments,
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

// approvals are the serial numbers that a person has approved.
func approvals(fr *v1alpha1.FlexRegistration) []string {
	var serials []string
	for _, serial := range []string{fr.Spec.Renewal.Approve, fr.Annotations[v1alpha1.AnnotationApprove]} {
		if serial != "" {
			serials = append(serials, bounded(serial))
		}
	}
	return serials
}

// jitter is a number from 0 to 1 that belongs to an object.
func jitter(uid types.UID) float64 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(uid))
	return float64(hash.Sum32()) / math.MaxUint32
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
	if err := o.secrets.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: g.SecretName}, secret); apierrors.IsNotFound(err) {
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
	generator := gateway.Generator(secret)
	if o.flexRegistration.Spec.Publish.Policy == v1alpha1.PublishDirect {
		generator = "" // Who writes that knows better.
	}
	switch err := parsed.CheckHost(r.AnypointHosts); {
	case o.Follow:
	case !o.External && generator != "":
		o.Unwritable = renewal.NewFinding(v1alpha1.ReasonSecretGenerated, "Secret %s is made by %s, which would overwrite a renewed registration: set spec.publish.policy to External, and spec.publish.secretRef to a Secret from which the renewed one is carried to where it comes from; or, where that is not so, set it to Direct", g.SecretName, generator)
	case !o.External && ptr.Deref(secret.Immutable, false):
		o.Unwritable = renewal.NewFinding(v1alpha1.ReasonSecretImmutable, "Secret %s is immutable, so a renewed registration can't be written to it: replace it by one that is not, or set spec.publish.policy to External", g.SecretName)
	case err != nil:
		o.block(renewal.NewFinding(v1alpha1.ReasonAnypointHostNotAllowed, "Secret %s: %v", g.SecretName, err))
	}
	o.block(o.Unwritable)
	return nil
}

// block notes what is in the way of a renewal, if anything is; the first finding is told.
func (o *observation) block(finding *renewal.Finding) {
	if o.Blocked == nil {
		o.Blocked = finding
	}
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
	o.environment = o.whereabouts()
}

// remember takes over a record that has been stored.
func (o *observation) remember(record *gateway.Record) {
	o.record = record
	o.Record = record.Record
	o.PreviousForeign = record.Previous != nil && record.Previous.AgentID() != record.Newest.AgentID()
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
	case c.Fingerprint == record.Desired().Certificate().Fingerprint:
		return renewal.Same
	case current.AgentID() != record.Newest.AgentID():
		return renewal.Reregistered // Also where it was registered so before: nothing of it can be merged.
	case c.Fingerprint == record.Record.Newest.Fingerprint, c.Fingerprint == record.Record.Previous.Fingerprint:
		return renewal.Older
	case c.NewerThan(record.Newest.Certificate()):
		return renewal.Newer
	default:
		return renewal.Older
	}
}

func (r *Reconciler) observeRecord(ctx context.Context, o *observation) error {
	record, refused, err := gateway.LoadRecord(ctx, o.secrets, o.gateway)
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
	if !o.Follow && o.Excluded == nil && o.Record.Exists() && !gateway.SameCluster(o.Record.Cluster, o.Cluster) && !confirmed {
		o.Excluded = renewal.NewFinding(v1alpha1.ReasonClusterChanged, "the record of this gateway was written in another cluster, so this one is a copy or a restored backup: "+
			"if this cluster is to renew the registration from now on, and no other does, set the annotation %s to %q", v1alpha1.AnnotationConfirmCluster, o.Cluster)
	}
	return nil
}

// observePublication looks at where somebody else carries a renewed registration from.
func (r *Reconciler) observePublication(ctx context.Context, o *observation) error {
	if !o.External || o.Follow {
		return nil
	}
	publication, refused, err := gateway.ReadPublication(ctx, o.secrets, o.gateway, o.flexRegistration)
	if err != nil {
		return err
	}
	o.publication = publication
	if refused != "" {
		o.Unwritable = renewal.NewFinding(v1alpha1.ReasonPublicationRefused, "Secret %s, which spec.publish.secretRef names, %s: name one that does not exist, which the operator then makes, or label it %s", publication.SecretName, refused, gateway.PublicationLabel)
		o.block(o.Unwritable)
	}
	if publication.Published != nil {
		o.Publication = publication.Published.Certificate().Fingerprint
	}
	return nil
}

func (r *Reconciler) observeCredentials(ctx context.Context, o *observation) error {
	name := o.flexRegistration.Spec.CredentialsRef.Name
	if o.Follow {
		return nil
	}
	secret := &corev1.Secret{}
	err := o.secrets.Get(ctx, client.ObjectKey{Namespace: o.gateway.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		o.block(renewal.NewFinding(v1alpha1.ReasonCredentialsNotFound, "Secret %s, which is to hold the Anypoint credentials, does not exist in namespace %s: "+
			"create it, or correct spec.credentialsRef.name", name, o.gateway.Namespace))
		return nil
	case err != nil:
		return fmt.Errorf("getting Secret %s/%s, which holds the Anypoint credentials: %w", o.gateway.Namespace, name, err)
	}
	o.Credentials = gateway.Version(secret)
	if o.credentials, err = anypoint.ParseCredentials(secret.Data); err == nil && operators(secret) {
		o.credentials, err = anypoint.Credentials{}, errors.New("it is the operator's own")
	}
	if err != nil {
		o.block(renewal.NewFinding(v1alpha1.ReasonCredentialsIncomplete, "Secret %s can't be used as Anypoint credentials: %v", name, err))
	}
	return nil
}

// observeJobs finds the image of flexctl, and what earlier renewals have left.
func (r *Reconciler) observeJobs(ctx context.Context, o *observation) (err error) {
	if r.Jobs == nil {
		return nil
	}
	image, finding := r.Jobs.Image(o.flexRegistration, o.gateway)
	if o.Image = image; !o.Follow {
		o.block(finding)
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

// observeDeployments says how far the Deployments are. Pods are only listed where one of them is in doubt: while it is
// rolled and its pods may decide something, and after something was put back. One that should carry the pending rollout's
// annotation and doesn't is read live, since the cache may be behind.
func (r *Reconciler) observeDeployments(ctx context.Context, o *observation) error {
	o.Deployments, o.deploymentsRead = nil, false
	rollout, revertedSince := o.Record.Rollout, o.Record.Revert.Since
	for _, d := range o.gateway.Deployments {
		uid := string(d.UID)
		_, begun := rollout.Begun(uid)
		undone := !rollout.Done(uid)
		if begun && undone && gateway.Annotation(d) != rollout.Annotation() {
			if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return fmt.Errorf("getting Deployment %s/%s: %w", d.Namespace, d.Name, err)
			}
		}
		progress := gateway.Progress(d)
		switch {
		case revertedSince.IsZero() && (!undone || !renewal.PodsDecide(o.Observation, progress, r.Clock.Now())):
			progress.Unseen = undone
		case revertedSince.IsZero() && o.published && d.Status.Replicas > 0:
			progress.OldPods = int(d.Status.Replicas) // They were there before.
		default:
			pods, err := gateway.Pods(ctx, r.APIReader, d)
			if err != nil {
				return err
			}
			if !revertedSince.IsZero() {
				progress.RevertedPods = gateway.OldPods(pods, revertedSince, o.SecretChanged)
			}
			if undone {
				progress.OldPods = gateway.OldPods(pods, time.Time{}, rollout.Published)
			}
			if undone && (begun || progress.Annotation == rollout.Annotation()) {
				progress.Unstable = told(gateway.Stability(pods, d, o.gateway.SecretName, o.Settle, &progress))
				progress.Complaint = told(gateway.Complaints(pods, d))
			}
		}
		o.Deployments = append(o.Deployments, progress)
	}
	o.deploymentsRead = true
	return nil
}

// told is a complaint in words that may be shown.
func told(c gateway.Complaint) string {
	text := c.Reason
	if output := anypoint.LastWords(c.Output); output != "" {
		text += "; " + output
	}
	return text
}
