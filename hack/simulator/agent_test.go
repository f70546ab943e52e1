package simulator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

func TestConnectedReplicasAreListed(t *testing.T) {
	b := newBench(t)
	g := b.register(10 * day)
	_, renewed := b.renew(g.File)
	b.clock.SetTime(noon.Add(day))
	first := b.start(t, "pod-1.gateway", b.mountFile(g.File), "")
	first.expectReady()
	b.SetReplicas(g.AgentID, simulator.Replica{Name: "pod-0.elsewhere", CertificateExpirationDate: noon})

	second := b.start(t, "pod-2.gateway", b.mountFile(renewed), "")
	second.expectReady()
	listed := func(name, expiration string) map[string]any {
		return map[string]any{
			"id": Not(BeEmpty()), "targetId": g.AgentID, "name": name, "nodeId": Not(BeEmpty()), "gatewayVersion": "1.9.1",
			"status": "CONNECTED", "connectedAt": "2031-05-02T12:00:00.00Z", "disconnectedAt": BeNil(),
			"configurationStatus":       map[string]any{"status": "UP_TO_DATE", "message": nil},
			"certificateExpirationDate": expiration,
		}
	}
	replicas := b.replicas(g.AgentID)
	b.Expect(replicas).To(HaveLen(3), "one that was set stands beside those that are connected")
	for name, expiration := range map[string]string{"pod-1.gateway": "2031-05-11T12:00:00.00Z", "pod-2.gateway": "2032-07-24T12:00:00.00Z"} {
		for field, value := range listed(name, expiration) {
			b.Expect(replicas).To(ContainElement(And(HaveKeyWithValue("name", name), HaveKeyWithValue(field, value))), "the presented certificate")
		}
	}
	gateway := b.get(b.gateways + "/" + g.AgentID).fields
	b.Expect(gateway).To(HaveKeyWithValue("versions", ConsistOf("1.8.0", "1.9.1")))
	b.Expect(gateway["replicas"].([]any)[0]).To(And(HaveKeyWithValue("count", 3.0), HaveKeyWithValue("certificateExpirationDates",
		ConsistOf("2031-05-01T12:00:00.00Z", "2031-05-11T12:00:00.00Z", "2032-07-24T12:00:00.00Z"))))

	// A connection that ends leaves its replica listed for seven days.
	b.SetReplicas(g.AgentID)
	first.end()
	b.eventually(func() []simulator.Replica { return b.Replicas(g.AgentID) }).Should(ConsistOf(
		And(HaveField("Name", "pod-1.gateway"), HaveField("Status", simulator.Disconnected), HaveField("DisconnectedAt", noon.Add(day))),
		And(HaveField("Name", "pod-2.gateway"), HaveField("Status", simulator.Connected), HaveField("DisconnectedAt", time.Time{}))))
	b.Expect(b.get(b.gateways + "/" + g.AgentID + "/replicas?status=DISCONNECTED").fields["content"]).To(ConsistOf(And(
		HaveKeyWithValue("name", "pod-1.gateway"), HaveKeyWithValue("disconnectedAt", "2031-05-02T12:00:00.00Z"))))
	b.clock.SetTime(noon.Add(8*day + time.Second))
	b.Expect(b.Replicas(g.AgentID)).To(ConsistOf(HaveField("Name", "pod-2.gateway")))
	b.Expect(b.Replicas("nobody")).To(BeEmpty())
}

func TestOneReplicaHasOneConnection(t *testing.T) {
	b := newBench(t)
	g := b.register(10 * day)
	_, renewed := b.renew(g.File)
	old := b.start(t, "pod.gateway", b.mountFile(g.File), "")
	old.expectReady()
	before := b.Replicas(g.AgentID)[0]
	restarted := b.start(t, "pod.gateway", b.mountFile(renewed), "")
	restarted.expectReady()
	b.eventually(old.ready).Should(BeFalse())
	b.Expect(b.Replicas(g.AgentID)).To(ConsistOf(And(HaveField("ID", before.ID), HaveField("Status", simulator.Connected),
		HaveField("CertificateExpirationDate", noon.Add(450*day)))))
}

func TestDeletedGatewayIsDisconnected(t *testing.T) {
	b := newBench(t)
	g := b.register(10 * day)
	r := b.start(t, "pod.gateway", b.mountFile(g.File), "")
	r.expectReady()
	b.DeleteGateway(g.AgentID)
	r.expectUnready(3)
	b.Expect(r.log.String()).To(ContainSubstring("403 Forbidden"))
	b.Expect(b.Replicas(g.AgentID)).To(BeEmpty())
}

func TestRefusedCertificates(t *testing.T) {
	b := newBench(t)
	known, expired := b.register(10*day), b.register(-time.Second)
	pair := func(g simulator.Gateway) tls.Certificate {
		p, err := b.pair(g.File)
		b.Expect(err).NotTo(HaveOccurred())
		return p
	}
	valid := pair(known)
	b.Expect(b.knock(valid)).To(Equal(200))
	b.Expect(b.knock(pair(expired))).To(Equal(0), "the platform's clock decides, and the certificate is good by the machine's")
	b.Expect(b.knock(foreign(b, known.AgentID))).To(Equal(0), "another CA")
	b.Expect(b.knock(tls.Certificate{})).To(Equal(401), "none at all")

	// A certificate of the platform's CA for a gateway that nobody knows.
	b.Inject(simulator.Fault{Kind: simulator.OtherGateway})
	_, other := b.renew(known.File)
	stranger, err := b.pair(other)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(b.knock(stranger)).To(Equal(403))

	b.Inject(simulator.Fault{Kind: simulator.NotYetValid})
	_, early := b.renew(known.File)
	tomorrow, err := b.pair(early)
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(b.knock(tomorrow)).To(Equal(0))
	b.clock.SetTime(noon.Add(day))
	b.Expect(b.knock(tomorrow)).To(Equal(200))

	b.clock.SetTime(noon.Add(10 * day))
	b.Expect(b.knock(valid)).To(Equal(200), "valid to the last moment")
	b.clock.Step(time.Nanosecond)
	b.Expect(b.knock(valid)).To(Equal(0))
}

// knock presents a certificate at the gateways' endpoint, whatever the server
// says that it accepts, and gives the HTTP status; 0 for no answer.
func (b *bench) knock(certificate tls.Certificate) int {
	roots := b.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs:              roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
	}}}
	response, err := client.Get(b.URL() + "/agent?name=pod.gateway")
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// foreign gives a certificate for a gateway that signs itself.
func foreign(b *bench, agentID string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: agentID}, NotBefore: noon, NotAfter: noon.Add(day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	b.Expect(err).NotTo(HaveOccurred())
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
