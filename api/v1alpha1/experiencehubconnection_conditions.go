package v1alpha1

// The types of an ExperienceHubConnection's conditions, beside Ready, Reconciling and Stalled.
const (
	// ConditionAnypointCertificateValid is True while the certificate in Secrets Manager has not expired, and Unknown where
	// that could not be found out. It is absent where spec.anypoint is.
	ConditionAnypointCertificateValid = "AnypointCertificateValid"
	// ConditionSalesforceCertificateValid is the same for the certificate in Salesforce.
	ConditionSalesforceCertificateValid = "SalesforceCertificateValid"
	// ConditionActionRequired is True while a person has to do something; its message says what, where, and by when.
	ConditionActionRequired = "ActionRequired"
)

// The reasons of an ExperienceHubConnection's conditions, beside Valid, Expired, Suspended, CredentialsNotFound,
// CredentialsIncomplete, Forbidden, StepFailed and those of calls to Anypoint, which Salesforce shares. docs/experience-hub.md has the cause and
// the remedy of each.
const (
	// ReasonWatching, of Ready: both certificates are valid, and nothing is to be done.
	ReasonWatching = "Watching"
	// ReasonNothingToDo, of ActionRequired.
	ReasonNothingToDo = "NothingToDo"
	// ReasonExpiring, of the certificates' conditions: it is valid, and expires within spec.warnBefore.
	ReasonExpiring = "Expiring"
	// ReasonNotFound, of the certificates' conditions: there is no certificate of that name.
	ReasonNotFound = "NotFound"
	// ReasonCertificateNotFound: one of the certificates does not exist.
	ReasonCertificateNotFound = "CertificateNotFound"
	// ReasonRenamed, of SalesforceCertificateValid: the certificate was renamed, and there is no new one yet.
	ReasonRenamed = "Renamed"
	// ReasonReconnectAfterExpiry: the certificate in Anypoint expires soon, or has expired.
	ReasonReconnectAfterExpiry = "ReconnectAfterExpiry"
	// ReasonRotateByHand: the certificate in Salesforce is about to expire, and rotation.policy is Notify.
	ReasonRotateByHand = "RotateByHand"
	// ReasonLoginRequired: the certificate in Salesforce was renamed, and an administrator's login makes the new one.
	ReasonLoginRequired = "LoginRequired"
	// ReasonRenameRefused: Salesforce does not rename the certificate.
	ReasonRenameRefused = "RenameRefused"
	// ReasonDeletionRefused: Salesforce does not delete the renamed certificate, as a rule because something still uses it.
	ReasonDeletionRefused = "DeletionRefused"
	// ReasonDeleteByHand: there is a renamed certificate that the operator does not delete.
	ReasonDeleteByHand = "DeleteByHand"
	// ReasonSalesforceHostNotAllowed: credentials may not be sent to the Salesforce organization's host.
	ReasonSalesforceHostNotAllowed = "SalesforceHostNotAllowed"
)
