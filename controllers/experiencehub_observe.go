package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/experiencehub"
	"github.com/flexops/flex-registration-operator/internal/gateway"
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
	// versions are those of the credentials Secrets. retryAfter is for how long asking again is of no use.
	versions   string
	retryAfter time.Duration
}

// lasting are the problems that somebody has to do something about.
var lasting = map[anypoint.Class]bool{
	anypoint.HostNotAllowed: true, salesforce.HostNotAllowed: true, anypoint.CredentialsRejected: true, anypoint.MFARequired: true, anypoint.MissingScope: true,
	anypoint.RequestRefused: true, platform.EnvironmentNotFound: true, platform.SecretGroupNotFound: true,
}

// observe asks both services. Only what the cluster refuses is an error; what they refuse is part of the observation.
func (r *ConnectionReconciler) observe(ctx context.Context, c *v1alpha1.ExperienceHubConnection) (*connection, error) {
	o := &connection{}
	o.WarnBefore = defaultWarnBefore
	if before := c.Spec.WarnBefore; before != nil {
		o.WarnBefore = before.Duration
	}
	asked := c.Annotations[v1alpha1.AnnotationCheck] != c.Status.LastHandledCheck
	if spec := c.Spec.Anypoint; spec != nil {
		if err := r.observeAnypoint(ctx, c, spec, o, asked); err != nil {
			return nil, err
		}
	}
	if spec := c.Spec.Salesforce; spec != nil {
		return o, r.observeSalesforce(ctx, c, spec, o, asked)
	}
	return o, nil
}

func (r *ConnectionReconciler) observeAnypoint(ctx context.Context, c *v1alpha1.ExperienceHubConnection, spec *v1alpha1.SecretsManagerCertificate, o *connection, asked bool) error {
	kind, name := platform.Certificates, spec.Certificate
	if spec.Keystore != "" {
		kind, name = platform.Keystores, spec.Keystore
	}
	a := &experiencehub.Anypoint{Which: fmt.Sprintf("%s %s of secret group %s", map[platform.SecretKind]string{platform.Certificates: "certificate", platform.Keystores: "keystore"}[kind], name, spec.SecretGroup)}
	o.Anypoint = a
	data, problem, err := r.credentials(ctx, c, spec.CredentialsRef.Name, o)
	if a.Problem = problem; err != nil || problem != nil {
		return err
	}
	credentials, err := anypoint.ParseCredentials(data)
	if err != nil {
		a.Problem = incomplete(spec.CredentialsRef.Name, err)
		return nil
	}
	account, err := r.Anypoint.Account(cmp.Or(spec.URL, defaultAnypointURL), credentials)
	if err != nil {
		a.Problem = o.problem(err)
		return nil
	}
	if asked {
		account.Forget(forgetAfter)
	}
	notAfter, found, err := account.Expiry(ctx, platform.Environment{OrganizationID: spec.OrganizationID, ID: spec.EnvironmentID}, spec.SecretGroup, kind, name)
	if err != nil {
		a.Problem = o.problem(err)
	} else if found {
		a.Certificate = &experiencehub.Certificate{Name: name, NotAfter: notAfter}
	}
	return ctx.Err()
}

func (r *ConnectionReconciler) observeSalesforce(ctx context.Context, c *v1alpha1.ExperienceHubConnection, spec *v1alpha1.SalesforceCertificate, o *connection, asked bool) error {
	s := &experiencehub.Salesforce{
		Host: httpclient.Host(spec.InstanceURL), Name: cmp.Or(spec.CertificateName, defaultCertificateName), Suffix: cmp.Or(c.Spec.Rotation.RenameSuffix, defaultRenameSuffix),
		Assist: c.Spec.Rotation.Policy == v1alpha1.RotationAssist && !r.ObserveOnly, Suspended: c.Spec.Suspend, Refused: map[string]string{},
	}
	o.Salesforce = s
	data, problem, err := r.credentials(ctx, c, spec.CredentialsRef.Name, o)
	if s.Problem = problem; err != nil || problem != nil {
		return err
	}
	credentials, err := salesforce.ParseCredentials(data)
	if err != nil {
		s.Problem = incomplete(spec.CredentialsRef.Name, err)
		return nil
	}
	if o.account, err = r.Salesforce.Account(spec.InstanceURL, spec.APIVersion, credentials); err != nil {
		s.Problem = o.problem(err)
		return nil
	}
	if asked {
		o.account.Forget(forgetAfter)
	}
	r.list(ctx, o)
	return ctx.Err()
}

