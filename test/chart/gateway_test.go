package chart

import (
	"fmt"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// gateway is one whose certificate expires soon, in a namespace of its own, and its FlexRegistration.
type gateway struct {
	*suite
	simulator.Gateway
	namespace string
}

func (s *suite) newGateway(namespace string, podAnnotations map[string]string) *gateway {
	s.Helper()
	registered, err := s.platform.Register(operator.GatewayName, 10*24*time.Hour)
	s.Expect(err).NotTo(HaveOccurred())
	deployment := operator.Deployment(namespace, operator.GatewayName, operator.SecretName, 1)
	deployment.Spec.Template.Annotations, deployment.Spec.Template.Spec.ServiceAccountName = podAnnotations, "gateways"
	for _, object := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gateways"}}, operator.RegistrationSecret(namespace, registered.File), operator.CredentialsSecret(namespace, s.appID, s.appSecret), deployment,
	} {
		s.Expect(s.admin.Create(s.Context(), object)).To(Succeed())
	}
	return &gateway{suite: s, Gateway: registered, namespace: namespace}
}

// register makes the FlexRegistration, after some changes.
func (g *gateway) register(changes ...func(*v1alpha1.FlexRegistrationSpec)) {
	g.Helper()
	fr := operator.FlexRegistration(g.namespace, operator.GatewayName)
	fr.Spec.Rollout.Settle = &metav1.Duration{Duration: time.Second} // The test is in a hurry.
	for _, change := range changes {
		change(&fr.Spec)
	}
	g.Expect(g.admin.Create(g.Context(), fr)).To(Succeed())
}

// ask asks for a renewal.
func (g *gateway) ask(why string) {
	g.Helper()
	g.kubectl("annotate", "--overwrite", "flexregistration/"+operator.GatewayName, "-n", g.namespace, v1alpha1.AnnotationRenew+"="+why)
}

// state is the condition as "Status/Reason", its message, and the number of renewals.
func (g *gateway) state(condition string) (string, error) {
	fr := &v1alpha1.FlexRegistration{}
	if err := g.admin.Get(g.Context(), client.ObjectKey{Namespace: g.namespace, Name: operator.GatewayName}, fr); err != nil {
		return "", err
	}
	c := meta.FindStatusCondition(fr.Status.Conditions, condition)
	if c == nil {
		return "", nil
	}
	return fmt.Sprintf("%s/%s after %d renewals: %s", c.Status, c.Reason, len(g.platform.Renewals(g.AgentID)), c.Message), nil
}

func (g *gateway) eventually(condition, want string) {
	g.Helper()
	g.Eventually(func() (string, error) { return g.state(condition) }).Should(HavePrefix(want))
}
