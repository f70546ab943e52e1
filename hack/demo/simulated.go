package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	namespace         = "gateway"
	operatorNamespace = "flex-registration-operator"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":flex-registration-operator"
	replicas          = 3
	remaining         = 10 * 24 * time.Hour // of the gateway's certificate
)

// simulated is everything that the story happens in where the node is simulated.
type simulated struct {
	*terminal // its directory has programs
	logs      string

	cluster  *controlplane.ControlPlane
	admin    client.Client
	platform *simulator.Platform
	gateway  simulator.Gateway
	operator *process
	// organization is Salesforce's, and arguments are the operator's, where the story is about API Experience Hub.
	organization *salesforce.Organization
	arguments    []string

	undo []func() error
}

func newSimulated() (*simulated, error) {
	t, err := newTerminal()
	if err != nil {
		return nil, err
	}
	w := &simulated{terminal: t}
	if w.logs, err = os.MkdirTemp("", "flex-registration-demo-logs-"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.dir))
	}
	return w, nil
}

func (w *simulated) log(program string) string { return filepath.Join(w.logs, program+".log") }

// parts are what a renewal takes.
func (w *simulated) parts() []part {
	return []part{
		{"a Kubernetes control plane, with one simulated node", w.startCluster},
		{"a simulated Anypoint Platform, and its flexctl", w.startPlatform},
		{"the operator, with the rights that config/rbac gives it", w.startOperator},
		{"kubectl's plugin", w.buildPlugin},
		{"a gateway of three replicas", w.startGateway},
	}
}

// tearDown ends in reverse order what was started.
func (w *simulated) tearDown(keepLogs bool) error {
	var errs []error
	for i := len(w.undo) - 1; i >= 0; i-- {
		errs = append(errs, w.undo[i]())
	}
	errs = append(errs, os.RemoveAll(w.dir))
	if !keepLogs {
		errs = append(errs, os.RemoveAll(w.logs))
	}
	return errors.Join(errs...)
}

func (w *simulated) startCluster(ctx context.Context) (err error) {
	w.cluster, err = controlplane.Start(ctx, controlplane.Options{CRDs: operator.CRDs(w.root), LogDir: w.logs})
	if err != nil {
		return err
	}
	w.undo = append(w.undo, w.cluster.Stop)
	w.use(w.cluster.Kubeconfig, w.cluster.Kubectl)
	w.admin, err = client.New(w.cluster.Config, client.Options{Scheme: operator.Scheme()})
	return err
}

func (w *simulated) startPlatform(context.Context) (err error) {
	if w.platform, err = simulator.Start(simulator.Options{}); err != nil {
		return err
	}
	w.undo = append(w.undo, w.platform.Close)
	if err := w.platform.WriteCA(w.caFile()); err != nil {
		return err
	}
	_, err = simulator.BuildFlexctl(w.dir)
	return err
}

func (w *simulated) caFile() string { return filepath.Join(w.dir, "ca.crt") }

func (w *simulated) startOperator(ctx context.Context) error {
	for _, command := range []string{
		"go build -o '" + w.dir + "/manager' .",
		"kubectl create namespace " + operatorNamespace,
		"kubectl apply -k config/rbac",
	} {
		if err := w.quietly(ctx, command); err != nil {
			return err
		}
	}
	kubeconfig, err := w.cluster.UserKubeconfig(operatorUser)
	if err != nil {
		return err
	}
	log, err := os.Create(w.log("manager"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the operator has its own descriptor
	command := exec.Command(filepath.Join(w.dir, "manager"), append(w.arguments,
		"--flexctl="+filepath.Join(w.dir, "flexctl"), "--anypoint-hosts="+w.platform.Host(),
		"--leader-elect", "--experience-hub", "--leader-election-namespace="+operatorNamespace,
		"--metrics-bind-address=0", "--health-probe-bind-address=0")...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + w.dir, "KUBECONFIG=" + kubeconfig, "SSL_CERT_FILE=" + w.caFile()}
	command.Stdout, command.Stderr = log, log
	if w.operator, err = startProcess(command); err != nil {
		return err
	}
	w.undo = append(w.undo, w.operator.stop)
	return nil
}

// startGateway makes what the vendor's chart makes, and the Anypoint credentials.
func (w *simulated) startGateway(ctx context.Context) (err error) {
	if w.gateway, err = w.platform.Register(operator.GatewayName, remaining); err != nil {
		return err
	}
	clientID, clientSecret := w.platform.AddConnectedApp()
	deployment := operator.Deployment(namespace, operator.GatewayName, operator.SecretName, replicas)
	// A gateway takes a while to get ready; this one just long enough to be seen.
	deployment.Spec.Template.Annotations = map[string]string{controlplane.PodAnnotation: controlplane.PodSlow, controlplane.AfterAnnotation: "1s"}
	for _, object := range []client.Object{
		operator.Namespace(namespace),
		operator.RegistrationSecret(namespace, w.gateway.File),
		operator.CredentialsSecret(namespace, clientID, clientSecret),
		deployment,
	} {
		if err := w.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	return w.quietly(ctx, "kubectl rollout status deployment/ingress -n gateway --timeout=1m")
}

// connect has the platform list the pods as replicas with the newest certificate: on a simulated node nothing connects.
func (w *simulated) connect(ctx context.Context) error {
	is, err := look(ctx, w.admin)
	if err != nil {
		return err
	}
	var connected []simulator.Replica
	for _, pod := range is.pods {
		connected = append(connected, simulator.Replica{Name: pod.Name + "." + pod.Namespace})
	}
	w.platform.SetReplicas(w.gateway.AgentID, connected...)
	return nil
}

// process is a program that runs beside the demo.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
}

var errOperatorEnded = errors.New("the operator has ended by itself")

func startProcess(command *exec.Cmd) (*process, error) {
	// A Ctrl-C at the terminal is for the demo, which ends things in order.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = command.Wait() // how it ended is in its log
	}()
	return p, nil
}

// lifetime is a context that ends with the process too.
func (p *process) lifetime(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		<-p.ended
		cancel(errOperatorEnded)
	}()
	return ctx
}

func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
		return nil
	case <-time.After(30 * time.Second):
		_ = p.command.Process.Kill()
		<-p.ended
		return errors.New("the operator did not stop within 30s and was killed")
	}
}
