package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// program is what a container is to run, with everything that it needs in place.
type program struct {
	line           []string // as the pod has it
	arguments      []string // of this machine
	executables    map[string]string
	paths          translator
	environment    []string
	search         string // the PATH
	workingDir     string
	terminationLog string
}

// prepare makes a container's files and works out what it runs. An error may pass.
func (w *worker) prepare(c *corev1.Container, image Image) (*program, error) {
	variables, err := w.environment(c)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, v := range variables {
		values[v.name] = v.value
	}
	entrypoint := c.Command
	if len(entrypoint) == 0 {
		entrypoint = image.Entrypoint
	}
	p := &program{executables: image.Programs, terminationLog: filepath.Join(w.files(c), "termination-log"), workingDir: filepath.Join(w.files(c), "root")}
	for _, argument := range slices.Concat(entrypoint, c.Args) {
		p.line = append(p.line, expand(argument, values))
	}
	if len(p.line) == 0 {
		return nil, errors.New("no command specified")
	}
	programs := filepath.Join(w.files(c), "bin")
	if err := w.makeFiles(p, programs); err != nil {
		return nil, err
	}
	places, err := w.places(c, p, values)
	if err != nil {
		return nil, err
	}
	p.paths = newTranslator(places)
	for _, argument := range p.line {
		p.arguments = append(p.arguments, p.paths.toLocal(argument))
	}
	if c.WorkingDir != "" && p.paths.toLocal(c.WorkingDir) != c.WorkingDir {
		p.workingDir = p.paths.toLocal(c.WorkingDir)
	}
	if err := w.setEnvironment(c, p, variables, programs); err != nil {
		return nil, err
	}
	return p, w.protect(c)
}

// makeFiles makes what is the container's own; the programs on its PATH are in a directory.
func (w *worker) makeFiles(p *program, programs string) error {
	for _, directory := range []string{p.workingDir, programs} {
		if err := os.MkdirAll(directory, 0o750); err != nil {
			return fmt.Errorf("making the container's files: %w", err)
		}
	}
	for name, local := range p.executables {
		if strings.Contains(name, "/") && !slices.Contains(strings.Split(imagePath, ":"), path.Dir(name)) {
			continue
		}
		if err := os.Symlink(local, filepath.Join(programs, path.Base(name))); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the container's files: %w", err)
		}
	}
	if err := os.WriteFile(p.terminationLog, nil, 0o600); err != nil {
		return fmt.Errorf("making the container's files: %w", err)
	}
	return nil
}

// imagePath is the PATH that images have.
const imagePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// setEnvironment is what the program finds: what every container has, the test's, and the pod's, of which the last
// one of a name counts.
func (w *worker) setEnvironment(c *corev1.Container, p *program, variables []variable, programs string) error {
	p.search = programs
	p.environment = append([]string{"HOSTNAME=" + w.pod.Name, "HOME=" + p.workingDir}, w.kubelet.options.Env...)
	kubeconfig, err := w.kubeconfig(c, p)
	if err != nil {
		return err
	}
	if kubeconfig != "" {
		p.environment = append(p.environment, "KUBECONFIG="+kubeconfig)
	}
	for _, v := range variables {
		value := v.value
		if !v.foreign {
			value = p.paths.toLocal(value)
		}
		if v.name == "PATH" {
			p.search = p.localPath(v.value) + programs
			continue
		}
		p.environment = append(p.environment, v.name+"="+value)
	}
	p.environment = append(p.environment, "PATH="+p.search)
	return nil
}

// localPath is what of a PATH is in the container's volumes. The image's programs are elsewhere, and this machine's
// are none of the container's business.
func (p *program) localPath(search string) string {
	var result strings.Builder
	for _, directory := range filepath.SplitList(search) {
		if local := p.paths.toLocal(directory); local != directory {
			result.WriteString(local + string(filepath.ListSeparator))
		}
	}
	return result.String()
}

// command is the command to run, or why there is none, in runc's words.
func (p *program) command() (*exec.Cmd, error) {
	name, local := p.line[0], p.arguments[0]
	_, known := p.executables[name]
	switch {
	case !strings.Contains(name, "/"):
		local = ""
		for _, directory := range filepath.SplitList(p.search) {
			if info, err := os.Stat(filepath.Join(directory, name)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				local = filepath.Join(directory, name)
				break
			}
		}
		if local == "" {
			return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", name)
		}
	case local == name && !known: // The image's other files are not this machine's.
		return nil, fmt.Errorf("exec: %q: stat %s: no such file or directory", name, name)
	}
	if _, err := os.Stat(local); err != nil {
		return nil, fmt.Errorf("exec: %q: stat %s: %w", name, name, unwrapped(err))
	}
	return &exec.Cmd{Path: local, Args: append([]string{name}, p.arguments[1:]...), Env: p.environment, Dir: p.workingDir}, nil
}
