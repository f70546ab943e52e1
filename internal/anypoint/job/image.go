package job

import (
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/distribution/reference"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// Image is the image whose flexctl renews a gateway. A finding says why there is none.
func (r *Runner) Image(fr *v1alpha1.FlexRegistration, g *gateway.Gateway) (string, *renewal.Finding) {
	own := ""
	if container := g.Container(); container != nil {
		own = container.Image
	}
	asked := fr.Spec.Flexctl.Image
	switch {
	case asked == "" && own == "":
		return "", renewal.NewFinding(v1alpha1.ReasonFlexctlImageNotAllowed, "no container of a Deployment mounts Secret %s, so there is no gateway's image to take flexctl from: "+
			"set spec.flexctl.image to one that the operator's --flexctl-images allow", g.SecretName)
	case asked == "" || asked == own:
		return own, nil
	case r.allowed(asked, own):
		return asked, nil
	}
	return "", renewal.NewFinding(v1alpha1.ReasonFlexctlImageNotAllowed, "spec.flexctl.image is neither of the repository of the gateway's own image, nor allowed by the operator's --flexctl-images: "+
		"correct it, or ask the operator's administrator to allow it")
}

// allowed compares repositories: the tag, or digest, is free.
func (r *Runner) allowed(asked, own string) bool {
	image, err := reference.ParseNormalizedNamed(asked)
	if err != nil {
		return false
	}
	if gateways, err := reference.ParseNormalizedNamed(own); err == nil && gateways.Name() == image.Name() {
		return true
	}
	return slices.ContainsFunc(r.Images, func(pattern string) bool {
		whole, _ := path.Match(pattern, image.Name())
		familiar, _ := path.Match(pattern, reference.FamiliarName(image))
		return whole || familiar
	})
}

// repositories is what patterns for Config.Images may be made of.
var repositories = regexp.MustCompile(`^[a-z0-9*?\[][-a-z0-9._*?/\[\]^]*(:[0-9]+/[-a-z0-9._*?/\[\]^]+)?$`)

// CheckImages says what is wrong with patterns for Config.Images.
func CheckImages(patterns []string) error {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, "any"); err != nil || !repositories.MatchString(pattern) {
			return fmt.Errorf("%q is not a repository without tag, such as mulesoft/flex-gateway or registry.example.com/mirror/*", pattern)
		}
	}
	return nil
}

// template is the pod template of the gateway's first Deployment; empty where there is none.
func template(g *gateway.Gateway) gateway.PodSpec {
	if len(g.Deployments) == 0 {
		return gateway.PodSpec{}
	}
	return g.Deployments[0].Spec.Template.Spec
}
