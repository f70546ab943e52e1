package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// describe names a metric of ExperienceHubConnections; docs/metrics.md has them all.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("experiencehubconnection_"+name, help, append([]string{"namespace", "name"}, labels...), nil)
}

var (
	connectionNotAfter  = describe("certificate_not_after_timestamp_seconds", "When a certificate of the connection expires; the side is anypoint, salesforce, or renamed.", "side", "certificate")
	connectionSuspended = describe("suspended", "Whether spec.suspend is set: 1 or 0.")
	connectionCondition = describe("condition", "The conditions: 1 for each that there is.", "type", "status", "reason")
)

// ConnectionCollector collects what is told of ExperienceHubConnections from a cache. It is for clusters that have such, which are
// few: Fleet has a way for many.
type ConnectionCollector struct{ Cache client.Reader }

// Describe is the prometheus.Collector's.
func (c ConnectionCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connectionNotAfter, connectionSuspended, connectionCondition} {
		descriptions <- d
	}
}

// Collect is the prometheus.Collector's.
func (c ConnectionCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
	defer cancel()
	var all v1alpha1.ExperienceHubConnectionList
	if err := c.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		log.Log.Error(err, "listing ExperienceHubConnections for metrics")
		return
	}
	for i := range all.Items {
		collectConnection(&all.Items[i], metrics)
	}
}

func collectConnection(c *v1alpha1.ExperienceHubConnection, metrics chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{c.Namespace, c.Name}, labels...)...)
	}
	expires := func(side string, certificate *v1alpha1.ConnectionCertificate) {
		if certificate != nil {
			set(connectionNotAfter, float64(certificate.NotAfter.Unix()), side, certificate.Name)
		}
	}
	expires("anypoint", c.Status.Anypoint)
	expires("salesforce", c.Status.Salesforce)
	for i := range c.Status.Renamed {
		expires("renamed", &c.Status.Renamed[i])
	}
	set(connectionSuspended, float64(oneIf(c.Spec.Suspend)))
	for _, condition := range c.Status.Conditions {
		set(connectionCondition, 1, condition.Type, string(condition.Status), condition.Reason)
	}
}
