package kubelet

import (
	"fmt"
	"net"
	"path"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// serviceAccountPath is where clients in a cluster look for the token and the CA.
const serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// kubeconfig makes the file that stands for what clients would find at the well-known path, if they would.
func (w *worker) kubeconfig(c *corev1.Container, p *program) (string, error) {
	for _, m := range c.VolumeMounts {
		if path.Clean(m.MountPath) != serviceAccountPath {
			continue
		}
		directory := p.paths.toLocal(serviceAccountPath)
		const cluster = "in-cluster"
		config := clientcmdapi.NewConfig()
		config.Clusters[cluster] = &clientcmdapi.Cluster{
			Server:               "https://" + net.JoinHostPort(w.kubelet.host, w.kubelet.port),
			CertificateAuthority: filepath.Join(directory, corev1.ServiceAccountRootCAKey),
		}
		config.AuthInfos[cluster] = &clientcmdapi.AuthInfo{TokenFile: filepath.Join(directory, corev1.ServiceAccountTokenKey)}
		config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster, Namespace: w.pod.Namespace}
		config.CurrentContext = cluster
		file := filepath.Join(w.files(c), "kubeconfig")
		if err := clientcmd.WriteToFile(*config, file); err != nil {
			return "", fmt.Errorf("making the container's kubeconfig: %w", err)
		}
		return file, nil
	}
	return "", nil
}
