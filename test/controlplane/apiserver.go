package controlplane

import (
	_ "embed" // the audit policy
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/flexops/flex-registration-operator/test/process"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// startAPIServer starts etcd and the API server.
func (c *ControlPlane) startAPIServer(o Options) error {
	policy := filepath.Join(c.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, auditPolicy, 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	etcdLog, err := os.Create(c.log("etcd"))
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcdLog.Close() //nolint:errcheck // etcd has its own descriptor
	serverLog, err := os.Create(c.log("kube-apiserver"))
	if err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	defer serverLog.Close() //nolint:errcheck // the API server has its own descriptor

	// Directories of ours are gone even if Stop is never called; envtest's own would stay.
	data, certs := filepath.Join(c.dir, "etcd"), filepath.Join(c.dir, "certs")
	for _, dir := range []string{data, certs} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("prepare the control plane's directory: %w", err)
		}
	}
	server := &envtest.APIServer{Path: launcher(c.dir, "kube-apiserver"), CertDir: certs, Out: serverLog, Err: serverLog}
	server.Configure().
		// envtest turns the ServiceAccount plugin off because it has no controller that makes the accounts.
		Disable("disable-admission-plugins").
		Set("authorization-mode", "RBAC").
		// Otherwise the machine's own address is looked for, and one without a network has none.
		Set("advertise-address", "127.0.0.1").
		Set("endpoint-reconciler-type", "none").
		Set("audit-policy-file", policy).
		Set("audit-log-path", c.auditLog()).
		Set("audit-log-maxsize", "4096").
		// An event is on disk before its answer is sent.
		Set("audit-log-mode", "blocking")
	if o.RealNode {
		if err := c.serveNode(server); err != nil {
			return err
		}
	}

	existing := false
	c.env = &envtest.Environment{
		UseExistingCluster:       &existing, // whatever the environment variable says
		CRDDirectoryPaths:        o.CRDs,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
	}
	c.env.ControlPlane.APIServer = server
	c.env.ControlPlane.Etcd = &envtest.Etcd{Path: launcher(c.dir, "etcd"), DataDir: data, Out: etcdLog, Err: etcdLog}
	// The quota of 2 GiB is soon full of old versions where thousands of large objects change all the time.
	c.env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true").Set("quota-backend-bytes", "8589934592")
	c.env.ControlPlane.KubectlPath = c.Kubectl
	if c.Config, err = c.env.Start(); err != nil {
		return fmt.Errorf("start etcd and the API server: %w\nlast lines of etcd:\n%s\nlast lines of the API server:\n%s",
			err, process.LastLines(c.log("etcd")), process.LastLines(c.log("kube-apiserver")))
	}
	return nil
}

func (c *ControlPlane) log(program string) string { return filepath.Join(c.LogDir, program+".log") }
