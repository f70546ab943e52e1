package gateway

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// NewDeployment takes from a whole Deployment what the operator reads of it. Of one that mounts no Secret, and so is no gateway's,
// it takes what says that it doesn't.
func NewDeployment(whole *appsv1.Deployment) *Deployment {
	d := &Deployment{TypeMeta: whole.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: whole.Namespace, Name: whole.Name, UID: whole.UID, ResourceVersion: whole.ResourceVersion, Generation: whole.Generation, DeletionTimestamp: whole.DeletionTimestamp,
	}}
	if end, is := whole.Annotations[metav1.InitialEventsAnnotationKey]; is {
		d.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: end} // It is a bookmark: a watch has shown all that there is.
	}
	spec, pod := &whole.Spec, newPodSpec(&whole.Spec.Template.Spec)
	if !slices.ContainsFunc(pod.Volumes, Volume.mayHoldSecret) {
		d.Spec.Template.Spec.Volumes = pod.Volumes
		return d
	}
	d.Spec = DeploymentSpec{
		Replicas: spec.Replicas, Paused: spec.Paused, MinReadySeconds: spec.MinReadySeconds, ProgressDeadlineSeconds: spec.ProgressDeadlineSeconds,
		Selector: expressions(spec.Selector), Strategy: appsv1.DeploymentStrategy{Type: spec.Strategy.Type},
		Template: PodTemplate{PodMetadata: PodMetadata{Annotations: spec.Template.Annotations}, Spec: *pod},
	}
	if rolling := spec.Strategy.RollingUpdate; rolling != nil {
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: rolling.MaxUnavailable}
	}
	d.Status = whole.Status
	c := progressing(d)
	d.Status.Conditions = nil
	if c.Type != "" {
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: c.Type, Reason: c.Reason, LastUpdateTime: c.LastUpdateTime}}
	}
	return d
}

// expressions select the same as a selector, in a fifth of the memory of a map.
func expressions(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil {
		return nil
	}
	all := slices.Clip(selector.MatchExpressions)
	for _, label := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		all = append(all, metav1.LabelSelectorRequirement{Key: label, Operator: metav1.LabelSelectorOpIn, Values: []string{selector.MatchLabels[label]}})
	}
	return &metav1.LabelSelector{MatchExpressions: all}
}

// newPodSpec takes of the volumes those that may be made from Secrets, and of the containers those that mount one of these.
func newPodSpec(whole *corev1.PodSpec) *PodSpec {
	pod := &PodSpec{
		ImagePullSecrets: whole.ImagePullSecrets, ServiceAccountName: whole.ServiceAccountName, NodeSelector: whole.NodeSelector, Tolerations: whole.Tolerations, Affinity: whole.Affinity,
		RuntimeClassName: whole.RuntimeClassName, HostAliases: whole.HostAliases, DNSPolicy: whole.DNSPolicy, DNSConfig: whole.DNSConfig,
	}
	if security := whole.SecurityContext; security != nil && security.Size() > 0 {
		pod.SecurityContext = security
	}
	for i := range whole.Volumes {
		w := &whole.Volumes[i]
		if v := (Volume{w.Name, w.Secret, w.Projected}); v.mayHoldSecret() || v.Name == registrationVolume {
			pod.Volumes = append(pod.Volumes, v)
		}
	}
	pod.InitContainers, pod.Containers = mountingAny(pod.Volumes, whole.InitContainers), mountingAny(pod.Volumes, whole.Containers)
	return pod
}

func (v Volume) mayHoldSecret() bool { return v.Secret != nil || v.Projected != nil }

func mountingAny(volumes []Volume, whole []corev1.Container) (all []Container) {
	for i := range whole {
		w := &whole[i]
		c := Container{Name: w.Name, Image: w.Image, ImagePullPolicy: w.ImagePullPolicy, RestartPolicy: w.RestartPolicy, SecurityContext: w.SecurityContext}
		for _, mount := range w.VolumeMounts {
			if slices.ContainsFunc(volumes, func(v Volume) bool { return v.Name == mount.Name }) {
				c.VolumeMounts = append(c.VolumeMounts, VolumeMount{mount.Name})
			}
		}
		if w.ReadinessProbe != nil {
			c.ReadinessProbe = &corev1.Probe{}
		}
		if len(c.VolumeMounts) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// UnmarshalJSON is the json.Unmarshaler's.
func (d *Deployment) UnmarshalJSON(data []byte) error {
	whole := &appsv1.Deployment{}
	err := json.Unmarshal(data, whole)
	*d = *NewDeployment(whole)
	return err
}

// Reset and Unmarshal are what apimachinery decodes Protocol Buffers with.
func (d *Deployment) Reset() { *d = Deployment{} }

// Unmarshal takes what is needed of a whole Deployment.
func (d *Deployment) Unmarshal(data []byte) error {
	whole := &appsv1.Deployment{}
	err := whole.Unmarshal(data)
	*d = *NewDeployment(whole)
	return err
}

// Reset and Unmarshal are what apimachinery decodes Protocol Buffers with.
func (l *DeploymentList) Reset() { *l = DeploymentList{} }

// Unmarshal takes what is needed of whole Deployments.
func (l *DeploymentList) Unmarshal(data []byte) error {
	whole := &appsv1.DeploymentList{}
	err := whole.Unmarshal(data)
	*l = DeploymentList{TypeMeta: whole.TypeMeta, ListMeta: whole.ListMeta}
	for i := range whole.Items {
		l.Items = append(l.Items, NewDeployment(&whole.Items[i]))
	}
	return err
}
