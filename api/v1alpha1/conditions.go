package v1alpha1

// The types of a FlexRegistration's conditions.
const (
	// ConditionReady is True while the certificate that the gateway serves with is valid and its renewal is on
	// course, and False when somebody should act.
	ConditionReady = "Ready"
	// ConditionCertificateValid is True while no certificate that a running pod may hold has expired.
	ConditionCertificateValid = "CertificateValid"
	// ConditionRenewed is True while no renewal is due, and False from when one is due until it has succeeded.
	ConditionRenewed = "Renewed"
	// ConditionRolledOut is True while the gateway's pods use the registration in the Secret.
	ConditionRolledOut = "RolledOut"
	// ConditionCredentialsValid is True while Anypoint accepts the credentials and shows them the gateway, False when it
	// refuses them, and Unknown where that could not be found out. Ready does not depend on it.
	ConditionCredentialsValid = "CredentialsValid"
	// ConditionRehearsed is True while a renewal would go through, as far as that can be tried without changing anything,
	// False where something would fail, and Unknown where that could not be found out. Ready does not depend on it.
	ConditionRehearsed = "Rehearsed"
	// ConditionPlatformVerified is True while all replicas that are connected to Anypoint present the certificate in the
	// Secret, False where some don't, and Unknown where that could not be found out. Ready does not depend on it.
	ConditionPlatformVerified = "PlatformVerified"
	// ConditionReconciling exists, and is True, while the operator is at work or waits for an object to appear.
	ConditionReconciling = "Reconciling"
	// ConditionStalled exists, and is True, when nothing will change until somebody acts.
	ConditionStalled = "Stalled"
)