// list lists what is in Salesforce.
func (r *ConnectionReconciler) list(ctx context.Context, o *connection) {
	o.Salesforce.Certificates = nil
	all, err := o.account.Certificates(ctx)
	if err != nil {
		o.failed(err)
	}
	for _, c := range all {
		o.Salesforce.Certificates = append(o.Salesforce.Certificates, experiencehub.Certificate{ID: c.ID, Name: c.Name, Label: c.Label, NotAfter: c.ExpirationDate.Time})
	}
}

func (o *connection) failed(err error) { o.Salesforce.Problem = o.problem(err) }

// problem is what a failed call comes to.
func (o *connection) problem(err error) *experiencehub.Problem {
	e := &httpclient.Error{}
	if !errors.As(err, &e) {
		return &experiencehub.Problem{Reason: v1alpha1.ReasonInterrupted, Message: err.Error()}
	}
	if !lasting[e.Class] {
		o.retryAfter = max(o.retryAfter, e.RetryAfter)
	}
	return &experiencehub.Problem{Reason: string(e.Class), Message: err.Error(), Lasting: lasting[e.Class]}
}

func incomplete(secret string, err error) *experiencehub.Problem {
	return &experiencehub.Problem{Reason: v1alpha1.ReasonCredentialsIncomplete, Message: "the credentials in Secret " + secret + " can't be used: " + err.Error(), Lasting: true}
}

// credentials reads a Secret.
func (r *ConnectionReconciler) credentials(ctx context.Context, c *v1alpha1.ExperienceHubConnection, name string, o *connection) (map[string][]byte, *experiencehub.Problem, error) {
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, secret)
	o.versions += secretVersion(secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &experiencehub.Problem{Reason: v1alpha1.ReasonCredentialsNotFound, Lasting: true, Message: "there is no Secret " + name + " with the credentials: make it, or correct the name in spec"}, nil
	case apierrors.IsForbidden(err):
		return nil, &experiencehub.Problem{Reason: v1alpha1.ReasonForbidden, Message: "the operator may not read Secret " + name + ": give it the rights in config/rbac"}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading Secret %s/%s with the credentials of ExperienceHubConnection %s: %w", c.Namespace, name, c.Name, err)
	}
	return secret.Data, nil, nil
}

// versions are those of the credentials Secrets, as the watch shows them.
func (r *ConnectionReconciler) versions(ctx context.Context, c *v1alpha1.ExperienceHubConnection) (versions string) {
	for _, name := range credentialsOf(c) {
		secret := secretMetadata.DeepCopy()
		if err := r.Cache.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, secret); err != nil {
			secret = secretMetadata
		}
		versions += secretVersion(secret)
	}
	return versions
}

func secretVersion(secret client.Object) string {
	return cmp.Or(gateway.Version(secret), "-") + " "
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
	shown := func(c experiencehub.Certificate) v1alpha1.ConnectionCertificate {
		return v1alpha1.ConnectionCertificate{Name: c.Name, NotAfter: metav1.NewTime(c.NotAfter)}
	}
	switch a := o.Anypoint; {
	case a == nil || a.Problem == nil && (a.Certificate == nil || a.Certificate.NotAfter.IsZero()):
		s.Anypoint = nil
	case a.Problem == nil:
		is := shown(*a.Certificate)
		s.Anypoint = &is
	}
	if o.Salesforce != nil && o.Salesforce.Problem != nil {
		return
	}
	s.Salesforce, s.Renamed = nil, nil
	if o.Salesforce == nil {
		return
	}
	for _, c := range o.Salesforce.Certificates {
		if is := shown(c); c.Name == o.Salesforce.Name && !c.NotAfter.IsZero() {
			s.Salesforce = &is
		}
	}
	for _, c := range o.Salesforce.Renamed() {
		if len(s.Renamed) < maxRenamed {
			s.Renamed = append(s.Renamed, shown(c))
		}
	}
}
