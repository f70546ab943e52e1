package kubelet

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// mountAll makes the pod's volumes, and waits for what they need.
func (w *worker) mountAll() bool {
	for i := range w.pod.Spec.Volumes {
		v := &w.pod.Spec.Volumes[i]
		if !w.retry(func() error { return w.mount(v) }, func(err error) {
			w.event(corev1.EventTypeWarning, "FailedMount", fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", v.Name, err))
		}) {
			return false
		}
	}
	return true
}

func (w *worker) volume(name string) string { return filepath.Join(w.directory, "volumes", name) }

// mount makes one volume. Whatever it is made of is as it was then.
func (w *worker) mount(v *corev1.Volume) error {
	directory := w.volume(v.Name)
	if v.EmptyDir != nil {
		if err := os.MkdirAll(directory, 0o750); err != nil {
			return err
		}
		return os.Chmod(directory, 0o777) // Whatever the umask is.
	}
	files, err := w.payload(v)
	if err != nil {
		return err
	}
	return writePayload(directory, files)
}

// file is one of a volume.
type file struct {
	content []byte
	mode    int32
}

// payload is what a volume contains, by path in it.
func (w *worker) payload(v *corev1.Volume) (map[string]file, error) {
	switch {
	case v.Secret != nil:
		s := v.Secret
		return w.secretFiles(s.SecretName, s.Items, mode(s.DefaultMode), ptr.Deref(s.Optional, false))
	case v.ConfigMap != nil:
		c := v.ConfigMap
		return w.configMapFiles(c.Name, c.Items, mode(c.DefaultMode), ptr.Deref(c.Optional, false))
	case v.DownwardAPI != nil:
		return w.fieldFiles(v.DownwardAPI.Items, mode(v.DownwardAPI.DefaultMode))
	}
	all := map[string]file{}
	for _, source := range v.Projected.Sources {
		files, err := w.projected(source, mode(v.Projected.DefaultMode))
		if err != nil {
			return nil, err
		}
		for path, file := range files {
			all[path] = file
		}
	}
	return all, nil
}

func (w *worker) projected(source corev1.VolumeProjection, mode int32) (map[string]file, error) {
	switch {
	case source.Secret != nil:
		return w.secretFiles(source.Secret.Name, source.Secret.Items, mode, ptr.Deref(source.Secret.Optional, false))
	case source.ConfigMap != nil:
		return w.configMapFiles(source.ConfigMap.Name, source.ConfigMap.Items, mode, ptr.Deref(source.ConfigMap.Optional, false))
	case source.DownwardAPI != nil:
		return w.fieldFiles(source.DownwardAPI.Items, mode)
	default:
		token, err := w.token(source.ServiceAccountToken)
		return map[string]file{source.ServiceAccountToken.Path: {content: token, mode: mode}}, err
	}
}

func (w *worker) fieldFiles(items []corev1.DownwardAPIVolumeFile, mode int32) (map[string]file, error) {
	files := map[string]file{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("unsupported source of %s: only fieldRef is played", item.Path)
		}
		value, err := w.field(item.FieldRef)
		if err != nil {
			return nil, err
		}
		files[item.Path] = file{content: []byte(value), mode: ptr.Deref(item.Mode, mode)}
	}
	return files, nil
}

// selected are the items of an object's data, or all of it.
func selected(kind string, data map[string][]byte, items []corev1.KeyToPath, mode int32, optional bool) (map[string]file, error) {
	files := map[string]file{}
	if len(items) == 0 {
		for key, content := range data {
			files[key] = file{content: content, mode: mode}
		}
	}
	for _, item := range items {
		content, ok := data[item.Key]
		if !ok && !optional {
			return nil, fmt.Errorf("references non-existent %s key: %s", kind, item.Key)
		}
		if ok {
			files[item.Path] = file{content: content, mode: ptr.Deref(item.Mode, mode)}
		}
	}
	return files, nil
}

func mode(given *int32) int32 { return ptr.Deref(given, corev1.SecretVolumeSourceDefaultMode) }

// writePayload writes files as the kubelet does, so that who lists the directory finds what is there in a pod:
// symbolic links into a directory that could be exchanged at once.
func writePayload(directory string, files map[string]file) error {
	const data, version = "..data", "..version"
	if err := os.RemoveAll(directory); err != nil { // An earlier attempt may have left something.
		return err
	}
	if err := os.MkdirAll(filepath.Join(directory, version), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(version, filepath.Join(directory, data)); err != nil {
		return err
	}
	for path, file := range files {
		local := filepath.Join(directory, version, path)
		if err := os.MkdirAll(filepath.Dir(local), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(local, file.content, 0o600); err != nil {
			return err
		}
		if err := os.Chmod(local, fs.FileMode(file.mode)); err != nil {
			return err
		}
		first, _, _ := strings.Cut(path, "/")
		if err := os.Symlink(filepath.Join(data, first), filepath.Join(directory, first)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
