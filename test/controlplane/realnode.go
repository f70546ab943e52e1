package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// ServiceAddress is the address of the Service "kubernetes", the first one of the range that envtest sets. With
// Options.RealNode the API server itself serves it, at port 443: so pods need neither kube-proxy nor DNS to find it.
const ServiceAddress = "10.0.0.1"

// serveNode configures the API server for a real kubelet and for pods.
func (c *ControlPlane) serveNode(server *envtest.APIServer) error {
	server.Address, server.Port = ServiceAddress, "443"
	certificate, key := filepath.Join(c.dir, "kubelet-client.crt"), filepath.Join(c.dir, "kubelet-client.key")
	if err := writeKubeletClient(certificate, key); err != nil {
		return err
	}
	c.KubeletClientCA = certificate
	server.Configure().
		// What a kubelet may do, it may do to its own node and pods only.
		Set("authorization-mode", "Node,RBAC").
		Set("enable-admission-plugins", "NodeRestriction").
		Set("kubelet-client-certificate", certificate).
		Set("kubelet-client-key", key).
		// There is no DNS that would know the node's name.
		Set("kubelet-preferred-address-types", "InternalIP")
	return nil
}

// writeKubeletClient makes the certificate that the API server shows to a kubelet. It is its own authority, as
// envtest's comes to be only after the API server has been configured.
func writeKubeletClient(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the API server's key for the kubelet: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return fmt.Errorf("make the API server's certificate for the kubelet: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode the API server's key for the kubelet: %w", err)
	}
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der},
		key:         {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("write the API server's certificate for the kubelet: %w", err)
		}
	}
	return nil
}
