package policy

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// testExperienceHub has somebody write a connection who may read none, one and both of the Secrets that it names.
func (s *suite) testExperienceHub(t *testing.T) {
	s = s.in(t)
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", "gateway_v1alpha1_experiencehubconnection.yaml"))
	s.Expect(err).NotTo(HaveOccurred())
	connection := func() *v1alpha1.ExperienceHubConnection {
		c := &v1alpha1.ExperienceHubConnection{}
		s.Expect(yaml.UnmarshalStrict(content, c)).To(Succeed())
		return c
	}
	write := rule(v1alpha1.GroupVersion.Group, "experiencehubconnections", "create", "update")
	user, author := s.newAuthor(write)
	s.expect(author.Create(t.Context(), connection()), user, "get Secret anypoint, which spec.anypoint.credentialsRef names; "+remedy)
	user, author = s.newAuthor(write, getSecrets("anypoint"))
	s.expect(author.Create(t.Context(), connection()), user, "get Secret salesforce, which spec.salesforce.credentialsRef names; "+remedy)
	user, author = s.newAuthor(write, getSecrets("anypoint", "salesforce"))
	c := connection()
	s.expect(author.Create(t.Context(), c), user, "")
	_, other := s.newAuthor(write)
	c.Labels = map[string]string{"a": "b"}
	s.Expect(other.Update(t.Context(), c)).To(Succeed(), "a label changes nothing")
}
