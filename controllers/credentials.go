package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

func credentialsHeld(o *observation, d renewal.Decision, now time.Time) *verdict {
	switch v := o.uncheckable(); {
	case v != nil:
		return v
	case len(o.credentials.Data()) == 0:
		return unknown(v1alpha1.ReasonNotChecked, "there are no credentials that could be checked")
	case o.renewing(d, now):
		return asItIs
	default:
		return nil
	}
}

func credentialsVersion(o *observation) string {
	return digest(o.Credentials, o.registration.AnypointURL(), o.registration.AgentID(), o.flexRegistration.Spec.Anypoint, o.refusal())
}

// askCredentials asks Anypoint whether it takes the credentials, and what it knows of the gateway by them: that they don't
// work should be known before a renewal is due. Only a token that is refused makes them invalid.
func (r *Reconciler) askCredentials(ctx context.Context, o *observation) verdict {
	secret := o.flexRegistration.Spec.CredentialsRef.Name
	if refused := o.refusal(); refused != nil && o.rehearsal == "" {
		return verdict{status: metav1.ConditionFalse, reason: string(refused.State), message: "a renewal was refused: " + refused.Message}
	}
	g, err := r.askGateway(ctx, o)
	e := &platform.Error{}
	switch {
	case err == nil && g.Status == platform.Deleted:
		return verdict{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonGatewayDeleted,
			message: "Anypoint accepts the credentials in Secret " + secret + ", and says that the gateway was deleted there: register it anew, and put the new registration into Secret " + o.gateway.SecretName}
	case err == nil:
		return verdict{status: metav1.ConditionTrue, reason: v1alpha1.ReasonAccepted,
			message: fmt.Sprintf("Anypoint accepts the credentials in Secret %s, and shows them the gateway in environment %s", secret, o.environment.ID)}
	case errors.As(err, &e) && (e.Class == anypoint.CredentialsRejected || e.Class == anypoint.MFARequired):
		return verdict{status: metav1.ConditionFalse, reason: string(e.Class), message: err.Error()}
	default:
		return failed(err)
	}
}

// credentialsValid is the condition of that name, as far as it is known; its zero value where it is not.
func (o *observation) credentialsValid() metav1.Condition {
	if answer, is := o.answered[v1alpha1.ConditionCredentialsValid]; is {
		return answer.condition(v1alpha1.ConditionCredentialsValid)
	}
	return ptr.Deref(meta.FindStatusCondition(o.flexRegistration.Status.Conditions, v1alpha1.ConditionCredentialsValid), metav1.Condition{})
}

// refusal is that of the credentials by which a renewal has failed, as long as it is waited out; nil where there is none.
func (o *observation) refusal() *renewal.Finding {
	a := o.Record.AttemptsFor(o.Certificate.Fingerprint)
	if a.Refused != "" && a.Refused == o.Credentials && refusesCredentials(a.State) && a.Next.After(o.lookedAt) {
		return &renewal.Finding{State: a.State, Message: a.Message}
	}
	if o.Refused != nil && o.Refused.Until.After(o.lookedAt) {
		return &o.Refused.Finding
	}
	return nil
}

// forgetAfter is for how long a token, or its refusal, counts although a person asks anew: all FlexRegistrations that share
// credentials may be asked about at once, and each refused try may bring an account nearer to being locked.
const forgetAfter = 10 * time.Minute

// askAnew has credentials tried again.
func (r *Reconciler) askAnew(o *observation) {
	if account, err := r.Platform.Account(o.registration.AnypointURL(), o.credentials); err == nil {
		account.Forget(forgetAfter)
	}
}

// askGateway asks for the gateway, after finding out where on the platform it is, which the status remembers. Its errors
// are *platform.Error.
func (r *Reconciler) askGateway(ctx context.Context, o *observation) (platform.Gateway, error) {
	account, err := r.Platform.Account(o.registration.AnypointURL(), o.credentials)
	if err != nil {
		return platform.Gateway{}, err
	}
	id, where := o.registration.AgentID(), o.flexRegistration.Spec.Anypoint
	remembered := o.environment.ID != "" && where.EnvironmentID == ""
	if o.environment.ID == "" {
		if o.environment, err = account.Find(ctx, where.OrganizationID, id); err != nil {
			return platform.Gateway{}, err
		}
	}
	g, err := account.Gateway(ctx, o.environment, id)
	if e := (&platform.Error{}); remembered && errors.As(err, &e) && (e.Class == platform.GatewayNotFound || e.Class == platform.EnvironmentNotFound || e.Class == anypoint.MissingScope) {
		o.environment = platform.Environment{}
		return r.askGateway(ctx, o) // It is looked for once more.
	}
	return g, err
}

// whereabouts is where the gateway is on the platform, as far as that is known.
func (o *observation) whereabouts() platform.Environment {
	where, was := o.flexRegistration.Spec.Anypoint, o.flexRegistration.Status.Gateway
	switch {
	case where.EnvironmentID != "":
		return platform.Environment{OrganizationID: where.OrganizationID, ID: where.EnvironmentID}
	case was == nil || was.AgentID != o.registration.AgentID() || where.OrganizationID != "" && where.OrganizationID != was.OrganizationID:
		return platform.Environment{}
	default:
		return platform.Environment{OrganizationID: was.OrganizationID, ID: was.EnvironmentID}
	}
}
