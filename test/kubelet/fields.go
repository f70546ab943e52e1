package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// field is the value of a pod's field, as the downward API has it.
func (w *worker) field(ref *corev1.ObjectFieldSelector) (string, error) {
	meta := &w.pod.ObjectMeta
	switch ref.FieldPath {
	case "metadata.name":
		return meta.Name, nil
	case "metadata.namespace":
		return meta.Namespace, nil
	case "metadata.uid":
		return string(meta.UID), nil
	case "metadata.labels":
		return formatted(meta.Labels), nil
	case "metadata.annotations":
		return formatted(meta.Annotations), nil
	case "spec.nodeName":
		return w.pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return w.pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return hostIP, nil
	case "status.podIP", "status.podIPs":
		return w.address, nil
	}
	for prefix, values := range map[string]map[string]string{"metadata.labels['": meta.Labels, "metadata.annotations['": meta.Annotations} {
		if key, ok := strings.CutPrefix(ref.FieldPath, prefix); ok {
			return values[strings.TrimSuffix(key, "']")], nil
		}
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", ref.FieldPath)
}

func formatted(values map[string]string) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, values[key]))
	}
	return strings.Join(lines, "\n")
}
