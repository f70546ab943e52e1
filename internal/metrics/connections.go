package metrics

import "github.com/flexops/flex-registration-operator/api/v1alpha1"

// connectionFamilies are those of ExperienceHubConnections.
var connectionFamilies = []family[*v1alpha1.ExperienceHubConnection]{
	{"certificate_not_after_timestamp_seconds", "When a certificate of the connection expires; the side is anypoint, salesforce, or renamed.", func(t *text, c *v1alpha1.ExperienceHubConnection) {
		expires := func(side string, certificate *v1alpha1.ConnectionCertificate) {
			if certificate != nil {
				t.sample(certificate.NotAfter.Unix(), "certificate", certificate.Name, "name", c.Name, "namespace", c.Namespace, "side", side)
			}
		}
		expires("anypoint", c.Status.Anypoint)
		expires("salesforce", c.Status.Salesforce)
		for i := range c.Status.Renamed {
			expires("renamed", &c.Status.Renamed[i])
		}
	}},
	{"suspended", suspendedHelp, func(t *text, c *v1alpha1.ExperienceHubConnection) { t.suspended(c, c.Spec.Suspend) }},
	{"condition", conditionHelp, func(t *text, c *v1alpha1.ExperienceHubConnection) { t.conditions(c, c.Status.Conditions) }},
}
