// Package metrics tells Prometheus of FlexRegistrations. What is true of each is collected at the scrape from the manager's
// cache, so that nothing is stuck at an old value, or left behind by an object that is gone; what was done is counted.
package metrics

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// prefix of the names of metrics of FlexRegistrations.
const prefix = "flexregistration_"

// describe names a metric of objects; docs/metrics.md has them all.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"namespace", "name"}, labels...), nil)
}

// gauges sets those of one object. They share their labels: a scrape of a large fleet takes more memory than anything else that an
// operator at rest does.
type gauges struct {
	object  []*dto.LabelPair
	labels  labels
	metrics chan<- prometheus.Metric
}

func (g gauges) set(d *prometheus.Desc, value float64, further ...*dto.LabelPair) {
	g.metrics <- &gauge{d, value, slices.Concat(g.object, further)}
}

// setCommon sets what there is of every kind: whether it is suspended, and its conditions.
func (g gauges) setCommon(suspended *prometheus.Desc, suspend bool, condition *prometheus.Desc, conditions []metav1.Condition) {
	set := 0.0
	if suspend {
		set = 1
	}
	g.set(suspended, set)
	for _, c := range conditions {
		g.set(condition, 1, g.labels.of("reason", c.Reason), g.labels.of("status", string(c.Status)), g.labels.of("type", c.Type))
	}
}

// labels are those of one scrape.
type labels map[[2]string]*dto.LabelPair

func (l labels) of(name, value string) *dto.LabelPair {
	key := [2]string{name, value}
	if l[key] == nil {
		l[key] = &dto.LabelPair{Name: &name, Value: &value}
	}
	return l[key]
}

// gauges are those of an object.
func (l labels) gauges(object client.Object, metrics chan<- prometheus.Metric) gauges {
	return gauges{[]*dto.LabelPair{l.of("name", object.GetName()), l.of("namespace", object.GetNamespace())}, l, metrics}
}

// gauge is a prometheus.Metric with labels that others may have too.
type gauge struct {
	desc   *prometheus.Desc
	value  float64
	labels []*dto.LabelPair
}

// Desc is the prometheus.Metric's.
func (g *gauge) Desc() *prometheus.Desc { return g.desc }

// Write is the prometheus.Metric's.
func (g *gauge) Write(to *dto.Metric) error {
	to.Label, to.Gauge = g.labels, &dto.Gauge{Value: &g.value}
	return nil
}

var (
	notAfter     = describe(prefix+"certificate_not_after_timestamp_seconds", "When the certificate in the gateway's Secret expires.")
	notBefore    = describe(prefix+"certificate_not_before_timestamp_seconds", "When the validity of the certificate in the gateway's Secret begins.")
	servingUntil = describe(prefix+"serving_certificate_not_after_timestamp_seconds", "When the first of the certificates expires that running pods may hold.")
	renewalTime  = describe(prefix+"renewal_timestamp_seconds", "When the certificate is to be renewed.")
	lastRenewal  = describe(prefix+"last_renewal_timestamp_seconds", "When the operator has renewed the registration last.")
	failures     = describe(prefix+"failed_attempts", "Failed attempts to renew the present certificate.")
	suspended    = describe(prefix+"suspended", "Whether spec.suspend is set: 1 or 0.")
	condition    = describe(prefix+"condition", "The conditions: 1 for each that there is.", "type", "status", "reason")
	unmanaged    = prometheus.NewDesc("flex_gateway_unmanaged", "Deployments with a Flex Gateway's registration that no FlexRegistration covers: 1 for each.", []string{"namespace", "deployment"}, nil)
)

// Collector collects from a cache.
type Collector struct {
	Cache client.Reader
	// Shard says that the cache has some FlexRegistrations only, so that it can't tell which gateways none covers.
	Shard bool
}

// scrapeTimeout bounds a scrape, which asks nobody but the cache.
const scrapeTimeout = 10 * time.Second

// Describe is the prometheus.Collector's.
func (c Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{notAfter, notBefore, servingUntil, renewalTime, lastRenewal, failures, suspended, condition, unmanaged} {
		descriptions <- d
	}
}

// Collect is the prometheus.Collector's.
func (c Collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var all v1alpha1.FlexRegistrationList
	if err := c.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		log.Log.Error(err, "listing FlexRegistrations for metrics")
		return
	}
	labels := labels{}
	for i := range all.Items {
		collect(labels.gauges(&all.Items[i], metrics), &all.Items[i])
	}
	if c.Shard {
		return
	}
	found, err := gateway.Unmanaged(ctx, c.Cache, metav1.NamespaceAll, all.Items)
	if err != nil {
		log.Log.Error(err, "looking for unmanaged gateways for metrics")
		return
	}
	for _, d := range found {
		metrics <- &gauge{unmanaged, 1, []*dto.LabelPair{labels.of("deployment", d.Name), labels.of("namespace", d.Namespace)}}
	}
}

func collect(g gauges, fr *v1alpha1.FlexRegistration) {
	moment := func(d *prometheus.Desc, t *metav1.Time) {
		if !t.IsZero() {
			g.set(d, float64(t.Unix()))
		}
	}
	if certificate := fr.Status.Certificate; certificate != nil {
		moment(notAfter, &certificate.NotAfter)
		moment(notBefore, &certificate.NotBefore)
	}
	moment(servingUntil, fr.Status.ServingUntil)
	moment(renewalTime, fr.Status.RenewalTime)
	moment(lastRenewal, fr.Status.LastRenewalTime)
	g.set(failures, float64(fr.Status.FailedAttempts))
	g.setCommon(suspended, fr.Spec.Suspend, condition, fr.Status.Conditions)
}
