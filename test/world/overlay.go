package world

import (
	"bytes"
	"context"
	_ "embed" // the overlay
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed overlay.yaml
var overlay string

// writeOverlay writes a kustomization on top of config/default into a directory.
func writeOverlay(ctx context.Context, directory, image string, p *Platform) error {
	base, err := configDefault(ctx, directory)
	if err != nil {
		return err
	}
	colon := strings.LastIndex(image, ":") // images of this package have a tag
	values := struct{ Default, Image, Tag, Host string }{base, image[:colon], image[colon+1:], p.Host}
	t, err := template.New("overlay").Parse(overlay)
	if err != nil {
		return fmt.Errorf("read the template of the overlay: %w", err)
	}
	var content bytes.Buffer
	if err := t.Execute(&content, values); err != nil {
		return fmt.Errorf("fill the template of the overlay: %w", err)
	}
	for name, content := range map[string][]byte{"kustomization.yaml": content.Bytes(), caFile: p.CAFile} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return fmt.Errorf("write the overlay: %w", err)
		}
	}
	return nil
}

// configDefault is the way from a directory to config/default: kustomize wants no absolute one.
func configDefault(ctx context.Context, directory string) (string, error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	root, err := filepath.EvalSymlinks(filepath.Dir(strings.TrimSpace(string(gomod))))
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	if directory, err = filepath.EvalSymlinks(directory); err != nil {
		return "", fmt.Errorf("find the directory of the overlay: %w", err)
	}
	return filepath.Rel(directory, filepath.Join(root, "config/default"))
}
