package world

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/images"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// GatewayOptions say what gateway is made.
type GatewayOptions struct {
	// Namespace is there already.
	Namespace string
	Image     images.Image
	Replicas  int32
	// Remaining is how long its certificate is valid; negative: it has expired.
	Remaining time.Duration
}

// CreateGateway registers a gateway at the platform, and makes what the vendor's chart makes of it. Its names are those
// of package operator.
func (e *Environment) CreateGateway(ctx context.Context, p *Platform, o GatewayOptions) (simulator.Gateway, error) {
	registered, err := p.Register(ctx, operator.GatewayName, o.Remaining)
	if err != nil {
		return simulator.Gateway{}, fmt.Errorf("register the gateway: %w", err)
	}
	trust := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: "anypoint-ca"},
		Data:       map[string]string{caFile: string(p.CAFile)},
	}
	return registered, create(ctx, e.Admin, trust,
		operator.RegistrationSecret(o.Namespace, registered.File), e.gatewayDeployment(o, trust.Name))
}

// CreateCredentials makes a connected app at the platform, and the Secret with its credentials.
func (e *Environment) CreateCredentials(ctx context.Context, p *Platform, namespace string) (clientSecret string, err error) {
	clientID, clientSecret, err := p.AddConnectedApp(ctx)
	if err != nil {
		return "", fmt.Errorf("make a connected app: %w", err)
	}
	return clientSecret, create(ctx, e.Admin, operator.CredentialsSecret(namespace, clientID, clientSecret))
}

// WaitForPods waits until all pods of a Deployment run, ready or not.
func (e *Environment) WaitForPods(ctx context.Context, d *appsv1.Deployment) error {
	running := 0
	err := wait.PollUntilContextTimeout(ctx, interval, patience, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := e.Admin.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
			return false, err
		}
		running = 0
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		return running == int(*d.Spec.Replicas), nil
	})
	if err != nil {
		return fmt.Errorf("wait for the pods of Deployment %s/%s, of which %d run: %w", d.Namespace, d.Name, running, err)
	}
	return nil
}

// gatewayDeployment is that of package operator with all that a gateway needs to run: the platform's CA to trust, a place
// for the socket of its probes, and the probes.
func (e *Environment) gatewayDeployment(o GatewayOptions, trust string) *appsv1.Deployment {
	const trusted, temporary = "/etc/anypoint", "/tmp"
	d := operator.Deployment(o.Namespace, operator.GatewayName, operator.SecretName, o.Replicas)
	pod := &d.Spec.Template.Spec
	container := &pod.Containers[0]
	container.Image = e.Image(o.Image)
	container.Env = []corev1.EnvVar{
		fromField("POD_NAME", "metadata.name"), fromField("POD_NAMESPACE", "metadata.namespace"),
		{Name: "SSL_CERT_FILE", Value: trusted + "/" + caFile}, {Name: "FLEX_GATEWAY_PROBE_DIRECTORY", Value: temporary},
	}
	container.ReadinessProbe, container.LivenessProbe = flexctlProbe("readiness"), flexctlProbe("liveness")
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: trust, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: trust}},
	}})
	mountInAll(pod, corev1.VolumeMount{Name: trust, MountPath: trusted, ReadOnly: true})
	ShareMemory(pod, "temporary", temporary)
	Restrict(pod)
	return d
}

func flexctlProbe(check string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"flexctl", "probe", "--check=" + check}}},
		PeriodSeconds: 1,
		// A busy machine takes its time to start a program in a container.
		TimeoutSeconds: 10, FailureThreshold: 6,
	}
}
