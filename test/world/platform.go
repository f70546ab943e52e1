package world

import (
	"context"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// The name of the platform's pod and namespace, its ports, and the file that has its CA wherever that is mounted.
const (
	platformName = "anypoint"
	platformPort = "8443"
	adminPort    = "8080"
	caFile       = "ca.crt"

	// patience bounds each wait for something that takes seconds on an idle machine.
	patience = 2 * time.Minute
	interval = 100 * time.Millisecond
)

// Platform is a simulated Anypoint Platform in a pod. It is driven through the API server's proxy, as pods' addresses may
// not be reachable from here.
type Platform struct {
	simulator.Remote
	// Host is the host and port that gateways and flexctl reach it by: there is no DNS in a cluster of Start's.
	Host string
	// CAFile has the CA that the platform's certificate is under, in PEM.
	CAFile []byte
}

// StartPlatform starts the platform in a namespace of its own. Its state is in memory, so it has to be a bare pod.
func (e *Environment) StartPlatform(ctx context.Context) (*Platform, error) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: platformName, Name: platformName}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{
			Name: "anypoint", Image: e.Image(AnypointImage),
			Args: []string{"--address=:" + platformPort, "--host=$(POD_IP)", "--admin-address=:" + adminPort},
			Env:  []corev1.EnvVar{fromField("POD_IP", "status.podIP")},
		}},
	}}
	Restrict(&pod.Spec)
	if err := create(ctx, e.Admin, RestrictedNamespace(metav1.ObjectMeta{Name: platformName}), pod); err != nil {
		return nil, err
	}
	proxied, err := rest.HTTPClientFor(e.Config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the simulated platform: %w", err)
	}
	server, _, err := rest.DefaultServerUrlFor(e.Config)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	proxy := server.JoinPath("api/v1/namespaces", platformName, "pods", platformName+":"+adminPort, "proxy")
	p := &Platform{Remote: simulator.Remote{URL: proxy.String(), Client: proxied}}
	return p, p.waitUntilServing(ctx, e, pod)
}

// waitUntilServing waits until the platform has an address and answers.
func (p *Platform) waitUntilServing(ctx context.Context, e *Environment, pod *corev1.Pod) error {
	var missing error
	err := wait.PollUntilContextTimeout(ctx, interval, patience, true, func(ctx context.Context) (bool, error) {
		if missing = e.Admin.Get(ctx, client.ObjectKeyFromObject(pod), pod); missing == nil && pod.Status.PodIP == "" {
			missing = fmt.Errorf("its pod has no address: %+v", pod.Status)
		}
		if missing == nil {
			p.CAFile, missing = p.CA(ctx)
		}
		return missing == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the simulated platform to answer: %w: %w", err, missing)
	}
	p.Host = net.JoinHostPort(pod.Status.PodIP, platformPort)
	return nil
}

// fromField is an environment variable with a field of the pod.
func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func (p *Platform) remove(ctx context.Context, e *Environment) error {
	namespace := RestrictedNamespace(metav1.ObjectMeta{Name: platformName})
	if err := e.Admin.Delete(ctx, namespace); err != nil {
		return fmt.Errorf("delete the namespace %s: %w", platformName, err)
	}
	return nil
}
