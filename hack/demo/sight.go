package main

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// sight is what the cluster holds of the gateway at a moment.
type sight struct {
	registration *registration.Registration
	written      time.Time // when the Secret was
	pods         map[types.UID]corev1.Pod
}

func look(ctx context.Context, admin client.Client) (*sight, error) {
	secret := &corev1.Secret{}
	if err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: operator.SecretName}, secret); err != nil {
		return nil, err
	}
	s := &sight{written: gateway.Written(secret, registration.DefaultKey), pods: map[types.UID]corev1.Pod{}}
	var err error
	if s.registration, err = registration.Parse(secret.Data, registration.DefaultKey); err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := admin.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		s.pods[pod.UID] = pod
	}
	return s, nil
}

// podNames are arguments for kubectl.
func (s *sight) podNames() string {
	var names []string
	for _, pod := range s.pods {
		names = append(names, "pod/"+pod.Name)
	}
	return strings.Join(names, " ")
}
