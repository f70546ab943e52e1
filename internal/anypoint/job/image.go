package job

import (
	"fmt"
	"slices"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

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
	}
	if r.allowed(asked, own) {
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
		match, err := reference.FamiliarMatch(pattern, reference.TrimNamed(image))
		return err == nil && match
	})
}

// CheckImages says what is wrong with patterns for Config.Images.
func CheckImages(patterns []string) error {
	any, _ := reference.ParseNormalizedNamed("any")
	for _, pattern := range patterns {
		if _, err := reference.FamiliarMatch(pattern, any); err != nil {
			return fmt.Errorf("%q is not a repository, such as mulesoft/flex-gateway or registry.example.com/mirror/*: %w", pattern, err)
		}
	}
	return nil
}

// template is the pod template of the gateway's first Deployment; empty where there is none.
func template(g *gateway.Gateway) corev1.PodSpec {
	if len(g.Deployments) == 0 {
		return corev1.PodSpec{}
	}
	return g.Deployments[0].Spec.Template.Spec
}
