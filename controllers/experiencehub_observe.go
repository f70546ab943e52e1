package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/experiencehub"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
	"github.com/flexops/flex-registration-operator/internal/salesforce"
)

// The defaults of a connection.
const (
	defaultAnypointURL     = "https://anypoint.mulesoft.com"
	defaultCertificateName = "Anypoint"
	defaultRenameSuffix    = "to_expire"
	defaultWarnBefore      = 30 * 24 * time.Hour
)

// connection is what was observed of one, and what it was found by.
type connection struct {
	experiencehub.Observation
	account *salesforce.Account
	// retryAfter is for how long asking again is of no use.
	retryAfter time.Duration
}

// observe asks both services. Only what the cluster refuses is an error; what they refuse is part of the observation.
func (r *ConnectionReconciler) observe(ctx context.Context, c *v1alpha1.ExperienceHubConnection) (o *connection, err error) {
	o = &connection{}
	o.WarnBefore = ptr.Deref(c.Spec.WarnBefore, metav1.Duration{Duration: defaultWarnBefore}).Duration
	if spec := c.Spec.Anypoint; spec != nil {
		kind, which, name := platform.Certificates, "certificate", spec.Certificate
		if spec.Keystore != "" {
			kind, which, name = platform.Keystores, "keystore", spec.Keystore
		}
		o.Anypoint = &experiencehub.Anypoint{Which: fmt.Sprintf("%s %s of secret group %s", which, name, spec.SecretGroup)}
		o.Anypoint.Certificate, err = r.findCertificate(ctx, c, kind, name)
		if o.Anypoint.Problem, err = o.problem(err); err != nil {
			return nil, err
		}
	}
	if spec := c.Spec.Salesforce; spec != nil {
		o.Salesforce = &experiencehub.Salesforce{
			Host: httpclient.Host(spec.InstanceURL), Name: cmp.Or(spec.CertificateName, defaultCertificateName), Suffix: cmp.Or(c.Spec.Rotation.RenameSuffix, defaultRenameSuffix),
			Assist: c.Spec.Rotation.Policy == v1alpha1.RotationAssist && !r.ObserveOnly, Suspended: c.Spec.Suspend, Refused: map[string]string{},
		}
		o.account, err = open(ctx, r, c, spec.CredentialsRef.Name, salesforce.ParseCredentials, func(credentials salesforce.Credentials) (*salesforce.Account, error) {
			return r.Salesforce.Account(spec.InstanceURL, spec.APIVersion, credentials)
		})
		if err == nil {
			err = o.list(ctx)
		}
		if o.Salesforce.Problem, err = o.problem(err); err != nil {
			return nil, err
		}
	}
	return o, ctx.Err()
}

// findCertificate asks Anypoint for the certificate; it is nil where there is none.
func (r *ConnectionReconciler) findCertificate(ctx context.Context, c *v1alpha1.ExperienceHubConnection, kind platform.SecretKind, name string) (*experiencehub.Certificate, error) {
	spec := c.Spec.Anypoint
	account, err := open(ctx, r, c, spec.CredentialsRef.Name, anypoint.ParseCredentials, func(credentials anypoint.Credentials) (*platform.Account, error) {
		return r.Anypoint.Account(cmp.Or(spec.URL, defaultAnypointURL), credentials)
	})
	if err != nil {
		return nil, err
	}
	notAfter, found, err := account.Expiry(ctx, platform.Environment{OrganizationID: spec.OrganizationID, ID: spec.EnvironmentID}, spec.SecretGroup, kind, name)
	if err != nil || !found {
		return nil, err
	}
	return &experiencehub.Certificate{Name: name, NotAfter: notAfter}, nil
}

// list lists what is in Salesforce.
func (o *connection) list(ctx context.Context) error {
	all, err := o.account.Certificates(ctx)
	o.Salesforce.Certificates = nil
	for _, c := range all {
		o.Salesforce.Certificates = append(o.Salesforce.Certificates, experiencehub.Certificate{ID: c.ID, Name: c.Name, Label: c.Label, NotAfter: c.ExpirationDate.Time})
	}
	return err
}

