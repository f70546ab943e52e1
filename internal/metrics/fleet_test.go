package metrics

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

var noon = time.Unix(1_700_000_000, 0)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: noon.Add(d)} }

// full is a FlexRegistration of which everything is known.
func full() *v1alpha1.FlexRegistration {
	return &v1alpha1.FlexRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "ingress"},
		Spec:       v1alpha1.FlexRegistrationSpec{Suspend: true, TargetRef: &v1alpha1.TargetReference{Name: "ingress"}},
		Status: v1alpha1.FlexRegistrationStatus{
			Certificate:  &v1alpha1.CertificateStatus{NotBefore: *at(-time.Hour), NotAfter: *at(3 * time.Hour)},
			ServingUntil: at(time.Hour), RenewalTime: at(2 * time.Hour), LastRenewalTime: at(-time.Minute), FailedAttempts: 4,
			Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "RolloutFailed"}},
		},
	}
}

func unmanagedDeployment() *gateway.Deployment {
	d := &gateway.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "forgotten"}}
	d.Spec.Template.Spec.Volumes = []gateway.Volume{{Name: "registration", Secret: &corev1.SecretVolumeSource{SecretName: "forgotten"}}}
	return d
}

// TestShard tells nothing of gateways without a FlexRegistration where others' are out of sight.
func TestShard(t *testing.T) {
	for _, shard := range []bool{false, true} {
		g := NewWithT(t)
		series := samples(scrape(t, &Fleet{Cache: cached(t, full(), unmanagedDeployment()), Shard: shard}, prometheus.NewPedanticRegistry()))
		g.Expect(series).To(HaveKey("flexregistration_suspended{name=ingress,namespace=gateway}"))
		if told := HaveKey("flex_gateway_unmanaged{deployment=forgotten,namespace=gateway}"); shard {
			g.Expect(series).NotTo(told)
		} else {
			g.Expect(series).To(told)
		}
	}
}

func cached(t testing.TB, objects ...client.Object) client.WithWatch {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(gateway.NewScheme()).WithObjects(objects...).Build()
}

// serving serves a fleet after a process.
func serving(t *testing.T, fleet *Fleet, log logr.Logger, process http.Handler) http.Handler {
	t.Helper()
	g := NewWithT(t)
	filter, err := fleet.Filter(nil, nil)
	g.Expect(err).NotTo(HaveOccurred())
	handler, err := filter(log, process)
	g.Expect(err).NotTo(HaveOccurred())
	return handler
}

// unzipped is what was compressed, all of it.
func unzipped(t *testing.T, r io.Reader) string {
	t.Helper()
	g := NewWithT(t)
	zipped, err := gzip.NewReader(r)
	g.Expect(err).NotTo(HaveOccurred())
	all, err := io.ReadAll(zipped)
	g.Expect(err).NotTo(HaveOccurred())
	return string(all)
}

// scrape gets what an operator tells, as Prometheus does.
func scrape(t *testing.T, fleet *Fleet, registry *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	g := NewWithT(t)
	server := httptest.NewServer(serving(t, fleet, logr.Discard(), promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	defer server.Close()
	var bodies []string
	for _, encoding := range []string{"gzip", "identity"} {
		request, err := http.NewRequest(http.MethodGet, server.URL, nil)
		g.Expect(err).NotTo(HaveOccurred())
		// As Prometheus asks, which would have it otherwise if it could.
		request.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5")
		request.Header.Set("Accept-Encoding", encoding)
		answer, err := http.DefaultTransport.RoundTrip(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer answer.Body.Close()
		g.Expect(answer).To(HaveHTTPStatus(http.StatusOK))
		g.Expect(answer.Header.Values("Content-Type")).To(ConsistOf(HavePrefix("text/plain; version=0.0.4")))
		if encoding == "gzip" {
			g.Expect(answer.Header.Values("Content-Encoding")).To(ConsistOf("gzip"))
			bodies = append(bodies, unzipped(t, answer.Body))
			continue
		}
		all, err := io.ReadAll(answer.Body)
		g.Expect(err).NotTo(HaveOccurred())
		bodies = append(bodies, string(all))
	}
	g.Expect(bodies[0]).To(Equal(bodies[1]))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(bodies[0]))
	g.Expect(err).NotTo(HaveOccurred())
	return families
}

// samples are all series with their values; of a histogram the count and the sum.
func samples(families map[string]*dto.MetricFamily) map[string]float64 {
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			name := func(suffix string) string { return f.GetName() + suffix + "{" + strings.Join(labels, ",") + "}" }
			if h := m.GetHistogram(); h != nil {
				series[name("_count")], series[name("_sum")] = float64(h.GetSampleCount()), h.GetSampleSum()
			} else {
				series[name("")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return series
}

// expectSeries expects some series with their values, among others.
func expectSeries(t *testing.T, series, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		NewWithT(t).Expect(series).To(HaveKeyWithValue(name, value))
	}
}

// counting is an activity with the registry that it is told by.
func counting() (*Activity, *prometheus.Registry) {
	registry := prometheus.NewPedanticRegistry()
	return NewActivity(registry), registry
}

// everything is all that an operator tells of some objects, which has done nothing yet.
func everything(t *testing.T, objects ...client.Object) map[string]float64 {
	t.Helper()
	_, registry := counting()
	return samples(scrape(t, &Fleet{Cache: cached(t, objects...), Connections: true}, registry))
}

// answering serves a fleet after a process's answer, and returns what is answered to a scraper that takes gzip, and what is logged.
func answering(t *testing.T, fleet *Fleet, process http.HandlerFunc) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var logged strings.Builder
	handler := serving(t, fleet, funcr.New(func(_, line string) { logged.WriteString(line) }, funcr.Options{}), process)
	request, answer := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
	request.Header.Set("Accept-Encoding", "gzip")
	handler.ServeHTTP(answer, request)
	return answer, logged.String()
}

// TestWhatFailsIsTold in clear, and nothing after it.
func TestWhatFailsIsTold(t *testing.T) {
	answer, _ := answering(t, &Fleet{Cache: cached(t, full())}, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "a collector failed", http.StatusInternalServerError)
	})
	NewWithT(t).Expect(answer).To(And(HaveHTTPStatus(http.StatusInternalServerError), HaveHTTPBody("a collector failed\n"), Not(HaveHTTPHeaderWithValue("Content-Encoding", "gzip"))))
}

