package job

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

const digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestImage(t *testing.T) {
	const hub, mirrored = "mulesoft/flex-gateway:1.8.0", "registry.example.com:5000/mirror/flex-gateway:1.8.0"
	for name, c := range map[string]struct {
		own, asked string
		patterns   []string
		allowed    bool
	}{
		"the gateway's own":              {own: hub, allowed: true},
		"its own, asked for":             {own: hub, asked: hub, allowed: true},
		"its own, unreadable":            {own: "UPPER/case", asked: "UPPER/case", allowed: true},
		"another tag":                    {own: hub, asked: "mulesoft/flex-gateway:1.9.0", allowed: true},
		"no tag":                         {own: hub, asked: "mulesoft/flex-gateway", allowed: true},
		"a digest":                       {own: hub, asked: "mulesoft/flex-gateway" + digest, allowed: true},
		"a tag and a digest":             {own: hub, asked: "mulesoft/flex-gateway:1.9.0" + digest, allowed: true},
		"in full":                        {own: hub, asked: "docker.io/mulesoft/flex-gateway:1.9.0", allowed: true},
		"in full, as it once was":        {own: hub, asked: "index.docker.io/mulesoft/flex-gateway:1.9.0", allowed: true},
		"in short":                       {own: "docker.io/mulesoft/flex-gateway" + digest, asked: "mulesoft/flex-gateway:1.9.0", allowed: true},
		"of the library":                 {own: "flex-gateway:1", asked: "docker.io/library/flex-gateway:2", allowed: true},
		"with a port":                    {own: mirrored, asked: "registry.example.com:5000/mirror/flex-gateway:1.9.0", allowed: true},
		"another port":                   {own: mirrored, asked: "registry.example.com:5001/mirror/flex-gateway:1.8.0"},
		"no port":                        {own: mirrored, asked: "registry.example.com/mirror/flex-gateway:1.8.0"},
		"another registry":               {own: hub, asked: "evil.example.com/mulesoft/flex-gateway:1.8.0"},
		"another repository":             {own: hub, asked: "mulesoft/flex-gateway-evil:1.8.0"},
		"below it":                       {own: hub, asked: "mulesoft/flex-gateway/evil:1.8.0"},
		"above it":                       {own: hub, asked: "mulesoft:1.8.0"},
		"its name as a tag":              {own: hub, asked: "evil:mulesoft-flex-gateway"},
		"another case":                   {own: hub, asked: "Mulesoft/flex-gateway:1.8.0"},
		"a space":                        {own: hub, asked: " mulesoft/flex-gateway:1.8.0"},
		"a URL":                          {own: hub, asked: "https://mulesoft/flex-gateway"},
		"a bad digest":                   {own: hub, asked: "mulesoft/flex-gateway@sha256:abc"},
		"a bad tag":                      {own: hub, asked: "mulesoft/flex-gateway:"},
		"an id":                          {own: hub, asked: strings.Repeat("a", 64)},
		"garbage":                        {own: hub, asked: "%"},
		"garbage of the gateway":         {own: "%", asked: hub},
		"no gateway":                     {},
		"no gateway, nothing allowed":    {asked: hub},
		"no gateway, allowed":            {asked: hub, patterns: []string{"mulesoft/flex-gateway"}, allowed: true},
		"allowed":                        {own: hub, asked: "registry.example.com/mirror/flex:2", patterns: []string{"x", "registry.example.com/mirror/flex"}, allowed: true},
		"allowed, a digest":              {own: hub, asked: "registry.example.com/mirror/flex" + digest, patterns: []string{"registry.example.com/mirror/flex"}, allowed: true},
		"allowed, with a port":           {own: hub, asked: mirrored, patterns: []string{"registry.example.com:5000/mirror/*"}, allowed: true},
		"allowed by a wildcard":          {own: hub, asked: "registry.example.com/mirror/flex:2", patterns: []string{"registry.example.com/mirror/*"}, allowed: true},
		"allowed by a class":             {own: hub, asked: "mirror-b/flex:2", patterns: []string{"mirror-[ab]/flex"}, allowed: true},
		"a wildcard is for one level":    {own: hub, asked: "registry.example.com/mirror/evil/flex:2", patterns: []string{"registry.example.com/mirror/*", "*"}},
		"a wildcard within a level":      {own: hub, asked: "registry.example.com/mirror/flex-2:2", patterns: []string{"registry.example.com/mirror/flex*"}, allowed: true},
		"a prefix is none":               {own: hub, asked: "registry.example.com/mirror/flex-evil", patterns: []string{"registry.example.com/mirror/flex", "registry.example.com/mirror"}},
		"a registry that begins alike":   {own: hub, asked: "registry.example.com.evil.example/mirror/flex", patterns: []string{"registry.example.com/mirror/*"}},
		"Docker Hub is not any registry": {own: mirrored, asked: "evil.example.com/mulesoft/flex-gateway", patterns: []string{"mulesoft/*"}},
		"what a tag says is not matched": {own: hub, asked: "evil/x:flex", patterns: []string{"*/flex", "evil/x:*"}},
		"an empty pattern":               {own: hub, asked: "evil/x", patterns: []string{""}},
		"a broken pattern":               {own: hub, asked: "evil/x", patterns: []string{"evil/["}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fr := flexRegistration("ingress")
			fr.Spec.Flexctl.Image = c.asked
			of := &gateway.Gateway{SecretName: "registration"}
			if c.own != "" {
				of = gatewayOf(corev1.PodSpec{Containers: []corev1.Container{{Name: "sidecar", Image: "evil/sidecar"}, running(c.own, nil)}})
			}
			image, finding := (&Runner{Config: Config{Images: c.patterns}}).Image(fr, of)
			if !c.allowed {
				g.Expect(image).To(BeEmpty())
				g.Expect(finding).NotTo(BeNil())
				g.Expect(finding.State).To(BeEquivalentTo(v1alpha1.ReasonFlexctlImageNotAllowed))
				g.Expect(finding.Message).To(ContainSubstring("--flexctl-images"))
				return
			}
			g.Expect(finding).To(BeNil())
			want := c.asked
			if want == "" {
				want = c.own
			}
			g.Expect(image).To(Equal(want))
		})
	}
}

func TestCheckImages(t *testing.T) {
	g := NewWithT(t)
	g.Expect(CheckImages(nil)).To(Succeed())
	g.Expect(CheckImages([]string{"mulesoft/flex-gateway", "docker.io/mulesoft/*", "*", "registry.example.com:5000/mirror/*", "mirror-[ab]/flex"})).To(Succeed())
	for _, broken := range []string{"[", "mirror/[", "mirror/[]", `mirror/\`, "", " mulesoft/flex-gateway", "mulesoft/flex-gateway:1.9", "https://mulesoft/flex-gateway", "Mulesoft/x", "a@sha256:0"} {
		g.Expect(CheckImages([]string{"mulesoft/*", broken})).To(MatchError(And(ContainSubstring("is not a repository"), ContainSubstring("mulesoft/flex-gateway"))), broken)
	}
}
