package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

const (
	// connectTime is how long after a rollout replicas may still be on their way to the platform.
	connectTime = 5 * time.Minute
	// soon is how soon after a rollout the platform is asked again.
	soon = time.Minute
)

func replicasHeld(o *observation, d renewal.Decision, now time.Time) *verdict {
	v := credentialsHeld(o, d, now)
	if (v == nil || v == asItIs) && o.uncheckable() == nil && (o.Standing != renewal.Same || o.rolling(now)) {
		return unknown(v1alpha1.ReasonRollingOut, "Anypoint is asked what the replicas run with when all of them run with the newest registration")
	}
	return v
}

func replicasVersion(o *observation) string {
	of := []any{o.Certificate.Fingerprint, o.Record.Rollout.Sequence, o.Record.Rollout.Completed, o.environment, o.credentialsValid().Status}
	for _, d := range o.gateway.Deployments {
		of = append(of, d.Spec.Template.Annotations) // A restart changes them.
	}
	return digest(of...)
}

// askReplicas asks Anypoint which certificates the connected replicas present. The platform tells their expiry, in whole
// seconds.
func (r *Reconciler) askReplicas(ctx context.Context, o *observation) verdict {
	if o.credentialsValid().Status != metav1.ConditionTrue {
		return verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonNotChecked, message: "CredentialsValid says why Anypoint can't be asked for the replicas"}
	}
	account, err := r.Platform.Account(o.registration.AnypointURL(), o.credentials)
	if err != nil {
		return failed(err)
	}
	connected, err := account.Replicas(ctx, o.environment, o.registration.AgentID())
	if err != nil {
		return failed(err)
	}
	want := o.Certificate.NotAfter.Truncate(time.Second)
	var older, newer []platform.Replica
	silent := 0
	for _, replica := range connected {
		switch is := replica.CertificateExpirationDate; {
		case is.IsZero():
			silent++
		case is.Truncate(time.Second).Before(want):
			older = append(older, replica)
		case is.Truncate(time.Second).After(want):
			newer = append(newer, replica)
		}
	}
	arriving := r.Clock.Now().Before(o.Record.Rollout.Completed.Add(connectTime))
	waiting := func(why string) verdict {
		v := verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonAwaitingReplicas, message: why, soonest: soon}
		if arriving {
			v.latest = soon
		}
		return v
	}
	switch {
	case len(older) > 0 && arriving:
		return waiting(fmt.Sprintf("%d of %d connected replicas still present an older certificate; they have until %s", len(older), len(connected), stamp(o.Record.Rollout.Completed.Add(connectTime))))
	case len(older) > 0:
		first := slices.MinFunc(older, func(a, b platform.Replica) int {
			return a.CertificateExpirationDate.Compare(b.CertificateExpirationDate.Time)
		})
		where, err := r.tellApart(ctx, o, older)
		if err != nil {
			return failed(err)
		}
		return verdict{status: metav1.ConditionFalse, reason: v1alpha1.ReasonReplicasOutdated, soonest: soon, latest: time.Hour,
			message: fmt.Sprintf("%d of %d connected replicas present an older certificate, the first of which expires at %s, than the one in Secret %s, which expires at %s: restart them: %s",
				len(older), len(connected), stamp(first.CertificateExpirationDate.Time), o.gateway.SecretName, stamp(o.Certificate.NotAfter), where)}
	case len(newer) > 0:
		return verdict{status: metav1.ConditionFalse, reason: v1alpha1.ReasonReplicasNewer, soonest: soon, latest: time.Hour,
			message: fmt.Sprintf("%d of %d connected replicas present a newer certificate than the one in Secret %s: somebody has renewed the registration elsewhere; put that registration into the Secret: %s",
				len(newer), len(connected), o.gateway.SecretName, names(newer))}
	case len(connected) == 0:
		return waiting("Anypoint lists no connected replica of the gateway; one in Local Mode may have none to show")
	case silent > 0:
		return waiting(fmt.Sprintf("Anypoint does not tell which certificate %d of %d connected replicas present", silent, len(connected)))
	case len(connected) < o.readyReplicas():
		return waiting(fmt.Sprintf("%d connected replicas present the certificate in the Secret, and %d pods are ready", len(connected), o.readyReplicas()))
	default:
		return verdict{status: metav1.ConditionTrue, reason: v1alpha1.ReasonVerified,
			message: fmt.Sprintf("all %d connected replicas present the certificate that expires at %s", len(connected), stamp(o.Certificate.NotAfter))}
	}
}

// readyReplicas counts the ready pods of the gateway's Deployments.
func (o *observation) readyReplicas() (n int) {
	for _, d := range o.gateway.Deployments {
		n += int(d.Status.ReadyReplicas)
	}
	return n
}

// tellApart names replicas, those in this cluster's pods apart from others, which were started elsewhere from the same file.
// A replica is called by its pod and its namespace, which may be "default" for want of one.
func (r *Reconciler) tellApart(ctx context.Context, o *observation, replicas []platform.Replica) (string, error) {
	ours := map[string]bool{}
	for _, d := range o.gateway.Deployments {
		pods, err := gateway.Pods(ctx, r.APIReader, d)
		if err != nil {
			return "", err
		}
		for _, pod := range pods {
			ours[pod.Name+"."+pod.Namespace], ours[pod.Name+".default"] = true, true
		}
	}
	var here, elsewhere []platform.Replica
	for _, replica := range replicas {
		if ours[replica.Name] {
			here = append(here, replica)
		} else {
			elsewhere = append(elsewhere, replica)
		}
	}
	var parts []string
	if len(here) > 0 {
		parts = append(parts, "pods of this gateway: "+names(here))
	}
	if len(elsewhere) > 0 {
		parts = append(parts, "elsewhere, started from the same registration: "+names(elsewhere))
	}
	return strings.Join(parts, "; "), nil
}

// names names a few replicas.
func names(replicas []platform.Replica) string {
	const most = 10
	var all []string
	for _, replica := range replicas {
		all = append(all, gateway.Bounded(cmp.Or(replica.Name, replica.ID)))
	}
	slices.Sort(all)
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("and %d more", len(all)-most))
	}
	return strings.Join(all, ", ")
}
