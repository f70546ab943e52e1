package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations that the operator reads from a FlexRegistration or writes to a gateway's pod template.
const (
	// AnnotationRenew, on a FlexRegistration, asks for one renewal now. The value is free (a date, a ticket);
	// each new value is one request. It is handled once, and noted in status.lastHandledRequest.
	AnnotationRenew = "gateway.flexops.dev/renew"

	// AnnotationConfirmCluster, on a FlexRegistration, confirms that this cluster may go on renewing a
	// registration whose record was written in another cluster. The value is this cluster's identity, which
	// the condition's message names.
	AnnotationConfirmCluster = "gateway.flexops.dev/confirm-cluster"

	// AnnotationRehearse, on a FlexRegistration, asks for everything to be checked now that is checked once a day: whether a
	// renewal would go through, the credentials, and what the replicas run with. Each new value is one request, noted in
	// status.lastHandledRehearsal when it was done.
	AnnotationRehearse = "gateway.flexops.dev/rehearse"

	// AnnotationApprove, on a FlexRegistration, approves the renewal of the certificate with this serial number, where
	// spec.renewal.policy is Manual.
	AnnotationApprove = "gateway.flexops.dev/approve"

	// AnnotationRegistration, on the pod template of a gateway, names the certificate that its pods were
	// started for: "<fingerprint>-<sequence>". A change of it rolls the Deployment.
	AnnotationRegistration = "gateway.flexops.dev/registration"
)

// FlexRegistrationSpec says which gateway's registration is kept valid, and how.
//
// +kubebuilder:validation:XValidation:rule="has(self.credentialsRef) || has(self.renewal) && has(self.renewal.policy) && self.renewal.policy == 'Follow'",message="set credentialsRef.name to the Secret with the Anypoint credentials; only with renewal.policy Follow are none needed"
// +kubebuilder:validation:XValidation:rule="!has(self.pin) || size(self.pin) == 0 || !has(self.renewal) || !has(self.renewal.policy) || self.renewal.policy != 'Follow'",message="pin the certificate where it is renewed: with renewal.policy Follow the operator does not write the gateway's Secret"
// +kubebuilder:validation:XValidation:rule="has(self.targetRef) || has(self.secretRef)",message="name the gateway: set targetRef.name to its Deployment, or secretRef.name to the Secret that holds its registration"
type FlexRegistrationSpec struct {
	// targetRef names the gateway's Deployment. Its volume called "registration" names the Secret that holds
	// the registration, unless secretRef does. The Deployment is rolled when the registration has changed.
	// +optional
	TargetRef *TargetReference `json:"targetRef,omitempty"`

	// secretRef names the Secret that holds the registration. It is found from the Deployment where absent.
	// Without targetRef, every Deployment in the namespace that mounts this Secret is the gateway.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`

	// credentialsRef names a Secret with the Anypoint credentials for renewing: the keys client-id and
	// client-secret of a connected app (scopes Read Servers, Manage Servers and View Organization), or
	// username and password of a user without multi-factor authentication. It is only ever read. Not needed where
	// renewal.policy is Follow.
	// +optional
	CredentialsRef LocalReference `json:"credentialsRef,omitempty,omitzero"`

	// anypoint says where the gateway is on Anypoint Platform. It is found with the credentials where absent.
	// +optional
	Anypoint AnypointSpec `json:"anypoint,omitempty,omitzero"`

	// renewal says when the registration is renewed.
	// +optional
	Renewal RenewalSpec `json:"renewal,omitempty,omitzero"`

	// publish says where a renewed registration is written.
	// +optional
	Publish PublishSpec `json:"publish,omitempty,omitzero"`

	// rollout says how the gateway's pods come to use a changed registration. A running replica never reloads
	// the file.
	// +optional
	Rollout RolloutSpec `json:"rollout,omitempty,omitzero"`

	// flexctl says what renews, where the operator renews in Jobs.
	// +optional
	Flexctl FlexctlSpec `json:"flexctl,omitempty,omitzero"`

	// pin is the serial number of the certificate that the gateway is to have and to keep: the newest that is recorded, or
	// the one before, to go back to it. In upper-case hexadecimal, as status.certificate.serialNumber shows it. While it is
	// set, nothing is renewed or restored. Without it the gateway goes on with the newest.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]*$')",message="write the serial number in hexadecimal digits without separators, as status.certificate.serialNumber shows it"
	// +optional
	Pin string `json:"pin,omitempty"`

	// suspend stops every write for this gateway: nothing is renewed, published or rolled. Its certificate is
	// still watched and told. What Anypoint answers to a renewal that is under way is recorded, and published when
	// suspend is removed.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// TargetReference names a workload in the FlexRegistration's namespace.
type TargetReference struct {
	// kind of the workload. Default: Deployment, the only one that is supported.
	// +kubebuilder:validation:Enum=Deployment
	// +optional
	Kind string `json:"kind,omitempty"`

	// name of the workload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
}

// SecretKeyReference names a key of a Secret in the FlexRegistration's namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// key of the Secret that holds the registration file. Default: the key that the Deployment's volume maps
	// to registration.yaml, or else registration.yaml. The second file of a split registration is found at
	// the key certificate.yaml of the same Secret.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="write the name of a key of the Secret, such as registration.yaml: letters, digits, '-', '_' and '.'"
	// +optional
	Key string `json:"key,omitempty"`
}

