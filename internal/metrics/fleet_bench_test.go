package metrics

import (
	"context"
	"fmt"
	"io"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// listed is a cache of FlexRegistrations alone.
type listed struct {
	client.Reader
	all []*v1alpha1.FlexRegistration
}

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if found, is := list.(*v1alpha1.FlexRegistrationList); is {
		found.Items = append(found.Items, l.all...)
	}
	return nil
}

// BenchmarkScrape reports what a scrape of a thousand FlexRegistrations allocates.
func BenchmarkScrape(b *testing.B) {
	const n = 1000
	all := make([]*v1alpha1.FlexRegistration, n)
	for i := range all {
		all[i] = full()
		all[i].Name = fmt.Sprintf("gateway-%d", i)
		for range 8 {
			all[i].Status.Conditions = append(all[i].Status.Conditions, metav1.Condition{Type: "Condition", Status: metav1.ConditionTrue, Reason: "AsExpected"})
		}
	}
	fleet := &Fleet{Cache: listed{all: all}}
	b.ReportAllocs()
	for b.Loop() {
		if err := fleet.write(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
