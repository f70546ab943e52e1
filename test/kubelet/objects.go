package kubelet

import (
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secret returns a Secret's data, or none where it is optional and doesn't exist.
func (w *worker) secret(name string, optional bool) (map[string][]byte, error) {
	secret := &corev1.Secret{}
	err := w.get(secret, "secret", name, optional)
	return secret.Data, err
}

// configMap is as secret.
func (w *worker) configMap(name string, optional bool) (map[string][]byte, error) {
	object := &corev1.ConfigMap{}
	err := w.get(object, "configmap", name, optional)
	data := map[string][]byte{}
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	for key, value := range object.BinaryData {
		data[key] = value
	}
	return data, err
}

func (w *worker) get(object client.Object, kind, name string, optional bool) error {
	err := w.kubelet.api.Get(w.work, client.ObjectKey{Namespace: w.pod.Namespace, Name: name}, object)
	switch {
	case err == nil, apierrors.IsNotFound(err) && optional:
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s %q not found", kind, name) // In the kubelet's words.
	default:
		return fmt.Errorf("reading the %s %q: %w", kind, name, err)
	}
}

func (w *worker) secretFiles(name string, items []corev1.KeyToPath, mode int32, optional bool) (map[string]file, error) {
	data, err := w.secret(name, optional)
	if err != nil {
		return nil, err
	}
	return selected("secret", data, items, mode, optional)
}

func (w *worker) configMapFiles(name string, items []corev1.KeyToPath, mode int32, optional bool) (map[string]file, error) {
	data, err := w.configMap(name, optional)
	if err != nil {
		return nil, err
	}
	return selected("config", data, items, mode, optional)
}

// token asks for a token that is the pod's alone.
func (w *worker) token(source *corev1.ServiceAccountTokenProjection) ([]byte, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: w.pod.Name, UID: w.pod.UID},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.pod.Namespace, Name: w.pod.Spec.ServiceAccountName}}
	if err := w.kubelet.api.SubResource("token").Create(w.work, account, request); err != nil {
		return nil, fmt.Errorf("failed to fetch token: %w", err)
	}
	return []byte(request.Status.Token), nil
}
