package world

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nobody is the user that the vendor's chart runs the gateway as.
const nobody = 65534

// RestrictedNamespace is one that enforces the restricted Pod Security Standard.
func RestrictedNamespace(meta metav1.ObjectMeta) *corev1.Namespace {
	meta.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	return &corev1.Namespace{ObjectMeta: meta}
}

// Restrict sets what the restricted Pod Security Standard wants of a pod and its containers, which have been added to it.
func Restrict(pod *corev1.PodSpec) {
	pod.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](nobody), RunAsGroup: ptr.To[int64](nobody),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			containers[i].SecurityContext = &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}
		}
	}
}

// ShareMemory gives all containers of a pod a directory of their own, in memory.
func ShareMemory(pod *corev1.PodSpec, name, path string) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
		Medium: corev1.StorageMediumMemory, SizeLimit: ptr.To(resource.MustParse("1Mi")),
	}}})
	mountInAll(pod, corev1.VolumeMount{Name: name, MountPath: path})
}

func mountInAll(pod *corev1.PodSpec, mount corev1.VolumeMount) {
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			containers[i].VolumeMounts = append(containers[i].VolumeMounts, mount)
		}
	}
}

// create creates objects, one after the other.
func create(ctx context.Context, admin client.Client, objects ...client.Object) error {
	for _, object := range objects {
		if err := admin.Create(ctx, object); err != nil {
			return fmt.Errorf("create %T %s/%s: %w", object, object.GetNamespace(), object.GetName(), err)
		}
	}
	return nil
}
