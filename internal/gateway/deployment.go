package gateway

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Deployment is what is read of a Deployment of apps/v1, in less than half of its memory: a fleet's are all in the cache. Its fields are
// named and encoded as there. It is decoded by way of a whole one; see NewDeployment for what is left out.
//
// +kubebuilder:object:root=true
type Deployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              DeploymentSpec          `json:"spec,omitempty"`
	Status            appsv1.DeploymentStatus `json:"status,omitempty"`
}

// DeploymentList is a list of Deployments.
//
// +kubebuilder:object:root=true
type DeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []*Deployment `json:"items"`
}

// DeploymentSpec is how pods are made and replaced.
//
// +kubebuilder:object:generate=true
type DeploymentSpec struct {
	Replicas                *int32                    `json:"replicas,omitempty"`
	Selector                *metav1.LabelSelector     `json:"selector,omitempty"`
	Template                PodTemplate               `json:"template"`
	Strategy                appsv1.DeploymentStrategy `json:"strategy,omitempty"`
	ProgressDeadlineSeconds *int32                    `json:"progressDeadlineSeconds,omitempty"`
	MinReadySeconds         int32                     `json:"minReadySeconds,omitempty"`
	Paused                  bool                      `json:"paused,omitempty"`
}

// PodTemplate is what pods are made of.
//
// +kubebuilder:object:generate=true
type PodTemplate struct {
	PodMetadata `json:"metadata,omitempty"`
	Spec        PodSpec `json:"spec,omitempty"`
}

// PodMetadata is what pods are told by.
//
// +kubebuilder:object:generate=true
type PodMetadata struct {
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PodSpec is what is needed of a gateway's pods to find the registration in them, and to run another pod that finds the same nodes, images
// and hosts.
//
// +kubebuilder:object:generate=true
type PodSpec struct {
	Volumes            []Volume                      `json:"volumes,omitempty"`
	InitContainers     []Container                   `json:"initContainers,omitempty"`
	Containers         []Container                   `json:"containers,omitempty"`
	SecurityContext    *corev1.PodSecurityContext    `json:"securityContext,omitempty"`
	ImagePullSecrets   []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	ServiceAccountName string                        `json:"serviceAccountName,omitempty"`
	NodeSelector       map[string]string             `json:"nodeSelector,omitempty"`
	Tolerations        []corev1.Toleration           `json:"tolerations,omitempty"`
	Affinity           *corev1.Affinity              `json:"affinity,omitempty"`
	RuntimeClassName   *string                       `json:"runtimeClassName,omitempty"`
	HostAliases        []corev1.HostAlias            `json:"hostAliases,omitempty"`
	DNSPolicy          corev1.DNSPolicy              `json:"dnsPolicy,omitempty"`
	DNSConfig          *corev1.PodDNSConfig          `json:"dnsConfig,omitempty"`
}

// Volume is one that may be made from Secrets.
//
// +kubebuilder:object:generate=true
type Volume struct {
	Name      string                        `json:"name"`
	Secret    *corev1.SecretVolumeSource    `json:"secret,omitempty"`
	Projected *corev1.ProjectedVolumeSource `json:"projected,omitempty"`
}

// Container is one that mounts some of the volumes.
//
// +kubebuilder:object:generate=true
type Container struct {
	Name            string                         `json:"name"`
	Image           string                         `json:"image,omitempty"`
	ImagePullPolicy corev1.PullPolicy              `json:"imagePullPolicy,omitempty"`
	RestartPolicy   *corev1.ContainerRestartPolicy `json:"restartPolicy,omitempty"`
	SecurityContext *corev1.SecurityContext        `json:"securityContext,omitempty"`
	VolumeMounts    []VolumeMount                  `json:"volumeMounts,omitempty"`
	// ReadinessProbe is an empty one where there is one.
	ReadinessProbe *corev1.Probe `json:"readinessProbe,omitempty"`
}

// VolumeMount says which volume a container mounts.
type VolumeMount struct {
	Name string `json:"name"`
}
