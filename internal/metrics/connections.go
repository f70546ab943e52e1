package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

var (
	connectionNotAfter  = describe("experiencehubconnection_certificate_not_after_timestamp_seconds", "When a certificate of the connection expires; the side is anypoint, salesforce, or renamed.", "side", "certificate")
	connectionSuspended = describe("experiencehubconnection_suspended", "Whether spec.suspend is set: 1 or 0.")
	connectionCondition = describe("experiencehubconnection_condition", "The conditions: 1 for each that there is.", "type", "status", "reason")
)

// ConnectionCollector collects what is told of ExperienceHubConnections from a cache. It is for clusters that have such.
type ConnectionCollector struct{ Cache client.Reader }

// Describe is the prometheus.Collector's.
func (c ConnectionCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connectionNotAfter, connectionSuspended, connectionCondition} {
		descriptions <- d
	}
}

// Collect is the prometheus.Collector's.
func (c ConnectionCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var all v1alpha1.ExperienceHubConnectionList
	if err := c.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		log.Log.Error(err, "listing ExperienceHubConnections for metrics")
		return
	}
	labels := labels{}
	for i := range all.Items {
		collectConnection(labels.gauges(&all.Items[i], metrics), &all.Items[i])
	}
}

func collectConnection(g gauges, c *v1alpha1.ExperienceHubConnection) {
	expires := func(side string, certificate *v1alpha1.ConnectionCertificate) {
		if certificate != nil {
			g.set(connectionNotAfter, float64(certificate.NotAfter.Unix()), g.labels.of("certificate", certificate.Name), g.labels.of("side", side))
		}
	}
	expires("anypoint", c.Status.Anypoint)
	expires("salesforce", c.Status.Salesforce)
	for i := range c.Status.Renamed {
		expires("renamed", &c.Status.Renamed[i])
	}
	g.setCommon(connectionSuspended, c.Spec.Suspend, connectionCondition, c.Status.Conditions)
}
