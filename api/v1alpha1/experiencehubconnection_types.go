package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationCheck, on an ExperienceHubConnection, asks for both certificates to be looked at now, and for the next step of a
// rotation. Each new value is one request, noted in status.lastHandledCheck when it was done.
const AnnotationCheck = "gateway.flexops.dev/check"

// ExperienceHubConnectionSpec names the two certificates of a connection. Defaults are applied by the operator.
//
// +kubebuilder:validation:XValidation:rule="has(self.anypoint) || has(self.salesforce)",message="name a certificate to watch: set anypoint for the one in Secrets Manager, salesforce for the one in Salesforce, or both"
// +kubebuilder:validation:XValidation:rule="has(self.salesforce) || !has(self.rotation) || !has(self.rotation.policy) || self.rotation.policy != 'Assist'",message="rotation.policy Assist renames and deletes certificates in Salesforce: set salesforce, or leave the policy at Notify"
type ExperienceHubConnectionSpec struct {
	// anypoint is the certificate in Secrets Manager in Anypoint.
	// +optional
	Anypoint *SecretsManagerCertificate `json:"anypoint,omitempty"`

	// salesforce is the certificate in Salesforce.
	// +optional
	Salesforce *SalesforceCertificate `json:"salesforce,omitempty"`

	// warnBefore is how long before a certificate's expiry somebody is asked to act: a duration from 1h to 2880h, a third of
	// the year for which these certificates live. Default: 720h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('2880h')",message="write a duration from 1h to 2880h in hours, minutes and seconds, such as 720h for thirty days"
	// +optional
	WarnBefore *metav1.Duration `json:"warnBefore,omitempty"`

	// rotation says what the operator does when the certificate in Salesforce is about to expire.
	// +optional
	Rotation RotationSpec `json:"rotation,omitempty,omitzero"`

	// suspend stops every change in Salesforce. Both certificates are still watched and told.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// SecretsManagerCertificate names a certificate in Secrets Manager.
//
// +kubebuilder:validation:XValidation:rule="has(self.certificate) != has(self.keystore)",message="set either certificate or keystore to the name under which Secrets Manager shows it in the secret group"
type SecretsManagerCertificate struct {
	// url is the control plane, as https://HOST. The operator's --anypoint-hosts must allow it. Default:
	// https://anypoint.mulesoft.com.
	// +kubebuilder:validation:MaxLength=260
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[-.a-zA-Z0-9]+(:[0-9]{1,5})?$')",message="write https:// and a host, such as https://eu1.anypoint.mulesoft.com, without a path, user or query"
	// +optional
	URL string `json:"url,omitempty"`

	// organizationID is the id of the organization or business group that has the secret group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-_a-zA-Z0-9]+$')",message="write the id of the organization or business group, a UUID, as Access Management shows it"
	// +required
	OrganizationID string `json:"organizationID"`

	// environmentID is the id of the environment that has the secret group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-_a-zA-Z0-9]+$')",message="write the id of the environment, a UUID, as Access Management shows it"
	// +required
	EnvironmentID string `json:"environmentID"`

	// secretGroup is the name of the secret group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	SecretGroup string `json:"secretGroup"`

	// certificate is the name of the certificate in the group, where it is kept as one. Of several with that name the one
	// that expires last counts.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Certificate string `json:"certificate,omitempty"`

	// keystore is the name of the keystore in the group, where the certificate is kept in one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Keystore string `json:"keystore,omitempty"`

	// credentialsRef names a Secret with Anypoint credentials that may read the secret group: the keys client-id and
	// client-secret of a connected app, or username and password of a user. It is only ever read.
	// +required
	CredentialsRef LocalReference `json:"credentialsRef"`
}

// SalesforceCertificate names a certificate in a Salesforce organization.
type SalesforceCertificate struct {
	// instanceURL is the organization's My Domain, as https://HOST. The operator's --salesforce-hosts must allow it.
	// Credentials and tokens go there and nowhere else.
	// +kubebuilder:validation:MaxLength=260
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[-.a-zA-Z0-9]+(:[0-9]{1,5})?$')",message="write https:// and the My Domain of the organization, such as https://example.my.salesforce.com, without a path, user or query"
	// +required
	InstanceURL string `json:"instanceURL"`

	// apiVersion of Salesforce's Tooling and Metadata API, 37.0 or later.
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:XValidation:rule="self.matches('^(3[7-9]|[4-9][0-9]|[1-9][0-9]{2})[.]0$')",message="write a version of Salesforce's API that your organization has, 37.0 or later, such as 62.0"
	// +required
	APIVersion string `json:"apiVersion"`

	// credentialsRef names a Secret with the keys client-id and client-secret (client credentials flow), or client-id,
	// username and private-key (JWT bearer flow; an RSA key in PEM). It is only ever read.
	// +required
	CredentialsRef LocalReference `json:"credentialsRef"`

	// certificateName is the certificate's unique name (DeveloperName) in Salesforce. Default: Anypoint.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z](_?[A-Za-z0-9])*$')",message="write the certificate's unique name as Salesforce shows it: letters, digits and single underscores, beginning with a letter"
	// +optional
	CertificateName string `json:"certificateName,omitempty"`
}

// RotationPolicy says who rotates the certificate in Salesforce.
// +kubebuilder:validation:Enum=Notify;Assist
type RotationPolicy string

const (
	// RotationNotify changes nothing anywhere: it says what a person has to do.
	RotationNotify RotationPolicy = "Notify"
	// RotationAssist renames the certificate when it is about to expire, asks for the administrator's login, and deletes the
	// renamed one when there is a new one.
	RotationAssist RotationPolicy = "Assist"
)

// RotationSpec says how the certificate in Salesforce is rotated.
type RotationSpec struct {
	// policy says who renames and deletes: Notify, a person, or Assist, the operator. Default: Notify.
	// +optional
	Policy RotationPolicy `json:"policy,omitempty"`

	// renameSuffix is what is put after the certificate's name when it is renamed, before the day of its expiry. Only
	// certificates with such a name are ever deleted, so change it while no rotation is under way. Default: to_expire, which
	// makes Anypoint_to_expire_20271031.
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9](_?[A-Za-z0-9])*$')",message="write letters, digits and single underscores, such as to_expire"
	// +optional
	RenameSuffix string `json:"renameSuffix,omitempty"`
}

