package metrics

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// connection is one of which everything is known. The names of certificates are other services'.
func connection() *v1alpha1.ExperienceHubConnection {
	return &v1alpha1.ExperienceHubConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hub", Name: "hub"},
		Spec:       v1alpha1.ExperienceHubConnectionSpec{Suspend: true},
		Status: v1alpha1.ExperienceHubConnectionStatus{
			Anypoint:   &v1alpha1.ConnectionCertificate{Name: "\"ä\"\\\n", NotAfter: *at(0)},
			Salesforce: &v1alpha1.ConnectionCertificate{Name: "Anypoint", NotAfter: *at(1e9)},
			Renamed:    []v1alpha1.ConnectionCertificate{{Name: "Anypoint_to_expire_20231114", NotAfter: *at(2e9)}},
			Conditions: []metav1.Condition{{Type: "ActionRequired", Status: metav1.ConditionTrue, Reason: "LoginRequired"}},
		},
	}
}

func TestConnectionsAreCollected(t *testing.T) {
	expectSeries(t, everything(t, connection()), map[string]float64{
		"experiencehubconnection_certificate_not_after_timestamp_seconds{certificate=\"ä\"\\\n,name=hub,namespace=hub,side=anypoint}":                  1_700_000_000,
		"experiencehubconnection_certificate_not_after_timestamp_seconds{certificate=Anypoint,name=hub,namespace=hub,side=salesforce}":                 1_700_000_001,
		"experiencehubconnection_certificate_not_after_timestamp_seconds{certificate=Anypoint_to_expire_20231114,name=hub,namespace=hub,side=renamed}": 1_700_000_002,
		"experiencehubconnection_suspended{name=hub,namespace=hub}":                                                                                    1,
		"experiencehubconnection_condition{name=hub,namespace=hub,reason=LoginRequired,status=True,type=ActionRequired}":                               1,
	})
}
