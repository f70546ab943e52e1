package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/internal/gateway"
)

// heldSecrets reads and writes the Secrets of a gateway, and holds them as this process has read or written them last. They are read
// again where the watch shows a newer one, and are given up when the gateway comes to rest. What is decided by one that has changed
// since can't be written: every write of a Secret names the version that it is of.
type heldSecrets struct {
	client.Reader // from the API server
	client.Writer
	cache client.Reader
	held  map[client.ObjectKey]*corev1.Secret
}

// secretsOf are the Secrets of one FlexRegistration, on which one worker works at a time.
func (r *Reconciler) secretsOf(fr types.NamespacedName) heldSecrets {
	held, _ := r.secrets.LoadOrStore(fr, heldSecrets{r.APIReader, r.Client, r.Cache, map[client.ObjectKey]*corev1.Secret{}})
	return held.(heldSecrets)
}

// isCurrent says that the watch has shown nothing newer.
func (h heldSecrets) isCurrent(ctx context.Context, held *corev1.Secret) bool {
	watched := gateway.SecretMetadata()
	if h.cache.Get(ctx, client.ObjectKeyFromObject(held), watched) != nil || watched.UID != held.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(watched.ResourceVersion, held.ResourceVersion)
	return err == nil && order <= 0
}

// Get is the client.Reader's.
func (h heldSecrets) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	held := h.held[key]
	secret, is := object.(*corev1.Secret)
	if is && held != nil && h.isCurrent(ctx, held) {
		held.DeepCopyInto(secret)
		return nil
	}
	return h.keep(object, h.Reader.Get(ctx, key, object, options...))
}

// Create is the client.Writer's.
func (h heldSecrets) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return h.keep(object, h.Writer.Create(ctx, object, options...))
}

// Update is the client.Writer's.
func (h heldSecrets) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	return h.keep(object, h.Writer.Update(ctx, object, options...))
}

// keep holds a Secret as the API server has answered it; after an error none, since it may have been written all the same.
func (h heldSecrets) keep(object client.Object, err error) error {
	key := client.ObjectKeyFromObject(object)
	if secret, is := object.(*corev1.Secret); is && err == nil {
		h.held[key] = secret.DeepCopy()
	} else if is {
		delete(h.held, key)
	}
	return err
}