// TestWhatCanBeToldIsTold where some of it can't be listed.
func TestWhatCanBeToldIsTold(t *testing.T) {
	for kind, want := range map[string]string{
		"*v1alpha1.FlexRegistrationList": "the process's\n",
		"*gateway.DeploymentList":        `flexregistration_suspended{name="ingress",namespace="gateway"} 1`,
	} {
		g := NewWithT(t)
		reader := interceptor.NewClient(cached(t, full()), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if fmt.Sprintf("%T", list) == kind {
					return errors.New("not synced")
				}
				return c.List(ctx, list, options...)
			},
		})
		answer, logged := answering(t, &Fleet{Cache: reader}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the process's\n") })
		g.Expect(answer).To(HaveHTTPStatus(http.StatusOK))
		g.Expect(unzipped(t, answer.Body)).To(And(HavePrefix("the process's\n"), ContainSubstring(want)))
		g.Expect(logged).To(And(ContainSubstring("metrics of FlexRegistrations"), ContainSubstring("not synced")))
	}
}

// TestOrder is that of names, whatever the cache's is.
func TestOrder(t *testing.T) {
	g := NewWithT(t)
	var all []*v1alpha1.FlexRegistration
	for _, key := range []string{"b/a", "a/c", "a/b"} {
		fr := &v1alpha1.FlexRegistration{}
		fr.Namespace, fr.Name, _ = strings.Cut(key, "/")
		all = append(all, fr)
	}
	var written strings.Builder
	g.Expect((&Fleet{Cache: listed{all: all}}).write(t.Context(), &written)).To(Succeed())
	g.Expect(written.String()).To(ContainSubstring(`
flexregistration_suspended{name="b",namespace="a"} 0
flexregistration_suspended{name="c",namespace="a"} 0
flexregistration_suspended{name="a",namespace="b"} 0
`))
}

func TestFlexRegistrationsAreCollected(t *testing.T) {
	expectSeries(t, everything(t, full(), unmanagedDeployment()), map[string]float64{
		"flexregistration_serving_certificate_not_after_timestamp_seconds{name=ingress,namespace=gateway}":        1_700_003_600,
		"flexregistration_certificate_not_after_timestamp_seconds{name=ingress,namespace=gateway}":                1_700_010_800,
		"flexregistration_certificate_not_before_timestamp_seconds{name=ingress,namespace=gateway}":               1_699_996_400,
		"flexregistration_renewal_timestamp_seconds{name=ingress,namespace=gateway}":                              1_700_007_200,
		"flexregistration_last_renewal_timestamp_seconds{name=ingress,namespace=gateway}":                         1_699_999_940,
		"flexregistration_failed_attempts{name=ingress,namespace=gateway}":                                        4,
		"flexregistration_suspended{name=ingress,namespace=gateway}":                                              1,
		"flexregistration_condition{name=ingress,namespace=gateway,reason=RolloutFailed,status=False,type=Ready}": 1,
		"flex_gateway_unmanaged{deployment=forgotten,namespace=gateway}":                                          1,
	})
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	unknown := &v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "ingress"}}
	for name := range everything(t, unknown) {
		NewWithT(t).Expect(name).NotTo(ContainSubstring("timestamp"))
	}
}

func TestWhatIsGoneIsGone(t *testing.T) {
	for name := range everything(t) {
		NewWithT(t).Expect(name).NotTo(ContainSubstring("name="))
	}
}

