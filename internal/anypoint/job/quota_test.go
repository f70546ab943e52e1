package job

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestQuotasOfTheJobsPod(t *testing.T) {
	pod := &corev1.PodSpec{InitContainers: []corev1.Container{restricted("a", "i", nil)}, Containers: []corev1.Container{restricted("b", "i", nil)}}
	quota := func(hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) corev1.ResourceQuota {
		return corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
	}
	none := corev1.ResourceList{}
	for name, c := range map[string]struct {
		quota   corev1.ResourceQuota
		refused string
	}{
		"no limits":                  {quota(none, none), ""},
		"room":                       {quota(resources("2", "1Gi"), resources("1900m", "896Mi")), ""},
		"no room for requests":       {quota(resources("2", "1Gi"), resources("1901m", "0")), "cpu=100m"},
		"requests by their name":     {quota(corev1.ResourceList{"requests.memory": resources("0", "100Mi")["memory"]}, none), "requests.memory=128Mi"},
		"limits":                     {quota(corev1.ResourceList{"limits.cpu": resources("500m", "0")["cpu"]}, none), "limits.cpu=1"},
		"pods":                       {quota(corev1.ResourceList{"pods": resources("3", "0")["cpu"]}, corev1.ResourceList{"pods": resources("3", "0")["cpu"]}), "pods=1"},
		"of pods that end":           {quota(corev1.ResourceList{"pods": resources("0", "0")["cpu"]}, none, corev1.ResourceQuotaScopeTerminating), ""},
		"of pods without a deadline": {quota(corev1.ResourceList{"pods": resources("0", "0")["cpu"]}, none, corev1.ResourceQuotaScopeNotTerminating), "pods=1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := withinQuotas([]corev1.ResourceQuota{quota(none, none), c.quota}, pod)
			if c.refused == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(And(ContainSubstring("exceeded quota: q"), ContainSubstring(c.refused))))
		})
	}
}
