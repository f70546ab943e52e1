package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Labels of pods. They are the operator's own: those of the gateway would put the pods behind its Service.
const (
	// LabelComponent, with the value ComponentRenewal, marks the Jobs and pods that renew.
	LabelComponent   = "gateway.flexops.dev/component"
	ComponentRenewal = "renewal"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "flex-registration-operator"
)

// The containers of a pod: two init containers, one after the other, and the main one.
const (
	containerPrepare = "prepare"
	containerFlexctl = "flexctl"
	containerHandoff = "handoff"
)

// Where the volumes are mounted.
const (
	runnerPath  = "/runner"
	attemptPath = "/attempt"
	resultPath  = "/result"
	workPath    = "/tmp"
	accessPath  = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// unprivilegedUser is nobody, which the vendor's chart runs the gateway as.
const unprivilegedUser = 65534

// undisturbed keeps service meshes out of the pods: a proxy beside the main container keeps a Job from ending, and one that is
// not up yet keeps init containers from the network. Istio and Kuma read labels, Linkerd an annotation. It also keeps
// autoscalers from removing the node meanwhile: what was renewed would be lost.
var (
	undisturbedLabels      = map[string]string{"sidecar.istio.io/inject": "false", "kuma.io/sidecar-injection": "disabled"}
	undisturbedAnnotations = map[string]string{
		"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled", "kuma.io/sidecar-injection": "disabled", "consul.hashicorp.com/connect-inject": "false",
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true",
	}
)

// job makes the Job. Its name comes from the claim, and there are no retries in it: whether an attempt may be repeated
// is decided by the plan.
func (a *attempt) job(image string, pullSecrets []corev1.LocalObjectReference, handoff *corev1.Secret) *batchv1.Job {
	target, _ := json.Marshal(corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: handoff.Namespace, Name: handoff.Name, UID: handoff.UID, Labels: handoff.Labels, OwnerReferences: handoff.OwnerReferences,
	}, Type: handoff.Type})
	meta, labels := a.meta(a.intent.Job), map[string]string{}
	for _, some := range []map[string]string{a.Labels, undisturbedLabels, meta.Labels, {LabelComponent: ComponentRenewal}} {
		maps.Copy(labels, some)
	}
	meta.Labels = labels
	gateways := template(a.gateway)
	return &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{
		BackoffLimit:          ptr.To[int32](0),
		ActiveDeadlineSeconds: ptr.To(int64(lifetime.Seconds())),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: maps.Clone(undisturbedAnnotations)},
			Spec: corev1.PodSpec{
				RestartPolicy:                 corev1.RestartPolicyNever,
				ServiceAccountName:            HandoffName(a.fr.Name),
				AutomountServiceAccountToken:  ptr.To(false),
				EnableServiceLinks:            ptr.To(false),
				TerminationGracePeriodSeconds: ptr.To(int64(grace.Seconds())),
				SecurityContext:               a.podSecurity(),
				ImagePullSecrets:              pullSecrets,
				// As the gateway, the pod is to find its nodes, and the platform.
				NodeSelector:     gateways.NodeSelector,
				Tolerations:      gateways.Tolerations,
				Affinity:         nodeAffinity(gateways.Affinity),
				RuntimeClassName: gateways.RuntimeClassName,
				HostAliases:      gateways.HostAliases,
				DNSPolicy:        gateways.DNSPolicy,
				DNSConfig:        gateways.DNSConfig,
				Volumes: []corev1.Volume{
					inMemory("runner", "16Mi"), inMemory("result", "1Mi"), inMemory("work", "32Mi"),
					{Name: "attempt", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: a.intent.Job, DefaultMode: ptr.To[int32](0o444)}}},
					apiAccess(),
				},
				InitContainers: []corev1.Container{
					restricted(containerPrepare, a.OperatorImage, []string{"/manager", CommandPrepare, "--secret=" + string(target), "--access=" + accessPath,
						"--install=/flexctl-runner", "--to=" + runnerPath + "/flexctl-runner"},
						mount("runner", runnerPath, false), mount("access", accessPath, true)),
					a.flexctlContainer(image),
				},
				Containers: []corev1.Container{
					restricted(containerHandoff, a.OperatorImage,
						[]string{"/manager", CommandHandoff, "--secret=" + string(target), "--result=" + resultPath, "--access=" + accessPath},
						mount("result", resultPath, true), mount("access", accessPath, true)),
				},
			},
		},
	}}
}

