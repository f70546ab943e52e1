//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/world"
)

// Refused credentials are told, and so is a flexctl that crashes and prints all that it knows; neither shows a secret
// anywhere.
func TestSecrecyOfFailures(t *testing.T) {
	s := newStory(t, world.GatewayOptions{Image: world.GatewayImage, Replicas: 1, Remaining: 10 * day})
	const wrong = "a-wrong-client-secret"
	right := s.replaceClientSecret(wrong)
	s.create(s.fr)
	s.Eventually(s.condition(v1alpha1.ConditionReady)).Should(Equal("False/CredentialsRejected"), s.status)
	s.Expect(platform.Renewals(s.ctx, s.gateway.AgentID)).To(BeEmpty())
	s.tellsNothing(s.gateway.File, wrong)

	s.Expect(platform.Inject(s.ctx, simulator.Fault{Kind: simulator.Crash})).To(Succeed())
	s.replaceClientSecret(right)
	s.Eventually(s.condition(v1alpha1.ConditionReady)).Should(Equal("False/FlexctlFailed"), s.status)
	s.tellsNothing(s.gateway.File, wrong)
}

// replaceClientSecret puts another one into the credentials Secret and returns the one before.
func (s *story) replaceClientSecret(value string) (before string) {
	s.t.Helper()
	const key = "client-secret"
	secret := &corev1.Secret{}
	s.Expect(cluster.Admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.CredentialsName}, secret)).To(Succeed())
	before = string(secret.Data[key])
	secret.Data[key] = []byte(value)
	s.Expect(cluster.Admin.Update(s.ctx, secret)).To(Succeed())
	return before
}

// tellsNothing checks that no client secret, and no line of a private key of the files given or of the gateway's Secret,
// can be read anywhere but in Secrets.
func (s *story) tellsNothing(file []byte, more ...string) {
	s.t.Helper()
	secrets := append(privateKeyLines(file), privateKeyLines(s.registration().Marshal())...)
	s.Expect(len(secrets)).To(BeNumerically(">=", 2), "lines of private keys")
	// There are keys that only flexctl has known.
	secrets = append(append(secrets, s.clientSecret, "PRIVATE KEY"), more...)
	texts := s.readable()
	s.Expect(texts).To(ContainElement(ContainSubstring(s.gateway.AgentID)), "what can be read tells of this gateway")
	for where, text := range texts {
		for _, secret := range secrets {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
				// Not ContainSubstring, which would print the text.
				if strings.Contains(text, form) {
					s.t.Errorf("a client secret, or a line of a private key, of %d characters stands in %s", len(secret), where)
				}
			}
		}
	}
}

// privateKeyLines are those that stand between the first and the last line of keys.
func privateKeyLines(file []byte) []string {
	var lines []string
	inside := false
	for _, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "BEGIN") && strings.Contains(line, "PRIVATE KEY"):
			inside = true
		case strings.Contains(line, "END") && strings.Contains(line, "PRIVATE KEY"):
			inside = false
		case inside && line != "":
			lines = append(lines, line)
		}
	}
	return lines
}

// readable is all that somebody can read who may not read Secrets: objects with their statuses, as they are and as the
// pods of renewals were, Events and logs.
func (s *story) readable() map[string]string {
	s.t.Helper()
	texts := map[string]string{}
	for _, namespace := range []string{s.namespace, world.OperatorNamespace} {
		const kinds = "pods,jobs,events.v1.,events.events.k8s.io,deployments,replicasets,configmaps,serviceaccounts,roles,rolebindings,flexregistrations"
		texts["objects of "+namespace] = kubectl(s.t, "get", kinds, "-n", namespace, "-o", "json", "--show-managed-fields")
		var pods corev1.PodList
		s.Expect(cluster.Admin.List(s.ctx, &pods, client.InNamespace(namespace))).To(Succeed())
		for _, pod := range pods.Items {
			maps.Copy(texts, s.logs(pod))
		}
	}
	for _, pod := range s.renewalPods() {
		texts["pod "+pod.Name] = fmt.Sprintf("%+v", pod)
	}
	return texts
}

// logs are those of a pod's containers, each of which has to be had if the container runs or has run.
func (s *story) logs(pod corev1.Pod) map[string]string {
	s.t.Helper()
	logs := map[string]string{}
	read := func(container string, more ...string) {
		s.t.Helper()
		arguments := append([]string{"logs", "-n", pod.Namespace, pod.Name, "-c", container}, more...)
		output, err := cluster.RunKubectl(s.ctx, arguments...)
		if err != nil && apierrors.IsNotFound(cluster.Admin.Get(s.ctx, client.ObjectKeyFromObject(&pod), &corev1.Pod{})) {
			return // It has gone meanwhile, with its logs.
		}
		s.Expect(err).NotTo(HaveOccurred())
		logs[strings.Join(arguments, " ")] = output
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.State.Running != nil || status.State.Terminated != nil {
			read(status.Name)
		}
		if status.LastTerminationState.Terminated != nil {
			read(status.Name, "--previous")
		}
	}
	return logs
}
