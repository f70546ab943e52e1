package faults

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// secretsAreKept, P6: no key and no credential is anywhere but in Secrets: not in what the operator logs, what containers
// print, and any version of a Job, a pod or an Event. r.mu is held.
func (r *run) secretsAreKept(fr *v1alpha1.FlexRegistration, record *corev1.Secret) error {
	needles := slices.Clone(r.secrets)
	for _, file := range append(slices.Clone(r.files), record.Data[recordNewest], record.Data[recordPrevious]) {
		needles = append(needles, keyLines(file)...)
	}
	check := func(place, text string) error {
		for _, needle := range needles {
			if strings.Contains(text, needle) {
				return fmt.Errorf("P6: a secret is in the %s", place)
			}
		}
		return nil
	}
	if err := check("log", r.log.String()); err != nil {
		return err
	}
	for _, s := range append(slices.Clone(r.shown), shown{"FlexRegistration", fr}) {
		text, err := s.text()
		if err != nil {
			return err
		}
		if err := check(s.kind, text); err != nil {
			return err
		}
	}
	for name, pod := range r.allPods {
		if err := check("output of pod "+name, r.bench.Pods.printed(&pod)); err != nil {
			return err
		}
	}
	return nil
}

// keyLines are the lines of the private keys in a file.
func keyLines(file []byte) []string {
	var found []string
	inKey := false
	for _, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "BEGIN") && strings.Contains(line, "PRIVATE KEY"):
			inKey = true
		case strings.Contains(line, "-----END"):
			inKey = false
		case inKey && len(line) >= 8:
			found = append(found, line)
		}
	}
	return found
}

// writtenSecret decodes the Secret that a request has written, nil if it was none.
func writtenSecret(body []byte) *corev1.Secret {
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil
	}
	secret, _ := object.(*corev1.Secret)
	return secret
}