func (a *attempt) flexctlContainer(image string) corev1.Container {
	c := restricted(containerFlexctl, image, []string{
		runnerPath + "/flexctl-runner",
		"--anypoint-hosts=" + strings.Join(a.Hosts, ","),
		"--attempt=" + attemptPath, "--result=" + resultPath, "--work=" + workPath,
		"--start-before=" + a.intent.Since.Add(startWithin).UTC().Format(time.RFC3339),
		"--deadline=" + renewal.Deadline.String(),
		"--termination-log=" + corev1.TerminationMessagePathDefault,
	}, mount("runner", runnerPath, true), mount("attempt", attemptPath, true), mount("result", resultPath, false), mount("work", workPath, false))
	// What flexctl prints is scrubbed before it is shown: its log is not to be taken for it.
	c.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	// Where the image is the gateway's own, nodes may have it and not be able to pull it.
	if own := a.gateway.Container(); own != nil && own.Image == image {
		c.ImagePullPolicy = own.ImagePullPolicy
	}
	return c
}

// restricted is a container as the restricted Pod Security Standard wants it.
func restricted(name, image string, command []string, mounts ...corev1.VolumeMount) corev1.Container {
	return corev1.Container{
		Name: name, Image: image, Command: command, VolumeMounts: mounts,
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: resources("100m", "128Mi"),
			Limits:   resources("1", "512Mi"),
		},
	}
}

func resources(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// podSecurity is the gateway's user, under the restricted Pod Security Standard.
func (a *attempt) podSecurity() *corev1.PodSecurityContext {
	security := &corev1.PodSecurityContext{
		RunAsNonRoot:   ptr.To(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if a.AssignedUser {
		return security
	}
	security.RunAsUser = ptr.To[int64](unprivilegedUser)
	if pod := template(a.gateway).SecurityContext; pod != nil {
		setUser(security, pod.RunAsUser, pod.RunAsGroup)
		if pod.SELinuxOptions != nil { // Anything but the level is not for restricted pods.
			security.SELinuxOptions = &corev1.SELinuxOptions{Level: pod.SELinuxOptions.Level}
		}
	}
	if container := a.gateway.Container(); container != nil && container.SecurityContext != nil {
		setUser(security, container.SecurityContext.RunAsUser, container.SecurityContext.RunAsGroup)
	}
	return security
}

// setUser takes over a user and a group that are not root.
func setUser(security *corev1.PodSecurityContext, user, group *int64) {
	if ptr.Deref(user, 0) > 0 {
		security.RunAsUser = user
	}
	if ptr.Deref(group, 0) > 0 {
		security.RunAsGroup = group
	}
}

func nodeAffinity(affinity *corev1.Affinity) *corev1.Affinity {
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: affinity.NodeAffinity}
}

func mount(name, at string, readOnly bool) corev1.VolumeMount {
	return corev1.VolumeMount{Name: name, MountPath: at, ReadOnly: readOnly}
}

func inMemory(name, size string) corev1.Volume {
	limit := resource.MustParse(size)
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit}}}
}

// apiAccess is what client-go looks for in a pod, with a token that lives no longer than the Job.
func apiAccess() corev1.Volume {
	return corev1.Volume{Name: "access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To[int32](0o444),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: corev1.ServiceAccountTokenKey, ExpirationSeconds: ptr.To(int64(Hold.Seconds()))}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: corev1.ServiceAccountRootCAKey, Path: corev1.ServiceAccountRootCAKey}},
			}},
		},
	}}}
}

// pullSecrets are the gateway's, its ServiceAccount's, and the operator's flag's.
func (a *attempt) pullSecrets(ctx context.Context) ([]corev1.LocalObjectReference, error) {
	gateways := template(a.gateway)
	all := slices.Clone(gateways.ImagePullSecrets)
	account, name := &corev1.ServiceAccount{}, cmp.Or(gateways.ServiceAccountName, "default")
	if err := a.APIReader.Get(ctx, client.ObjectKey{Namespace: a.fr.Namespace, Name: name}, account); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("getting ServiceAccount %s/%s for its pull secrets: %w", a.fr.Namespace, name, err)
	}
	all = append(all, account.ImagePullSecrets...)
	for _, name := range a.PullSecrets {
		all = append(all, corev1.LocalObjectReference{Name: name})
	}
	var unique []corev1.LocalObjectReference
	for _, reference := range all {
		if !slices.Contains(unique, reference) {
			unique = append(unique, reference)
		}
	}
	return unique, nil
}