// The reasons of Ready. Where a reason says why a renewal is held up, Renewed has it too; Reconciling and
// Stalled always share Ready's reason. docs/conditions.md has the cause and the remedy of each.
const (
	// ReasonScheduled: all is well, the renewal is planned for status.renewalTime.
	ReasonScheduled = "Scheduled"
	// ReasonSuspended: spec.suspend is set.
	ReasonSuspended = "Suspended"

	// ReasonWaitingForWindow: a renewal is due and waits for a window of spec.renewal.windows, or the end of a freeze.
	ReasonWaitingForWindow = "WaitingForWindow"
	// ReasonNoWindowInTime: no window opens before the certificate expires, and spec.renewal.urgentPolicy is Wait.
	ReasonNoWindowInTime = "NoWindowInTime"
	// ReasonFleetPaused: a renewal is due that is not urgent, and the last rollouts of other gateways have failed.
	ReasonFleetPaused = "FleetPaused"
	// ReasonObserving: the operator runs with --observe-only, and so neither renews nor rolls anything.
	ReasonObserving = "Observing"
	// ReasonAwaitingApproval: a renewal is due, spec.renewal.policy is Manual, and nobody has approved it yet.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonFollowing: a renewal is due that somebody else is to make, since spec.renewal.policy is Follow.
	ReasonFollowing = "Following"
	// ReasonAwaitingSync: a renewed registration is published to spec.publish.secretRef, and not in the gateway's Secret.
	ReasonAwaitingSync = "AwaitingSync"
	// ReasonPinned: spec.pin keeps a certificate from being renewed.
	ReasonPinned = "Pinned"
	// ReasonQueued: a renewal is due and waits until another one with the same credentials has ended, or until fewer
	// renewals and their rollouts are under way.
	ReasonQueued = "Queued"
	// ReasonRenewing: a renewal has been claimed and is under way.
	ReasonRenewing = "Renewing"
	// ReasonJobPending: the Job that renews does not come to run flexctl, for a reason that may need somebody to act.
	ReasonJobPending = "JobPending"
	// ReasonRenewalInterrupted: an operator stopped in the middle of a renewal; it is repeated when that
	// attempt has ended for sure.
	ReasonRenewalInterrupted = "RenewalInterrupted"
	// ReasonRestoring: an older certificate was put back into the gateway's Secret, and is replaced by the newest again.
	ReasonRestoring = "Restoring"
	// ReasonRollingOut: the gateway's pods are being replaced.
	ReasonRollingOut = "RollingOut"

	// ReasonTargetNotFound: the Deployment that spec.targetRef names does not exist.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonSecretNotFound: the Secret that holds the registration does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonCredentialsNotFound: the Secret that spec.credentialsRef names does not exist.
	ReasonCredentialsNotFound = "CredentialsNotFound"

	// ReasonVolumeNotFound: the Deployment has no volume "registration", or does not mount spec.secretRef's Secret.
	ReasonVolumeNotFound = "VolumeNotFound"
	// ReasonRegistrationInvalid: the Secret holds no registration that can be used.
	ReasonRegistrationInvalid = "RegistrationInvalid"
	// ReasonSecretImmutable: the Secret that holds the registration is immutable.
	ReasonSecretImmutable = "SecretImmutable"
	// ReasonSecretGenerated: another controller makes the gateway's Secret, and would overwrite a renewed registration.
	ReasonSecretGenerated = "SecretGenerated"
	// ReasonPublicationRefused: the Secret that spec.publish.secretRef names is not for publishing.
	ReasonPublicationRefused = "PublicationRefused"
	// ReasonAnypointHostNotAllowed: the registration's control plane is not one that credentials may go to.
	ReasonAnypointHostNotAllowed = "AnypointHostNotAllowed"
	// ReasonCredentialsIncomplete: the credentials Secret lacks a key.
	ReasonCredentialsIncomplete = "CredentialsIncomplete"
	// ReasonWindowInvalid: a window of spec.renewal.windows can't be read, so that none counts.
	ReasonWindowInvalid = "WindowInvalid"
	// ReasonPinUnknown: spec.pin names a certificate that is not recorded.
	ReasonPinUnknown = "PinUnknown"
	// ReasonFlexctlImageNotAllowed: there is no image with flexctl that the operator may run.
	ReasonFlexctlImageNotAllowed = "FlexctlImageNotAllowed"
	// ReasonRecordRefused: the Secret with the record's name was not written by the operator, or is broken.
	ReasonRecordRefused = "RecordRefused"
	// ReasonClusterChanged: the record was written in another cluster.
	ReasonClusterChanged = "ClusterChanged"
	// ReasonDuplicate: another FlexRegistration renews, or has renewed, the same certificate.
	ReasonDuplicate = "Duplicate"
	// ReasonReverted: an older certificate is put back into the gateway's Secret again and again.
	ReasonReverted = "Reverted"

	// ReasonCredentialsRejected: Anypoint refused the credentials.
	ReasonCredentialsRejected = "CredentialsRejected"
	// ReasonMFARequired: the user has multi-factor authentication, which flexctl can't pass.
	ReasonMFARequired = "MFARequired"
	// ReasonMissingScope: the credentials lack a permission.
	ReasonMissingScope = "MissingScope"
	// ReasonRequestRefused: Anypoint refused the renewal for another reason.
	ReasonRequestRefused = "RequestRefused"
	// ReasonRateLimited: Anypoint's rate limit was reached.
	ReasonRateLimited = "RateLimited"
	// ReasonPlatformUnavailable: Anypoint could not be reached, or answered with a server error.
	ReasonPlatformUnavailable = "PlatformUnavailable"
	// ReasonRenewalTimedOut: flexctl did not end within its deadline.
	ReasonRenewalTimedOut = "RenewalTimedOut"
	// ReasonFlexctlUnusable: there is no flexctl, or it can't be run.
	ReasonFlexctlUnusable = "FlexctlUnusable"
	// ReasonFlexctlTooOld: flexctl lacks the command that renews.
	ReasonFlexctlTooOld = "FlexctlTooOld"
	// ReasonFlexctlFailed: flexctl failed in a way that is not known.
	ReasonFlexctlFailed = "FlexctlFailed"
	// ReasonResultInvalid: what flexctl wrote is no renewal of the registration.
	ReasonResultInvalid = "ResultInvalid"
	// ReasonJobNotStarted: the Job that was to renew did not come as far as running flexctl, and was given up.
	ReasonJobNotStarted = "JobNotStarted"
	// ReasonJobFailed: the Job that renews ended, or vanished, without anybody knowing what flexctl did.
	ReasonJobFailed = "JobFailed"
	// ReasonUnresolvedAttempts: too many attempts ended without an answer from the platform.
	ReasonUnresolvedAttempts = "UnresolvedAttempts"

	// ReasonRolloutFailed: the gateway's new pods did not become available in time, or did not stay up.
	ReasonRolloutFailed = "RolloutFailed"
	// ReasonRestartRequired: spec.rollout.policy is Never and pods still run with an older registration.
	ReasonRestartRequired = "RestartRequired"
	// ReasonForbidden: the Kubernetes API refused a request of the operator.
	ReasonForbidden = "Forbidden"
	// ReasonStepFailed: something that the operator must do in the cluster has failed several times in a row.
	ReasonStepFailed = "StepFailed"

	// ReasonCertificateExpired: a certificate that running pods hold has expired.
	ReasonCertificateExpired = "CertificateExpired"
	// ReasonNotYetValid, of CertificateValid too: the certificate's validity has not begun.
	ReasonNotYetValid = "NotYetValid"
)

