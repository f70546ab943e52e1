package kubelet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// unsupported says what of the pod this kubelet doesn't play, if anything.
func unsupported(pod *corev1.Pod) string {
	if pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
		return fmt.Sprintf("its restart policy is %s, and only Never is played", pod.Spec.RestartPolicy)
	}
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil {
			return fmt.Sprintf("the init container %s has the restart policy %s, and sidecars are not played", c.Name, *c.RestartPolicy)
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret == nil && v.ConfigMap == nil && v.EmptyDir == nil && v.Projected == nil && v.DownwardAPI == nil {
			return fmt.Sprintf("the volume %s is of a type that is not played", v.Name)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret == nil && s.ConfigMap == nil && s.ServiceAccountToken == nil && s.DownwardAPI == nil {
				return fmt.Sprintf("the projected volume %s has a source that is not played", v.Name)
			}
		}
	}
	return ""
}
