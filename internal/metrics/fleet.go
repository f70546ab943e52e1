package metrics

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/http/httpguts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// Fleet tells of the FlexRegistrations in a cache, of the gateways that none covers, and of ExperienceHubConnections. It writes them
// one by one, after what the client library tells of the process: the library would have the series of all in memory at a time, which
// is more than the objects themselves are.
type Fleet struct {
	Cache client.Reader
	// Connections says that the cache has ExperienceHubConnections.
	Connections bool
	// Shard says that the cache has some FlexRegistrations only, so that it can't tell which gateways none covers.
	Shard bool
	// Access says who is served; nil for everybody.
	Access *Access
}

// listTimeout bounds the lists, which ask nobody but the cache, and wait for nothing but its first sight of the cluster.
const listTimeout = 4 * time.Second

// Filter is a server.Options.FilterProvider.
func (f *Fleet) Filter(config *rest.Config, httpClient *http.Client) (server.Filter, error) {
	access := server.Filter(func(_ logr.Logger, next http.Handler) (http.Handler, error) { return next, nil })
	var err error
	if f.Access != nil {
		access, err = f.Access.Filter(config, httpClient)
	}
	return func(log logr.Logger, process http.Handler) (http.Handler, error) {
		return access(log, f.after(log, process))
	}, err
}

var compressors = sync.Pool{New: func() any {
	c, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // which is a level that there is
	return c
}}

// after serves the fleet's metrics after the process's, in the one format that both have.
func (f *Fleet) after(log logr.Logger, process http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &writer{ResponseWriter: w, to: w}
		if httpguts.HeaderValuesContainsToken(r.Header["Accept-Encoding"], "gzip") {
			compressor := compressors.Get().(*gzip.Writer)
			defer compressors.Put(compressor)
			compressor.Reset(w)
			w.Header().Set("Content-Encoding", "gzip")
			answer.to = compressor
		}
		ctx := r.Context()
		r = r.Clone(ctx)
		r.Header.Del("Accept")
		r.Header.Del("Accept-Encoding")
		process.ServeHTTP(answer, r)
		if answer.failed {
			return
		}
		err := f.write(ctx, answer)
		if compressor, is := answer.to.(*gzip.Writer); is {
			err = errors.Join(err, compressor.Close())
		}
		if err != nil && ctx.Err() == nil { // else who asked is gone
			log.Error(err, "telling metrics of FlexRegistrations")
		}
	})
}

// writer answers by way of another one, unless that is an error.
type writer struct {
	http.ResponseWriter
	to     io.Writer
	failed bool
}

// Write is the io.Writer's.
func (w *writer) Write(b []byte) (int, error) { return w.to.Write(b) }

// WriteHeader is the http.ResponseWriter's.
func (w *writer) WriteHeader(status int) {
	if w.failed = status != http.StatusOK; w.failed {
		w.Header().Del("Content-Encoding")
		w.to = w.ResponseWriter
	}
	w.ResponseWriter.WriteHeader(status)
}

// family is a metric of the resources of a kind. All are gauges; docs/metrics.md has them.
type family[T client.Object] struct {
	name, help string
	tell       func(*text, T)
}

const (
	suspendedHelp = "Whether spec.suspend is set: 1 or 0."
	conditionHelp = "The conditions: 1 for each that there is."
)

// families are those of FlexRegistrations.
var families = []family[*v1alpha1.FlexRegistration]{
	{"certificate_not_after_timestamp_seconds", "When the certificate in the gateway's Secret expires.", func(t *text, fr *v1alpha1.FlexRegistration) {
		if fr.Status.Certificate != nil {
			t.moment(fr, &fr.Status.Certificate.NotAfter)
		}
	}},
	{"certificate_not_before_timestamp_seconds", "When the validity of the certificate in the gateway's Secret begins.", func(t *text, fr *v1alpha1.FlexRegistration) {
		if fr.Status.Certificate != nil {
			t.moment(fr, &fr.Status.Certificate.NotBefore)
		}
	}},
	{"serving_certificate_not_after_timestamp_seconds", "When the first of the certificates expires that running pods may hold.", func(t *text, fr *v1alpha1.FlexRegistration) {
		t.moment(fr, fr.Status.ServingUntil)
	}},
	{"renewal_timestamp_seconds", "When the certificate is to be renewed.", func(t *text, fr *v1alpha1.FlexRegistration) {
		t.moment(fr, fr.Status.RenewalTime)
	}},
	{"last_renewal_timestamp_seconds", "When the operator has renewed the registration last.", func(t *text, fr *v1alpha1.FlexRegistration) {
		t.moment(fr, fr.Status.LastRenewalTime)
	}},
	{"failed_attempts", "Failed attempts to renew the present certificate.", func(t *text, fr *v1alpha1.FlexRegistration) {
		t.sample(int64(fr.Status.FailedAttempts), "name", fr.Name, "namespace", fr.Namespace)
	}},
	{"suspended", suspendedHelp, func(t *text, fr *v1alpha1.FlexRegistration) { t.suspended(fr, fr.Spec.Suspend) }},
	{"condition", conditionHelp, func(t *text, fr *v1alpha1.FlexRegistration) { t.conditions(fr, fr.Status.Conditions) }},
}

