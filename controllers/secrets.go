package controllers

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets are those of the gateways that are being worked on, as this process has read or written them last. They are read
// again where the watch shows a newer one, and are given up when a gateway comes to rest. What is decided by one that has
// changed since can't be written: every write of a Secret names the version that it is of.
type secrets struct {
	live, cache client.Reader
	mu          sync.Mutex
	held        map[client.ObjectKey]*corev1.Secret
}

func newSecrets(live, cache client.Reader) *secrets {
	return &secrets{live: live, cache: cache, held: map[client.ObjectKey]*corev1.Secret{}}
}

// Get is the client.Reader's.
func (s *secrets) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	secret, is := object.(*corev1.Secret)
	if !is {
		return s.live.Get(ctx, key, object, options...)
	}
	if held := s.get(key); held != nil && s.isCurrent(ctx, held) {
		held.DeepCopyInto(secret)
		return nil
	}
	err := s.live.Get(ctx, key, secret, options...)
	if err != nil {
		s.giveUp(key)
		return err
	}
	s.hold(secret)
	return nil
}

// List is the client.Reader's.
func (s *secrets) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return s.live.List(ctx, list, options...)
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

func (s *secrets) get(key client.ObjectKey) *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[key]
}

func (s *secrets) hold(secret *corev1.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[client.ObjectKeyFromObject(secret)] = secret.DeepCopy()
}

func (s *secrets) giveUp(keys ...client.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.held, key)
	}
}

// writer remembers the Secrets that it has written.
type writer struct {
	client.Writer
	*secrets
}

// Create is the client.Writer's.
func (w writer) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return w.wrote(object, w.Writer.Create(ctx, object, options...))
}

// Update is the client.Writer's.
func (w writer) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	return w.wrote(object, w.Writer.Update(ctx, object, options...))
}

func (w writer) wrote(object client.Object, err error) error {
	switch secret, is := object.(*corev1.Secret); {
	case !is:
	case err != nil:
		w.giveUp(client.ObjectKeyFromObject(object)) // It may have been written all the same.
	default:
		w.hold(secret)
	}
	return err
}
