package controllers

import (
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// atRest says when to look at a gateway again that was found to be at rest, where nothing that was looked at then has changed
// since, as far as the cache has it; false where it must be looked at now. It asks the API server nothing, so that a restart
// of the operator costs no request for each gateway.
func (r *Reconciler) atRest(ctx context.Context, fr *v1alpha1.FlexRegistration) (again time.Time, rests bool) {
	now, key, s := r.Clock.Now(), client.ObjectKeyFromObject(fr), &fr.Status
	// Those that are at rest when the operator starts are not all to be looked at in the same moment, a day later.
	looked, _ := r.looked.LoadOrStore(key, now.Add(time.Duration(jitter(fr.UID)*float64(2*time.Hour))))
	again = looked.(time.Time).Add(24 * time.Hour)
	inspected, until, _ := strings.Cut(s.Inspected, "@")
	next, err := time.Parse(time.RFC3339, until)
	if err != nil || s.Gateway == nil {
		return again, false
	}
	if next.Before(again) {
		again = next
	}
	if !now.Before(again) {
		return again, false
	}
	for _, check := range s.Checks {
		if check.NextTime.Time.Before(again) {
			again = check.NextTime.Time
		}
	}
	if !now.Before(again) {
		if r.askers.TryAcquire(1) {
			r.askers.Release(1)
			return again, false
		}
		again = now.Add(askCheck(jitter(fr.UID)))
	}
	g, finding, err := gateway.Discover(ctx, r.Client, fr)
	if err != nil || finding != nil {
		return again, false
	}
	if agents, err := r.ofAgent(ctx, s.Gateway.AgentID); err != nil || len(agents) > 1 {
		return again, false // Who shares a gateway looks at the others.
	}
	if r.Jobs != nil {
		if left, err := r.Jobs.Leftovers(ctx, fr, "", false); err != nil || len(left) > 0 {
			return again, false
		}
	}
	names := secretNames(fr, g)
	versions := make([]string, len(names))
	for i, name := range names {
		if name == "" {
			continue
		}
		if versions[i], err = watchedVersion(ctx, r.Cache, fr.Namespace, name); err != nil {
			return again, false
		}
	}
	return again, r.inspection(fr.UID, fr.Generation, requests(fr), g, versions) == inspected
}

// secretNames are the Secrets that are looked at, "" in the place of one that there is not: the gateway's, the record, the
// credentials, and where it is published beside the gateway's.
func secretNames(fr *v1alpha1.FlexRegistration, g *gateway.Gateway) []string {
	names := []string{g.SecretName, gateway.RecordName(g.SecretName, g.Key), "", ""}
	if fr.Spec.Renewal.Policy == v1alpha1.RenewalFollow {
		return names
	}
	names[2] = fr.Spec.CredentialsRef.Name
	if fr.Spec.Publish.Policy == v1alpha1.PublishExternal {
		names[3] = fr.Spec.Publish.SecretRef.Name
	}
	return names
}

// inspected is what inspection gives for what was observed, and until when that holds, where the gateway is at rest; "" where it
// isn't.
func (r *Reconciler) inspected(o *observation, d renewal.Decision) string {
	if d.Step != renewal.StepWait || d.State != renewal.Scheduled || o.Excluded != nil || o.Blocked != nil || o.Standing != renewal.Same ||
		!o.RolledOut() || !o.Record.Revert.Since.IsZero() || o.Record.Intent != nil || o.Leftovers > 0 {
		return ""
	}
	versions := []string{gateway.Version(o.secret), o.record.Version(), o.Credentials, ""}
	if o.publication != nil {
		versions[3] = o.publication.Version()
	}
	return r.inspection(o.flexRegistration.UID, o.generation, o.requests, o.gateway, versions) + "@" + stamp(d.Next)
}

// inspection is a digest of all that decides about a gateway at rest: the settings of the operator, the FlexRegistration, the
// versions of its Secrets, and what counts of the Deployments. How many replicas there are does not.
func (r *Reconciler) inspection(uid types.UID, generation int64, requests map[string]string, g *gateway.Gateway, versions []string) string {
	of := []any{r.settings(), uid, generation, requests, versions, g.SecretName, g.Key, g.Others}
	for _, d := range g.Deployments {
		of = append(of, d.Spec.Template.Annotations, shape(d, g.SecretName))
	}
	return digest(of...)
}

// requests are the annotations that ask for something.
func requests(fr *v1alpha1.FlexRegistration) map[string]string {
	values := map[string]string{}
	for _, name := range []string{v1alpha1.AnnotationRenew, v1alpha1.AnnotationRehearse, v1alpha1.AnnotationApprove, v1alpha1.AnnotationConfirmCluster} {
		values[name] = fr.Annotations[name]
	}
	return values
}

// daily says that the last look was a day ago.
func (r *Reconciler) daily(o *observation) bool {
	looked, has := r.looked.Load(client.ObjectKeyFromObject(o.flexRegistration))
	return has && r.Clock.Since(looked.(time.Time)) >= 24*time.Hour
}

// shape is what of a Deployment decides how it is renewed and rolled.
func shape(d *gateway.Deployment, secret string) []any {
	return []any{d.UID, d.Spec.Template.Spec, gateway.Interrupts(d), gateway.Unguarded(d, secret)}
}

// settings are those of the operator that decide what is found. They hold no secret.
func (r *Reconciler) settings() []any {
	of := []any{r.Version, r.AnypointHosts, r.ObserveOnly, r.Platform != nil, r.CheckInterval}
	if r.Jobs != nil {
		c := r.Jobs.Config
		of = append(of, c.OperatorImage, c.Images, c.ManageRBAC, c.AssignedUser, c.PullSecrets, c.Labels)
	}
	return of
}
