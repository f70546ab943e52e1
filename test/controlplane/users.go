package controlplane

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// User returns a configuration that connects as the named user, who has no rights but those that RBAC gives
// to the name or the groups. A service account can be played with the name system:serviceaccount:NAMESPACE:NAME.
func (c *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	user, err := c.addUser(name, groups)
	if err != nil {
		return nil, err
	}
	return user.Config(), nil
}

// UserKubeconfig is User for programs: it returns the path of a kubeconfig file, which Stop removes.
func (c *ControlPlane) UserKubeconfig(name string, groups ...string) (string, error) {
	return c.kubeconfig(name, groups...)
}

func (c *ControlPlane) kubeconfig(name string, groups ...string) (string, error) {
	user, err := c.addUser(name, groups)
	if err != nil {
		return "", err
	}
	content, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("make a kubeconfig for %s: %w", name, err)
	}
	file, err := os.CreateTemp(c.dir, "*.kubeconfig")
	if err != nil {
		return "", fmt.Errorf("make a kubeconfig for %s: %w", name, err)
	}
	if _, err := file.Write(content); err != nil {
		_ = file.Close()
		return "", fmt.Errorf("write the kubeconfig for %s: %w", name, err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("write the kubeconfig for %s: %w", name, err)
	}
	return file.Name(), nil
}

func (c *ControlPlane) addUser(name string, groups []string) (*envtest.AuthenticatedUser, error) {
	c.users.Lock()
	defer c.users.Unlock()
	// No limits: client-go's default of five requests a second would be what tests measure.
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: 1000, Burst: 2000})
	if err != nil {
		return nil, fmt.Errorf("add the user %s: %w", name, err)
	}
	return user, nil
}