// open makes an account of the credentials in a Secret.
func open[C any, A interface{ Forget(time.Duration) }](ctx context.Context, r *ConnectionReconciler, c *v1alpha1.ExperienceHubConnection, name string,
	parse func(map[string][]byte) (C, error), login func(C) (A, error)) (account A, err error) {
	secret := &corev1.Secret{}
	err = r.APIReader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return account, &experiencehub.Problem{Reason: v1alpha1.ReasonCredentialsNotFound, Lasting: true, Message: "there is no Secret " + name + " with the credentials: make it, or correct the name in spec"}
	case apierrors.IsForbidden(err):
		return account, &experiencehub.Problem{Reason: v1alpha1.ReasonForbidden, Message: "the operator may not read Secret " + name + ": give it the rights in config/rbac"}
	case err != nil:
		return account, fmt.Errorf("reading Secret %s/%s with the credentials of ExperienceHubConnection %s: %w", c.Namespace, name, c.Name, err)
	}
	credentials, err := parse(secret.Data)
	if err != nil {
		return account, &experiencehub.Problem{Reason: v1alpha1.ReasonCredentialsIncomplete, Lasting: true, Message: "the credentials in Secret " + name + " can't be used: " + err.Error()}
	}
	if account, err = login(credentials); err == nil && c.Annotations[v1alpha1.AnnotationCheck] != c.Status.LastHandledCheck {
		account.Forget(forgetAfter)
	}
	return account, err
}

// passing are the classes of errors that pass by themselves. About the others somebody has to do something.
var passing = []anypoint.Class{anypoint.RateLimited, anypoint.PlatformUnavailable, httpclient.AnswerInvalid, httpclient.Interrupted}

// problem is what the failure of a side is told as; what the cluster refuses stays an error.
func (o *connection) problem(err error) (*experiencehub.Problem, error) {
	problem, failed := &experiencehub.Problem{}, &httpclient.Error{}
	switch {
	case errors.As(err, &problem):
		return problem, nil
	case !errors.As(err, &failed):
		return nil, err
	case slices.Contains(passing, failed.Class):
		o.retryAfter = max(o.retryAfter, failed.RetryAfter)
	}
	return &experiencehub.Problem{Reason: string(failed.Class), Message: err.Error(), Lasting: !slices.Contains(passing, failed.Class)}, nil
}

// versions are those of the credentials Secrets, as the watch shows them.
func (r *ConnectionReconciler) versions(ctx context.Context, c *v1alpha1.ExperienceHubConnection) (versions string) {
	for _, name := range credentialsOf(c) {
		version, _ := watchedVersion(ctx, r.Cache, c.Namespace, name) // One that can't be seen counts as not there.
		versions += version + " "
	}
	return versions
}

// credentialsOf names the credentials Secrets, in the order in which they are read.
func credentialsOf(c *v1alpha1.ExperienceHubConnection) (names []string) {
	if c.Spec.Anypoint != nil {
		names = append(names, c.Spec.Anypoint.CredentialsRef.Name)
	}
	if c.Spec.Salesforce != nil {
		names = append(names, c.Spec.Salesforce.CredentialsRef.Name)
	}
	return names
}

// maxRenamed bounds what is shown.
const maxRenamed = 10

// project puts what was seen into a status. What could not be looked at keeps what was seen last.
func (o *connection) project(s *v1alpha1.ExperienceHubConnectionStatus) {
	switch is := o.Anypoint; {
	case is == nil:
		s.Anypoint = nil
	case is.Problem == nil:
		s.Anypoint = shown(is.Certificate)
	}
	switch is := o.Salesforce; {
	case is == nil:
		s.Salesforce, s.Renamed = nil, nil
	case is.Problem == nil:
		s.Salesforce, s.Renamed = shown(is.Current()), nil
		for _, c := range is.Renamed() {
			s.Renamed = append(s.Renamed, *shown(&c))
		}
		s.Renamed = s.Renamed[:min(maxRenamed, len(s.Renamed))]
	}
}

// shown is nil where there is no certificate, or none with an expiry that is known.
func shown(c *experiencehub.Certificate) *v1alpha1.ConnectionCertificate {
	if c == nil || c.NotAfter.IsZero() {
		return nil
	}
	return &v1alpha1.ConnectionCertificate{Name: c.Name, NotAfter: metav1.NewTime(c.NotAfter)}
}
