package job

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

// foreignScopes are those of quotas that don't count the pods of Jobs as they are made here.
var foreignScopes = []corev1.ResourceQuotaScope{
	corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity,
}

// withinQuotas says which quota would not let a pod be created. The API server does so only when the Job's controller makes
// it. The error is that of the API server.
func withinQuotas(quotas []corev1.ResourceQuota, pod *corev1.PodSpec) error {
	needs := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1"), "count/pods": resource.MustParse("1")}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) { // They run one after the other.
		for name, quantity := range c.Resources.Requests {
			needs[name], needs["requests."+name] = quantity, quantity
		}
		for name, quantity := range c.Resources.Limits {
			needs["limits."+name] = quantity
		}
	}
	for i := range quotas {
		q := &quotas[i]
		scopes := slices.Clone(q.Spec.Scopes)
		if q.Spec.ScopeSelector != nil {
			for _, selected := range q.Spec.ScopeSelector.MatchExpressions {
				scopes = append(scopes, selected.ScopeName)
			}
		}
		if slices.ContainsFunc(scopes, func(s corev1.ResourceQuotaScope) bool { return slices.Contains(foreignScopes, s) }) {
			continue
		}
		for name, need := range needs {
			hard, limited := q.Status.Hard[name]
			if used := q.Status.Used[name]; limited {
				after := used.DeepCopy()
				after.Add(need)
				if after.Cmp(hard) > 0 {
					return apierrors.NewForbidden(corev1.Resource("pods"), "", fmt.Errorf("exceeded quota: %s, requested: %s=%s, used: %s, limited: %s", q.Name, name, need.String(), used.String(), hard.String()))
				}
			}
		}
	}
	return nil
}
