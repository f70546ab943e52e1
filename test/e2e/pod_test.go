//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/test/world"
)

// restricted makes a pod of containers that runs where restricted Pod Security is enforced. They share a directory in
// memory, /shared.
func restricted(init []corev1.Container, containers ...corev1.Container) corev1.PodSpec {
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: init, Containers: containers}
	world.Restrict(&pod)
	world.ShareMemory(&pod, "shared", "/shared")
	return pod
}

// container runs the program of image with args.
func container(name, image string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: image, Args: args, ImagePullPolicy: corev1.PullIfNotPresent}
}
