package gateway

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ClusterIdentity tells clusters apart: the UID of the namespace kube-system or, where that can't be read, of
// the namespace itself. It is "" where neither can be read.
func ClusterIdentity(ctx context.Context, r client.Reader, namespace string) (string, error) {
	for _, name := range []string{metav1.NamespaceSystem, namespace} {
		ns := &corev1.Namespace{}
		if err := r.Get(ctx, client.ObjectKey{Name: name}, ns); err == nil {
			return name + "/" + string(ns.UID), nil
		} else if !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("getting namespace %s, which identifies the cluster: %w", name, err)
		}
	}
	return "", nil
}

// SameCluster compares two identities. Those that were made from different namespaces, because rights have
// changed in between, can't be told apart.
func SameCluster(a, b string) bool {
	nameA, _, _ := strings.Cut(a, "/")
	nameB, _, _ := strings.Cut(b, "/")
	return a == b || nameA != nameB
}
