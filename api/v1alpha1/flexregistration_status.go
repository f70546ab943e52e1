package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FlexRegistrationStatus is what was recorded and observed. It holds no key material and no credentials, and
// everything in it is made anew from the cluster where it is lost.
type FlexRegistrationStatus struct {
	// observedGeneration is the metadata.generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready, CertificateValid, Renewed, RolledOut, CredentialsValid, Rehearsed, PlatformVerified,
	// Reconciling, Stalled.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// gateway is what the registration says of the gateway.
	// +optional
	Gateway *GatewayStatus `json:"gateway,omitempty"`

	// secretRef is the Secret and key in which the registration was found.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`

	// certificate is the gateway's client certificate, as the Secret holds it.
	// +optional
	Certificate *CertificateStatus `json:"certificate,omitempty"`

	// servingUntil is when the first of the certificates expires that running pods may hold: until a rollout is complete,
	// that may be an older one than the Secret's.
	// +optional
	ServingUntil *metav1.Time `json:"servingUntil,omitempty"`

	// renewBefore is how long before its expiry the certificate is renewed, after defaults and limits.
	// +optional
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// renewalTime is when the certificate is to be renewed: in a window, where there are any.
	// +optional
	RenewalTime *metav1.Time `json:"renewalTime,omitempty"`

	// lastRenewalTime is when the operator last renewed the registration.
	// +optional
	LastRenewalTime *metav1.Time `json:"lastRenewalTime,omitempty"`

	// failedAttempts counts the failed attempts to renew the present certificate.
	// +optional
	FailedAttempts int32 `json:"failedAttempts,omitempty"`

	// nextAttemptTime is when a renewal that failed, or waits for a window, is tried at the latest.
	// +optional
	NextAttemptTime *metav1.Time `json:"nextAttemptTime,omitempty"`

	// refusedCredentials names the version (UID and resourceVersion) of the credentials Secret that Anypoint
	// refused. No gateway that shares the Secret tries it again until it changes or a day has passed.
	// +optional
	RefusedCredentials string `json:"refusedCredentials,omitempty"`

	// checks say what the conditions CredentialsValid, Rehearsed and PlatformVerified were found by.
	// +listType=map
	// +listMapKey=type
	// +optional
	Checks []Check `json:"checks,omitempty"`

	// inspected is a digest of what was looked at when the gateway was found to be at rest, of the versions (UID and
	// resourceVersion) of its Secrets among others; and, after an @, until when that holds. As long as it is the same, nothing
	// is read.
	// +optional
	Inspected string `json:"inspected,omitempty"`

	// rollout is the newest rollout that the operator asked for.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// history lists the last renewals and rollouts, at most ten, the newest last.
	// +listType=atomic
	// +optional
	History []HistoryEntry `json:"history,omitempty"`

	// lastHandledRequest is the value of the gateway.flexops.dev/renew annotation that was handled last.
	// +optional
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`

	// lastHandledRehearsal is the value of the gateway.flexops.dev/rehearse annotation that was handled last.
	// +optional
	LastHandledRehearsal string `json:"lastHandledRehearsal,omitempty"`
}

// GatewayStatus is what the registration says of the gateway.
type GatewayStatus struct {
	// agentID is the gateway's id on Anypoint Platform, a UUID.
	// +optional
	AgentID string `json:"agentID,omitempty"`
	// name of the gateway on Anypoint Platform.
	// +optional
	Name string `json:"name,omitempty"`
	// anypointURL is the control plane that the gateway is registered with.
	// +optional
	AnypointURL string `json:"anypointURL,omitempty"`
	// organizationID and environmentID are where Anypoint Platform has the gateway, once that was asked for.
	// +optional
	OrganizationID string `json:"organizationID,omitempty"`
	// +optional
	EnvironmentID string `json:"environmentID,omitempty"`
}

// CertificateStatus describes a client certificate.
type CertificateStatus struct {
	// serialNumber in upper-case hexadecimal, as `openssl x509 -serial` prints it.
	// +optional
	SerialNumber string `json:"serialNumber,omitempty"`
	// fingerprint is the SHA-256 digest of the certificate, in lower-case hexadecimal.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
	// notBefore is the start of its validity.
	// +optional
	NotBefore metav1.Time `json:"notBefore,omitempty,omitzero"`
	// notAfter is the end of its validity.
	// +optional
	NotAfter metav1.Time `json:"notAfter,omitempty,omitzero"`
}

// Check says what a condition was found by.
type Check struct {
	// type of the condition.
	// +required
	Type string `json:"type"`
	// version is a digest of what was looked at. Where that changes, it is checked anew.
	// +required
	Version string `json:"version"`
	// nextTime is when it is checked again at the latest.
	// +required
	NextTime metav1.Time `json:"nextTime"`
}

// HistoryEntry is a renewal, a rollout, or what else has changed the registration.
type HistoryEntry struct {
	// time is when it happened, or was last tried.
	// +required
	Time metav1.Time `json:"time"`
	// action: Renewal, Rollout, Adoption, Restoration or Pin.
	// +required
	Action string `json:"action"`
	// cause says why, and who asked for it: Due, Urgent, Requested, Approved or the field manager of somebody else.
	// +optional
	Cause string `json:"cause,omitempty"`
	// from and to are the serial numbers of the certificate that was replaced, and of the one in its place.
	// +optional
	From string `json:"from,omitempty"`
	// +optional
	To string `json:"to,omitempty"`
	// outcome: Succeeded, or the reason of its failure.
	// +required
	Outcome string `json:"outcome"`
}

// RolloutStatus describes a rollout.
type RolloutStatus struct {
	// sequence grows by one with each rollout; together with the fingerprint it is the annotation
	// gateway.flexops.dev/registration on the pod template.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// fingerprint of the certificate that the pods were rolled for.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
	// startTime is when the rollout was decided.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// completed says that every replica was seen updated and available, and stayed up.
	// +optional
	Completed bool `json:"completed,omitempty"`
	// completionTime is when it was completed.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// failureTime is when new pods did not come up, or did not stay up, for the last time.
	// +optional
	FailureTime *metav1.Time `json:"failureTime,omitempty"`
	// deployments names the gateway's Deployments.
	// +listType=atomic
	// +optional
	Deployments []string `json:"deployments,omitempty"`
}