// ExperienceHubConnectionStatus is what was observed. Everything in it is made anew from Anypoint and Salesforce where it is
// lost.
type ExperienceHubConnectionStatus struct {
	// observedGeneration is the metadata.generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, AnypointCertificateValid, SalesforceCertificateValid, ActionRequired, Reconciling, Stalled.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// anypoint is the certificate in Secrets Manager, as it was seen last.
	// +optional
	Anypoint *ConnectionCertificate `json:"anypoint,omitempty"`

	// salesforce is the certificate with the configured name in Salesforce, as it was seen last; absent between its renaming
	// and the login that makes the new one.
	// +optional
	Salesforce *ConnectionCertificate `json:"salesforce,omitempty"`

	// renamed are the certificates in Salesforce that the operator has renamed and that are still there, at most ten.
	// +listType=atomic
	// +optional
	Renamed []ConnectionCertificate `json:"renamed,omitempty"`

	// lastCheckTime is when both services were asked last.
	// +optional
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`

	// nextCheckTime is when they are asked again, unless something changes before.
	// +optional
	NextCheckTime *metav1.Time `json:"nextCheckTime,omitempty"`

	// lastHandledCheck is the value of the gateway.flexops.dev/check annotation that was handled last.
	// +optional
	LastHandledCheck string `json:"lastHandledCheck,omitempty"`

	// credentials names the versions (UID and resourceVersion) of the credentials Secrets that were used last.
	// +optional
	Credentials string `json:"credentials,omitempty"`
}

// ConnectionCertificate is one certificate of a connection.
type ConnectionCertificate struct {
	// name under which the service keeps it.
	Name string `json:"name"`
	// notAfter is when it expires.
	NotAfter metav1.Time `json:"notAfter"`
}

// ExperienceHubConnection watches the two certificates that link API Experience Hub in an Anypoint organization with a
// Salesforce organization, says in time what an administrator has to do about them, and does what it may.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=aehconn,categories=flexops
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether both certificates are valid and their rotation on course"
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.status.conditions[?(@.type=="ActionRequired")].reason`,description="What a person has to do"
// +kubebuilder:printcolumn:name="Anypoint",type=string,JSONPath=`.status.anypoint.notAfter`,description="When the certificate in Anypoint expires"
// +kubebuilder:printcolumn:name="Salesforce",type=string,JSONPath=`.status.salesforce.notAfter`,description="When the certificate in Salesforce expires"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="ActionRequired")].message`,priority=1
type ExperienceHubConnection struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec names the two certificates.
	// +required
	Spec ExperienceHubConnectionSpec `json:"spec"`

	// status is what was observed.
	// +optional
	Status ExperienceHubConnectionStatus `json:"status,omitempty,omitzero"`
}

// ExperienceHubConnectionList is a list of ExperienceHubConnections.
//
// +kubebuilder:object:root=true
type ExperienceHubConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []*ExperienceHubConnection `json:"items"` // pointers, so that a list of what is in a cache copies none
}