// The other reasons of CertificateValid, Renewed and RolledOut.
const (
	// ReasonValid, of CertificateValid: no certificate in use has expired.
	ReasonValid = "Valid"
	// ReasonExpired, of CertificateValid: a certificate in use has expired.
	ReasonExpired = "Expired"
	// ReasonUpToDate, of Renewed: no renewal is due.
	ReasonUpToDate = "UpToDate"
	// ReasonComplete, of RolledOut: the pods run with the registration in the Secret, or there are none.
	ReasonComplete = "Complete"
	// ReasonUnknown, of these and of the conditions that are checked: the registration could not be inspected.
	ReasonUnknown = "Unknown"
)

// The other reasons of CredentialsValid, Rehearsed and PlatformVerified. They also have those of Ready that say what Anypoint
// answers, and ReasonSuspended.
const (
	// ReasonAccepted, of CredentialsValid: Anypoint accepts the credentials, and shows them the gateway.
	ReasonAccepted = "Accepted"
	// ReasonNotChecked: there are no credentials that could be checked, or none that Anypoint accepts.
	ReasonNotChecked = "NotChecked"
	// ReasonGatewayNotFound: Anypoint does not have the gateway where it was looked for.
	ReasonGatewayNotFound = "GatewayNotFound"
	// ReasonGatewayDeleted, of CredentialsValid: the gateway was deleted on Anypoint.
	ReasonGatewayDeleted = "GatewayDeleted"
	// ReasonEnvironmentNotFound: Anypoint does not have the organization or the environment.
	ReasonEnvironmentNotFound = "EnvironmentNotFound"
	// ReasonInterrupted: the operator was stopped while it asked.
	ReasonInterrupted = "Interrupted"
	// ReasonAnswerInvalid: Anypoint's answer could not be read.
	ReasonAnswerInvalid = "AnswerInvalid"

	// ReasonPassed, of Rehearsed: nothing is known that a renewal would fail by.
	ReasonPassed = "Passed"
	// ReasonWouldFail, of Rehearsed: something is known that a renewal would fail by.
	ReasonWouldFail = "WouldFail"
	// ReasonIncomplete, of Rehearsed: not everything could be tried.
	ReasonIncomplete = "Incomplete"

	// ReasonVerified, of PlatformVerified: all connected replicas present the certificate in the Secret.
	ReasonVerified = "Verified"
	// ReasonAwaitingReplicas, of PlatformVerified: not all replicas are connected yet, or none.
	ReasonAwaitingReplicas = "AwaitingReplicas"
	// ReasonReplicasOutdated, of PlatformVerified: replicas present an older certificate.
	ReasonReplicasOutdated = "ReplicasOutdated"
	// ReasonReplicasNewer, of PlatformVerified: replicas present a newer certificate.
	ReasonReplicasNewer = "ReplicasNewer"
)