// LocalReference names an object in the FlexRegistration's namespace.
type LocalReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
}

// AnypointSpec says where a gateway is on Anypoint Platform.
//
// +kubebuilder:validation:XValidation:rule="!has(self.environmentID) || has(self.organizationID)",message="an environment belongs to an organization: set anypoint.organizationID too"
type AnypointSpec struct {
	// organizationID is the id of the gateway's organization or business group. Default: the credentials' own organization.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-_a-zA-Z0-9]+$')",message="write the id of the organization or business group, a UUID, as Access Management shows it"
	// +optional
	OrganizationID string `json:"organizationID,omitempty"`

	// environmentID is the id of the gateway's environment. Default: the environment of the organization that has the
	// gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-_a-zA-Z0-9]+$')",message="write the id of the environment, a UUID, as Access Management shows it"
	// +optional
	EnvironmentID string `json:"environmentID,omitempty"`
}

// RenewalPolicy says who starts a renewal.
// +kubebuilder:validation:Enum=Automatic;Manual;Follow
type RenewalPolicy string

const (
	// RenewalAutomatic renews as soon as the renewal time has come.
	RenewalAutomatic RenewalPolicy = "Automatic"
	// RenewalManual waits at the renewal time until a person approves, however urgent it is.
	RenewalManual RenewalPolicy = "Manual"
	// RenewalFollow never renews, nor writes to the gateway's Secret: it rolls the registrations that somebody else puts
	// there, and warns where none comes.
	RenewalFollow RenewalPolicy = "Follow"
)

// RenewalSpec says when the registration is renewed.
type RenewalSpec struct {
	// policy says who starts a renewal: Automatic, Manual (a person approves each), or Follow (another cluster, or a person,
	// renews; this operator rolls what arrives). Default: Automatic.
	// +optional
	Policy RenewalPolicy `json:"policy,omitempty"`

	// approve approves the renewal of the certificate with this serial number, where policy is Manual; the annotation
	// gateway.flexops.dev/approve does the same. In hexadecimal, as status.certificate.serialNumber shows it.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Fa-f]*$')",message="write the serial number in hexadecimal digits without separators, as status.certificate.serialNumber shows it"
	// +optional
	Approve string `json:"approve,omitempty"`

	// before is how long before the certificate's expiry it is renewed: a duration from 1h to 17520h (two
	// years), such as 720h. Default: 720h. Never more than a third of the certificate's lifetime; the
	// effective value is in status.renewBefore.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('17520h')",message="write a duration from 1h to 17520h in hours, minutes and seconds, such as 720h for thirty days"
	// +optional
	Before *metav1.Duration `json:"before,omitempty"`

	// windows are when a renewal, and the rollout that belongs to it, may start. One that is due waits for the next
	// opening. What has started goes on. Default: at any time.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +optional
	Windows []RenewalWindow `json:"windows,omitempty"`

	// freezes are times in which no renewal starts, whatever windows say.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +optional
	Freezes []RenewalFreeze `json:"freezes,omitempty"`

	// urgentBefore is how long before the certificate's expiry a renewal is urgent: a duration from 1h to 17520h. Default:
	// 72h. Never more than half of the effective before.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1h') && duration(self) <= duration('17520h')",message="write a duration from 1h to 17520h in hours, minutes and seconds, such as 72h for three days"
	// +optional
	UrgentBefore *metav1.Duration `json:"urgentBefore,omitempty"`

	// urgentPolicy says what an urgent renewal does outside of windows and in freezes: Proceed starts it, Wait lets the
	// certificate expire rather than restart the gateway. Default: Proceed.
	// +optional
	UrgentPolicy UrgentPolicy `json:"urgentPolicy,omitempty"`
}

// UrgentPolicy says what an urgent renewal does outside of windows and in freezes.
// +kubebuilder:validation:Enum=Proceed;Wait
type UrgentPolicy string

const (
	// UrgentProceed starts a renewal that is urgent at any time.
	UrgentProceed UrgentPolicy = "Proceed"
	// UrgentWait waits for a window also when the certificate expires meanwhile.
	UrgentWait UrgentPolicy = "Wait"
)

