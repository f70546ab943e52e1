package kubelet

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

type outputOf struct {
	pod       client.ObjectKey
	container string
}

// outputs are what containers have printed.
type outputs struct {
	mu     sync.Mutex
	writer io.Writer // may be nil
	texts  map[outputOf]*strings.Builder
}

func newOutputs(writer io.Writer) *outputs {
	return &outputs{writer: writer, texts: map[outputOf]*strings.Builder{}}
}

// copy takes what a container prints, until its end. Paths of this machine become those of the container.
func (o *outputs) copy(of outputOf, from io.Reader, paths translator) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			line = paths.toContainer(line)
			o.append(of, line)
			o.log(of.pod.Name+"/"+of.container, strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

func (o *outputs) append(of outputOf, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.texts[of] == nil {
		o.texts[of] = &strings.Builder{}
	}
	o.texts[of].WriteString(line)
}

func (o *outputs) get(pod client.ObjectKey, container string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text := o.texts[outputOf{pod, container}]; text != nil {
		return text.String()
	}
	return ""
}

func (o *outputs) log(who, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writer != nil {
		fmt.Fprintf(o.writer, "%s: %s\n", who, line)
	}
}
