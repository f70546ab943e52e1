package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// places are where on this machine is what the container's volumes, its image and its termination log are.
func (w *worker) places(c *corev1.Container, p *program, values map[string]string) ([]place, error) {
	places := []place{{container: c.TerminationMessagePath, local: p.terminationLog}}
	for name, local := range p.executables {
		places = append(places, place{container: name, local: local, shared: true})
	}
	for _, m := range c.VolumeMounts {
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = expand(m.SubPathExpr, values)
		}
		local := filepath.Join(w.volume(m.Name), sub)
		if _, err := os.Stat(local); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(local, 0o750); err != nil {
				return nil, fmt.Errorf("failed to create subPath directory for volumeMount %q of container %q: %w", m.Name, c.Name, err)
			}
		}
		places = append(places, place{container: m.MountPath, local: local})
	}
	return places, nil
}

// protect makes the volumes writable or read-only, as the container has them. A volume is what it is for the pod's
// other containers too, and root writes anyway.
func (w *worker) protect(c *corev1.Container) error {
	if os.Geteuid() == 0 {
		return nil
	}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly && !w.isEmptyDir(m.Name) { // Its files have the modes that the pod gives them.
			continue
		}
		if err := chmod(w.volume(m.Name), m.ReadOnly); err != nil {
			return fmt.Errorf("preparing the volume %s for the container %s: %w", m.Name, c.Name, err)
		}
	}
	return nil
}

func (w *worker) isEmptyDir(volume string) bool {
	return slices.ContainsFunc(w.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume && v.EmptyDir != nil })
}

func chmod(directory string, readOnly bool) error {
	const write = 0o222
	return filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o200
		if readOnly {
			mode = info.Mode().Perm() &^ write
		}
		return os.Chmod(path, mode)
	})
}