func TestActivityIsCounted(t *testing.T) {
	a, registry := counting()
	claimed := renewal.Record{Intent: &renewal.Intent{Since: noon.Add(-20 * time.Second)}}
	a.Recorded(claimed, claimed.Failed(renewal.Failure{State: renewal.State(anypoint.RateLimited)}, renewal.Certificate{}, noon))
	a.Recorded(claimed, claimed.Succeeded(renewal.Certificate{Fingerprint: "new"}, "", noon))
	rolling := renewal.Record{Rollout: renewal.Rollout{Sequence: 1, Started: noon.Add(-5 * time.Minute)}}
	a.Recorded(rolling, rolling.RolloutFailed("it crashes", noon))
	a.Recorded(rolling, rolling.Told(renewal.Entry{Time: noon, Action: renewal.ActionRollout, Outcome: renewal.Succeeded}))
	for _, action := range []string{"Restoration", "Adoption", "Adoption", "Pin"} {
		a.Recorded(renewal.Record{}, renewal.Record{}.Told(renewal.Entry{Time: noon, Action: action, Outcome: renewal.Succeeded}))
	}
	a.Requested("token", 200)
	a.Requested("token", 0)
	expectSeries(t, samples(scrape(t, &Fleet{Cache: cached(t)}, registry)), map[string]float64{
		"flexregistration_renewals_total{reason=RateLimited,result=failed}": 1,
		"flexregistration_renewals_total{reason=,result=succeeded}":         1,
		"flexregistration_renewals_total{reason=MFARequired,result=failed}": 0,
		"flexregistration_renewal_duration_seconds_count{result=succeeded}": 1,
		"flexregistration_renewal_duration_seconds_sum{result=failed}":      20,
		"flexregistration_rollouts_total{result=failed}":                    1,
		"flexregistration_rollouts_total{result=succeeded}":                 1,
		"flexregistration_rollout_duration_seconds_sum{result=succeeded}":   300,
		"flexregistration_restorations_total{}":                             1,
		"flexregistration_adoptions_total{}":                                2,
		"flexregistration_pins_total{}":                                     1,
		"flexregistration_anypoint_requests_total{call=token,code=200}":     1,
		"flexregistration_anypoint_requests_total{call=token,code=0}":       1,
	})
}

// TestEachReasonIsThereFromTheStart holds the list of reasons against the declarations of package anypoint: what is missing
// there would show only from its second failure on.
func TestEachReasonIsThereFromTheStart(t *testing.T) {
	g := NewWithT(t)
	source, err := os.ReadFile("../anypoint/errors.go")
	g.Expect(err).NotTo(HaveOccurred())
	declared := regexp.MustCompile(`(?m)^\t\w+ +Class = "(\w+)"$`).FindAllStringSubmatch(string(source), -1)
	g.Expect(declared).NotTo(BeEmpty())
	g.Expect(reasons).To(HaveLen(len(declared)))
	series := everything(t)
	for _, d := range declared {
		g.Expect(series).To(HaveKeyWithValue("flexregistration_renewals_total{reason="+d[1]+",result=failed}", 0.0))
	}
}

func TestNothingIsCountedWhereNobodyAsks(*testing.T) {
	(*Activity)(nil).Recorded(renewal.Record{}, renewal.Record{}.Told(renewal.Entry{Action: "Pin"}))
}

func TestNamesFollowTheConventions(t *testing.T) {
	g := NewWithT(t)
	a, registry := counting()
	a.Requested("token", 200)
	families := scrape(t, &Fleet{Cache: cached(t, full(), unmanagedDeployment(), connection()), Connections: true}, registry)
	problems, err := promlint.NewWithMetricFamilies(slices.Collect(maps.Values(families))).Lint()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(problems).To(BeEmpty())
}

// TestDocumentation holds docs/metrics.md to list exactly the metrics that there are, with their types and labels.
func TestDocumentation(t *testing.T) {
	g := NewWithT(t)
	a, registry := counting()
	a.Requested("token", 200)
	var exist []string
	for _, f := range scrape(t, &Fleet{Cache: cached(t, full(), unmanagedDeployment(), connection()), Connections: true}, registry) {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		exist = append(exist, row(f.GetName(), strings.ToLower(f.GetType().String()), labels))
	}
	// All that is described was there to be seen.
	descriptions := make(chan *prometheus.Desc, 100)
	registry.Describe(descriptions)
	g.Expect(exist).To(HaveLen(len(descriptions)+len(families)+len(connectionFamilies)+1), "and unmanaged gateways")

	page, err := os.ReadFile("../../docs/metrics.md")
	g.Expect(err).NotTo(HaveOccurred())
	var documented []string
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(line, "|")
		documented = append(documented, row(strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2]), regexp.MustCompile(`\w+`).FindAllString(cells[3], -1)))
	}
	g.Expect(documented).To(ConsistOf(exist))
}

func row(name, kind string, labels []string) string {
	slices.Sort(labels)
	return name + " " + kind + " " + strings.Join(labels, ",")
}
