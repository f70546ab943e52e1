package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/job"
	"github.com/flexops/flex-registration-operator/test/kubelet"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// operatorImage is the image with the operator's own programs.
const operatorImage = "flex-registration-operator:faults"

// Containers of a renewal's pod: the one that asks the platform, and the one after it.
const (
	flexctlContainer = "flexctl"
	handoffContainer = "handoff"
)

// PodOptions say what pods are run with.
type PodOptions struct {
	// Config connects as a cluster administrator.
	Config *rest.Config
	// Directory receives the pods' files.
	Directory string
	// Manager, Runner and Flexctl are programs: the operator, what it runs flexctl with, and the simulated flexctl.
	Manager, Runner, Flexctl string
	// CABundle are the certificates of the platforms, in PEM.
	CABundle []byte
}

// Pods plays the kubelet for the pods of all runs, and breaks them as each run says.
type Pods struct {
	options PodOptions
	kubelet *kubelet.Kubelet
	proxy   *proxy
	runs    sync.Map // by namespace
}

// StartPods begins to run pods.
func StartPods(ctx context.Context, o PodOptions) (*Pods, error) {
	p := &Pods{options: o}
	var err error
	if p.proxy, err = startProxy(o.Config, p.wrap); err != nil {
		return nil, fmt.Errorf("standing between pods and the API server: %w", err)
	}
	config, err := p.proxy.pretend(o.Config)
	if err != nil {
		p.proxy.server.Close()
		return nil, err
	}
	gatewayImage := operator.Deployment("", "", "", 0).Spec.Template.Spec.Containers[0].Image
	if p.kubelet, err = kubelet.Start(ctx, kubelet.Options{
		Config: config, Directory: o.Directory, Hold: p.hold,
		Images: map[string]kubelet.Image{
			operatorImage: {Programs: map[string]string{"/manager": o.Manager, "/flexctl-runner": o.Runner}},
			gatewayImage:  {Programs: map[string]string{"flexctl": o.Flexctl}},
		},
	}); err != nil {
		p.proxy.server.Close()
		return nil, err
	}
	return p, nil
}

// Stop ends what runs.
func (p *Pods) Stop() {
	p.kubelet.Stop()
	p.proxy.server.Close()
}

// config is how a run's operator makes Jobs.
func (p *Pods) config(platform string) *job.Config {
	return &job.Config{
		OperatorImage: operatorImage, Hosts: []string{platform}, ManageRBAC: true,
		Network: anypoint.Network{CABundle: p.options.CABundle, Proxy: map[string]string{"NO_PROXY": "127.0.0.1"}},
	}
}

// of finds the run that goes on in a namespace.
func (p *Pods) of(namespace string) *run {
	r, _ := p.runs.Load(namespace)
	found, _ := r.(*run)
	return found
}

// wrap breaks the pods' own calls.
func (p *Pods) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		_, rest, _ := strings.Cut(request.URL.Path, "/namespaces/")
		namespace, _, _ := strings.Cut(rest, "/")
		r := p.of(namespace)
		if r == nil {
			return nil, errors.New("the run is over")
		}
		return r.breaker.Wrap(Pod, next).RoundTrip(request)
	})
}

// hold is called before each container of each pod, and before the pod's volumes are there.
func (p *Pods) hold(ctx context.Context, pod *corev1.Pod, container string) {
	r := p.of(pod.Namespace)
	if r == nil || container == "" {
		return
	}
	if err := p.trustProxy(pod); err != nil {
		r.spoil(err)
	}
	r.starts(ctx, pod, container)
}

// trustProxy puts the proxy's certificate in the place of the API server's, beside the pod's token.
func (p *Pods) trustProxy(pod *corev1.Pod) error {
	tokens, err := filepath.Glob(filepath.Join(p.options.Directory, string(pod.UID), "volumes", "*", corev1.ServiceAccountTokenKey))
	if err != nil || len(tokens) != 1 {
		return fmt.Errorf("the pod has %d tokens, want 1: %w", len(tokens), errors.Join(err, os.ErrNotExist))
	}
	file := filepath.Join(filepath.Dir(tokens[0]), corev1.ServiceAccountRootCAKey)
	// It is a symbolic link to a file that can't be written to.
	if err := errors.Join(os.Remove(file), os.WriteFile(file, p.proxy.ca, 0o600)); err != nil {
		return fmt.Errorf("making the pod trust the proxy: %w", err)
	}
	return nil
}

// printed is what a pod's containers have printed.
func (p *Pods) printed(pod *corev1.Pod) string {
	var all strings.Builder
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		all.WriteString(p.kubelet.Output(client.ObjectKeyFromObject(pod), c.Name))
	}
	return all.String()
}
