package node

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"text/template"
)

//go:embed containerd.toml cni.json kubelet.yaml
var templates embed.FS

// configuration is what the templates of configuration files refer to.
type configuration struct {
	Dir             string // of the node
	CNIPlugins      string
	Pause           string // an image
	Address         string
	PodCIDR         string
	Cgroup          string
	KubeletClientCA string
}

// configure writes to target what the template makes of v.
func configure(target, name string, v configuration) error {
	t, err := template.ParseFS(templates, name)
	if err != nil {
		return fmt.Errorf("read the template %s: %w", name, err)
	}
	var content bytes.Buffer
	if err := t.Execute(&content, v); err != nil {
		return fmt.Errorf("fill the template %s: %w", name, err)
	}
	if err := os.WriteFile(target, content.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the configuration %s: %w", name, err)
	}
	return nil
}