// RenewalWindow opens again and again, and stays open for a while.
type RenewalWindow struct {
	// schedule is when it opens: five cron fields (minute, hour, day of the month, month, day of the week), such as
	// "0 2 * * 6" for Saturdays at two.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=200
	// +required
	Schedule string `json:"schedule"`

	// timeZone of the schedule, by its IANA name, such as Europe/Berlin. Default: UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// duration is how long it stays open: from 10m to 168h. A renewal starts no later than leaves time for its rollout
	// (spec.rollout.timeout, or 10m), but always in the first half.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('10m') && duration(self) <= duration('168h')",message="write a duration from 10m to 168h in hours, minutes and seconds, such as 2h"
	// +required
	Duration metav1.Duration `json:"duration"`
}

// RenewalFreeze is a time in which no renewal starts.
//
// +kubebuilder:validation:XValidation:rule="self.from < self.to",message="let the freeze begin (from) before it ends (to)"
type RenewalFreeze struct {
	// from is when it begins.
	// +required
	From metav1.Time `json:"from"`
	// to is when it ends.
	// +required
	To metav1.Time `json:"to"`
}

// PublishPolicy says who writes the gateway's Secret.
// +kubebuilder:validation:Enum=Direct;External
type PublishPolicy string

const (
	// PublishDirect writes a renewed registration to the gateway's Secret.
	PublishDirect PublishPolicy = "Direct"
	// PublishExternal writes it to another Secret, from where somebody else carries it to the source that the gateway's
	// Secret is made from.
	PublishExternal PublishPolicy = "External"
)

// PublishSpec says where a renewed registration is written.
//
// +kubebuilder:validation:XValidation:rule="!has(self.policy) || self.policy != 'External' || has(self.secretRef)",message="with policy External, set publish.secretRef.name to the Secret that the operator is to make for whoever carries the renewed registration to its source"
type PublishSpec struct {
	// policy says who writes the gateway's Secret: Direct, the operator, or External, another controller or a person, from
	// a source to which somebody carries what the operator publishes to secretRef. Default: Direct.
	// +optional
	Policy PublishPolicy `json:"policy,omitempty"`

	// secretRef names the Secret that the operator makes with policy External. It must not exist, or have the label
	// gateway.flexops.dev/component=publication. The key defaults to that of the gateway's Secret.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`
}

// RolloutPolicy says who restarts the gateway's pods.
// +kubebuilder:validation:Enum=Automatic;Never
type RolloutPolicy string

const (
	// RolloutAutomatic rolls the gateway's Deployments when the registration has changed.
	RolloutAutomatic RolloutPolicy = "Automatic"
	// RolloutNever leaves the restart to a person, and says so in conditions until it was done.
	RolloutNever RolloutPolicy = "Never"
)

// RolloutSpec says how the gateway's pods come to use a changed registration.
type RolloutSpec struct {
	// policy says who restarts the gateway's pods. Default: Automatic.
	// +optional
	Policy RolloutPolicy `json:"policy,omitempty"`

	// timeout is how long the rollout of one Deployment may take before it counts as failed: a duration from 10s to
	// 24h. Default: the Deployment's progressDeadlineSeconds without progress, as Kubernetes counts it.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="write a duration from 10s to 24h in hours, minutes and seconds, such as 15m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// settle is how long new pods are watched after the rollout of a Deployment: if the gateway's container ends, or a pod
	// ceases to be ready, the rollout has failed. A duration from 0s to 1h. Default: 1m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) <= duration('1h')",message="write a duration up to 1h in hours, minutes and seconds, such as 2m"
	// +optional
	Settle *metav1.Duration `json:"settle,omitempty"`
}

// FlexctlSpec says what renews, where the operator renews in Jobs.
type FlexctlSpec struct {
	// image is the container image with the flexctl that renews, such as a newer one than the gateway runs: an old
	// flexctl may not be able to renew. Default: the gateway's own image. It must be of the gateway's own repository, or
	// allowed by the operator's --flexctl-images.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`
}

// FlexRegistration keeps the platform registration of one self-managed Flex Gateway valid: it is renewed
// before its certificate expires, written back to its Secret, and the gateway's Deployment is rolled.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=flexreg,categories=flexops
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the certificate is valid and its renewal on course"
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.certificate.notAfter`,description="When the certificate expires"
// +kubebuilder:printcolumn:name="Renews",type=string,JSONPath=`.status.renewalTime`,description="When the certificate is renewed"
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.gateway.name`,description="The gateway's name on Anypoint Platform"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="choose a metadata.name of at most 52 characters: names of objects that belong to it are made from it"
type FlexRegistration struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's standard metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says which gateway's registration is kept valid, and how.
	// +required
	Spec FlexRegistrationSpec `json:"spec"`

	// status is what was recorded and observed.
	// +optional
	Status FlexRegistrationStatus `json:"status,omitempty,omitzero"`
}

// FlexRegistrationList is a list of FlexRegistrations.
//
// +kubebuilder:object:root=true
type FlexRegistrationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []*FlexRegistration `json:"items"` // pointers, so that a list of what is in a cache copies none
}
