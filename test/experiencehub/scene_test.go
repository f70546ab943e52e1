// Package experiencehub shows on a real API server what the operator does about ExperienceHubConnections, and breaks it at each
// call that it makes in a rotation.
package experiencehub

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	simulated "github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/anypoint/platform"
	"github.com/flexops/flex-registration-operator/internal/salesforce"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

const (
	name  = "hub"
	day   = 24 * time.Hour
	fresh = 300 * day
)

// suite is a control plane.
type suite struct {
	cluster *controlplane.ControlPlane
	admin   client.Client
	scenes  atomic.Int32
}

func start(t *testing.T) *suite {
	t.Helper()
	g, root := NewWithT(t), filepath.Join("..", "..")
	s := &suite{}
	s.cluster, s.admin = operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root)})
	g.Expect(operator.Grant(t.Context(), s.admin, operator.Roles(root)...)).To(Succeed())
	return s
}

// scene is a connection in a namespace of its own, with services and an operator of its own.
type scene struct {
	*WithT
	t         *testing.T
	suite     *suite
	namespace string
	clock     *clocktesting.FakeClock
	began     time.Time
	anypoint  *simulator.Platform
	org       *simulated.Organization
	secrets   []string
	log       operator.Log
	options   operator.Options
	running   *operator.Operator
}

func (s *suite) scene(t *testing.T) *scene {
	t.Helper()
	began := time.Now().Truncate(time.Second).Add(operator.Ahead)
	c := &scene{WithT: NewWithT(t), t: t, suite: s, namespace: fmt.Sprintf("hub-%d", s.scenes.Add(1)), began: began, clock: clocktesting.NewFakeClock(began)}
	c.SetDefaultEventuallyTimeout(20 * time.Second)
	c.SetDefaultEventuallyPollingInterval(30 * time.Millisecond)
	var err error
	c.anypoint, err = simulator.Start(simulator.Options{Clock: c.clock})
	c.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { c.Expect(c.anypoint.Close()).To(Succeed()) })
	c.org = simulated.Start(c.clock)
	t.Cleanup(c.org.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	c.Expect(c.anypoint.WriteCA(file)).To(Succeed())
	ca, err := os.ReadFile(file)
	c.Expect(err).NotTo(HaveOccurred())
	user, err := s.cluster.User("operator-of-"+c.namespace, operator.Group)
	c.Expect(err).NotTo(HaveOccurred())
	c.options = operator.Options{Config: user, Clock: c.clock, Namespace: c.namespace, Log: &c.log, AnypointHosts: []string{c.anypoint.Host()}, Renewer: &anypoint.Exec{}}
	c.options.Platform, err = platform.New(platform.Options{Hosts: c.options.AnypointHosts, CA: ca, UserAgent: "test", Clock: c.clock})
	c.Expect(err).NotTo(HaveOccurred())
	c.options.Salesforce, err = salesforce.New(salesforce.Options{Hosts: []string{c.org.Host()}, CA: c.org.CA(), UserAgent: "test", Clock: c.clock})
	c.Expect(err).NotTo(HaveOccurred())

	c.anypoint.SetSecret("hub-group", "certificates", "aeh", began.Add(fresh))
	app, secret := c.anypoint.AddConnectedApp(simulator.ScopeReadSecrets)
	id, orgSecret := c.org.AddApp()
	c.secrets = []string{secret, orgSecret}
	credentials := operator.CredentialsSecret(c.namespace, id, orgSecret)
	credentials.Name = "salesforce"
	for _, object := range []client.Object{operator.Namespace(c.namespace), operator.CredentialsSecret(c.namespace, app, secret), credentials} {
		c.Expect(s.admin.Create(t.Context(), object)).To(Succeed())
	}
	return c
}

// certificate is the organization's, which the named credential uses.
func (c *scene) certificate(left time.Duration) simulated.Certificate {
	made := c.org.Add("Anypoint", c.began.Add(left))
	c.org.Use(made.ID)
	c.org.Add("SomethingElse", c.began.Add(left))
	return made
}

func (c *scene) connection() *v1alpha1.ExperienceHubConnection {
	return &v1alpha1.ExperienceHubConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name},
		Spec: v1alpha1.ExperienceHubConnectionSpec{
			Anypoint: &v1alpha1.SecretsManagerCertificate{
				URL: c.anypoint.URL(), OrganizationID: c.anypoint.OrganizationID(), EnvironmentID: c.anypoint.EnvironmentID(),
				SecretGroup: "hub-group", Certificate: "aeh", CredentialsRef: v1alpha1.LocalReference{Name: operator.CredentialsName},
			},
			Salesforce: &v1alpha1.SalesforceCertificate{InstanceURL: c.org.URL(), APIVersion: simulated.Version, CredentialsRef: v1alpha1.LocalReference{Name: "salesforce"}},
			Rotation:   v1alpha1.RotationSpec{Policy: v1alpha1.RotationAssist},
		},
	}
}

func (c *scene) create(object client.Object) {
	c.t.Helper()
	c.Expect(c.suite.admin.Create(c.t.Context(), object)).To(Succeed())
}

// run starts the operator, which is stopped at the end.
func (c *scene) run() {
	c.t.Helper()
	var err error
	c.running, err = operator.Start(c.options)
	c.Expect(err).NotTo(HaveOccurred())
	c.t.Cleanup(func() {
		c.Expect(c.running.Stop()).To(Succeed())
		for _, secret := range c.secrets {
			c.Expect(c.log.String()).NotTo(ContainSubstring(secret))
		}
		if c.t.Failed() {
			c.t.Log("the operator's log:\n" + c.log.Tail(3000))
		}
	})
}

func (c *scene) get() *v1alpha1.ExperienceHubConnection {
	is := &v1alpha1.ExperienceHubConnection{}
	c.Expect(c.suite.admin.Get(context.Background(), client.ObjectKey{Namespace: c.namespace, Name: name}, is)).To(Succeed())
	return is
}

func (c *scene) change(how func(*v1alpha1.ExperienceHubConnection)) {
	c.t.Helper()
	is := c.get()
	before := is.DeepCopy()
	how(is)
	c.Expect(c.suite.admin.Patch(c.t.Context(), is, client.MergeFrom(before))).To(Succeed())
}

// ask is what a person does who doesn't want to wait.
func (c *scene) ask() {
	c.t.Helper()
	value := fmt.Sprint(time.Now().UnixNano())
	c.change(func(is *v1alpha1.ExperienceHubConnection) {
		metav1.SetMetaDataAnnotation(&is.ObjectMeta, v1alpha1.AnnotationCheck, value)
	})
	c.Eventually(func() string { return c.get().Status.LastHandledCheck }).Should(Equal(value))
}

// reason is that of a condition, with its status.
func (c *scene) reason(kind string) string {
	condition := meta.FindStatusCondition(c.get().Status.Conditions, kind)
	if condition == nil {
		return ""
	}
	return string(condition.Status) + " " + condition.Reason
}

func (c *scene) says(kind, reason string) {
	c.t.Helper()
	c.Eventually(func() string { return c.reason(kind) }).Should(Equal(reason))
}

func (c *scene) message(kind string) string {
	return meta.FindStatusCondition(c.get().Status.Conditions, kind).Message
}

func (c *scene) secret(name string) *corev1.Secret {
	is := &corev1.Secret{}
	c.Expect(c.suite.admin.Get(context.Background(), client.ObjectKey{Namespace: c.namespace, Name: name}, is)).To(Succeed())
	return is
}