// write tells what can be told, where not all can be listed.
func (f *Fleet) write(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	t := &text{Writer: bufio.NewWriter(w)}
	return errors.Join(f.writeRegistrations(ctx, t), f.writeConnections(ctx, t), t.Flush())
}

func (f *Fleet) writeRegistrations(ctx context.Context, t *text) error {
	var all v1alpha1.FlexRegistrationList
	if err := f.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing FlexRegistrations: %w", err)
	}
	tell(t, prefix, families, all.Items)
	if f.Shard {
		return nil
	}
	unmanaged, err := gateway.Unmanaged(ctx, f.Cache, metav1.NamespaceAll, all.Items)
	if err != nil {
		return fmt.Errorf("looking for gateways that no FlexRegistration covers: %w", err)
	}
	t.begin("flex_gateway_unmanaged", "Deployments with a Flex Gateway's registration that no FlexRegistration covers: 1 for each.")
	for _, d := range unmanaged {
		t.sample(1, "deployment", d.Name, "namespace", d.Namespace)
	}
	return nil
}

func (f *Fleet) writeConnections(ctx context.Context, t *text) error {
	if !f.Connections {
		return nil
	}
	var all v1alpha1.ExperienceHubConnectionList
	if err := f.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing ExperienceHubConnections: %w", err)
	}
	tell(t, "experiencehubconnection_", connectionFamilies, all.Items)
	return nil
}

// tell writes the metrics of all resources of a kind, in the order of their names, which compresses better than another.
func tell[T client.Object](t *text, start string, families []family[T], all []T) {
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
	})
	for _, m := range families {
		t.begin(start+m.name, m.help)
		for _, one := range all {
			m.tell(t, one)
		}
	}
}

// text is Prometheus's text format, of one family after the other:
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
type text struct {
	*bufio.Writer // it keeps its first error
	family        string
}

// begin begins a family of gauges.
func (t *text) begin(family, help string) {
	t.family = family
	fmt.Fprintf(t, "# HELP %s %s\n# TYPE %s gauge\n", family, help, family) // Flush tells
}

// escaped is a label's value as the format has it.
var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample writes a value, with labels as pairs of a name and a value, in the order of their names.
func (t *text) sample(value int64, labels ...string) {
	b := append(t.AvailableBuffer(), t.family...)
	before := byte('{')
	for i, part := range labels {
		if i%2 == 1 {
			b = append(append(append(b, '"'), escaped.Replace(part)...), '"')
			continue
		}
		b = append(append(append(b, before), part...), '=')
		before = ','
	}
	b = strconv.AppendInt(append(b, "} "...), value, 10)
	_, _ = t.Write(append(b, '\n')) // Flush tells
}

// moment writes a time, where it is known.
func (t *text) moment(of client.Object, at *metav1.Time) {
	if !at.IsZero() {
		t.sample(at.Unix(), "name", of.GetName(), "namespace", of.GetNamespace())
	}
}

func (t *text) suspended(of client.Object, yes bool) {
	value := int64(0)
	if yes {
		value = 1
	}
	t.sample(value, "name", of.GetName(), "namespace", of.GetNamespace())
}

func (t *text) conditions(of client.Object, all []metav1.Condition) {
	for i := range all {
		c := &all[i]
		t.sample(1, "name", of.GetName(), "namespace", of.GetNamespace(), "reason", c.Reason, "status", string(c.Status), "type", c.Type)
	}
}
