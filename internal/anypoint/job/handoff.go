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

	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

// A pod tries for so long to hand over what can't be had again: nearly as long as its Job may last. The rehearsal ends
// early enough for flexctl to be started in time.
const (
	handoffTimeout   = lifetime - time.Minute
	rehearsalTimeout = 30 * time.Second
)

// handoffPause is the time between two tries.
const handoffPause = 2 * time.Second

// rehearseHandoff writes the handoff Secret, whose metadata is given as JSON, in a dry run: whether the pod reaches the API
// server and may write the Secret is to be known before the platform is asked for what can't be had again.
func rehearseHandoff(ctx context.Context, config *rest.Config, metadata string) error {
	return update(ctx, config, metadata, nil, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}, rehearsalTimeout)
}

// handOff writes a renewed registration, from a directory, into the handoff Secret, whose metadata is given as JSON. The
// UID in it makes the API server refuse the write where the Secret was made anew for a later attempt.
func handOff(ctx context.Context, config *rest.Config, metadata, directory string) error {
	content, err := anypoint.ReadResult(directory)
	if err != nil {
		return fmt.Errorf("reading the result: %w", err)
	}
	return update(ctx, config, metadata, map[string][]byte{registration.DefaultKey: content}, metav1.UpdateOptions{}, handoffTimeout)
}

func update(ctx context.Context, config *rest.Config, metadata string, data map[string][]byte, options metav1.UpdateOptions, timeout time.Duration) error {
	secret := &corev1.Secret{}
	if err := json.Unmarshal([]byte(metadata), secret); err != nil {
		return fmt.Errorf("reading which Secret to hand the result over in: %w", err)
	}
	if secret.Data = data; data != nil {
		metav1.SetMetaDataLabel(&secret.ObjectMeta, labelHandedOver, "true")
	}
	api, err := corev1client.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, handoffPause, timeout, true, func(ctx context.Context) (bool, error) {
		_, err := api.Secrets(secret.Namespace).Update(ctx, secret, options)
		if ctx.Err() == nil || last == nil { // That the time is up says less than what went wrong before.
			last = err
		}
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return false, errors.New("this attempt was given up")
		}
		return err == nil, nil // Rights that were granted a moment ago may not be known everywhere yet.
	})
	if err != nil {
		return fmt.Errorf("writing Secret %s/%s as the pod's ServiceAccount: %w: %w", secret.Namespace, secret.Name, err, last)
	}
	return nil
}

// accessConfig connects to the API server with the token in a directory, as a pod is told to by its environment.
func accessConfig(directory string) (*rest.Config, error) {
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
