package controllers

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets are those of the gateways that are being worked on, as this process has read or written them last, by
// FlexRegistration. They are read again where the watch shows a newer one, and are given up when a gateway comes to rest. What
// is decided by one that has changed since can't be written: every write of a Secret names the version that it is of.
type secrets struct {
	live, cache client.Reader
	writer      client.Writer
	mu          sync.Mutex
	held        map[types.NamespacedName]map[client.ObjectKey]*corev1.Secret
}

func newSecrets(live, cache client.Reader, writer client.Writer) *secrets {
	return &secrets{live: live, cache: cache, writer: writer, held: map[types.NamespacedName]map[client.ObjectKey]*corev1.Secret{}}
}

// of are the Secrets of one FlexRegistration.
func (s *secrets) of(fr types.NamespacedName) heldSecrets {
	return heldSecrets{s, s.writer, fr}
}

// giveUp forgets the Secrets of a FlexRegistration.
func (s *secrets) giveUp(fr types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, fr)
}

// isCurrent says that the watch has shown nothing newer.
func (s *secrets) isCurrent(ctx context.Context, held *corev1.Secret) bool {
	watched := &metav1.PartialObjectMetadata{TypeMeta: secretMetadata.TypeMeta}
	if s.cache.Get(ctx, client.ObjectKeyFromObject(held), watched) != nil || watched.UID != held.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(watched.ResourceVersion, held.ResourceVersion)
	return err == nil && order <= 0
}

// heldSecrets reads and writes the Secrets of one FlexRegistration.
type heldSecrets struct {
	*secrets
	client.Writer
	fr types.NamespacedName
}

// Get is the client.Reader's.
func (h heldSecrets) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	h.mu.Lock()
	held := h.held[h.fr][key]
	h.mu.Unlock()
	secret, is := object.(*corev1.Secret)
	if is && held != nil && h.isCurrent(ctx, held) {
		held.DeepCopyInto(secret)
		return nil
	}
	return h.keep(object, h.live.Get(ctx, key, object, options...))
}

// List is the client.Reader's.
func (h heldSecrets) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return h.live.List(ctx, list, options...)
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
	secret, is := object.(*corev1.Secret)
	if !is {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		delete(h.held[h.fr], client.ObjectKeyFromObject(object))
		return err
	}
	if h.held[h.fr] == nil {
		h.held[h.fr] = map[client.ObjectKey]*corev1.Secret{}
	}
	h.held[h.fr][client.ObjectKeyFromObject(object)] = secret.DeepCopy()
	return nil
}
