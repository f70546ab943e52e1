package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// HandoffTimeout is how long a pod tries to hand over what can't be had again: nearly as long as its Job may last.
const HandoffTimeout = lifetime - time.Minute

// handoffPause is the time between two tries.
const handoffPause = 2 * time.Second

// HandOff writes a renewed registration, which is in a file, into the handoff Secret, whose metadata is given as JSON.
// It runs in the pod of a renewal. The UID makes the API server refuse it where the Secret was made anew for a later
// attempt.
func HandOff(ctx context.Context, config *rest.Config, metadata, file string) error {
	secret := &corev1.Secret{}
	if err := json.Unmarshal([]byte(metadata), secret); err != nil {
		return fmt.Errorf("reading which Secret to hand the result over in: %w", err)
	}
	content, err := os.ReadFile(file) //nolint:gosec // The path is an argument.
	if err != nil {
		return fmt.Errorf("reading the result: %w", err)
	}
	secret.Data = map[string][]byte{registration.DefaultKey: content}
	api, err := corev1client.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, handoffPause, HandoffTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = api.Secrets(secret.Namespace).Update(ctx, secret, metav1.UpdateOptions{})
		if apierrors.IsNotFound(last) || apierrors.IsConflict(last) {
			return false, errors.New("this attempt was given up")
		}
		return last == nil, nil // Rights that were granted a moment ago may not be known everywhere yet.
	})
	if err != nil {
		return fmt.Errorf("handing the result over in Secret %s/%s: %w: %w", secret.Namespace, secret.Name, err, last)
	}
	return nil
}

// Access connects to the API server with the token in a directory, as a pod is told to by its environment.
func Access(directory string) (*rest.Config, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is for a pod")
	}
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		BearerTokenFile: filepath.Join(directory, corev1.ServiceAccountTokenKey),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(directory, corev1.ServiceAccountRootCAKey)},
		Timeout:         30 * time.Second,
	}, nil
}
