package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// startErrorCode is what containerd reports of a container that can't be started.
const startErrorCode = 128

// outputGrace is how long what has left the container's session may go on to print.
const outputGrace = time.Second

// runContainer runs a container to its end and says whether it has succeeded and the pod is still to be run.
func (w *worker) runContainer(c *corev1.Container) bool {
	if !w.hold(c.Name) {
		return false
	}
	image, ok := w.pull(c)
	if !ok {
		return false
	}
	var program *program
	if !w.retry(func() (err error) { program, err = w.prepare(c, image); return err }, func(err error) {
		w.reportWaiting(c.Name, "CreateContainerConfigError", err.Error())
		w.event(corev1.EventTypeWarning, "Failed", "Error: "+err.Error())
	}) {
		return false
	}
	return w.execute(c, program) && w.work.Err() == nil
}

// pull waits until the container's image is known.
func (w *worker) pull(c *corev1.Container) (Image, bool) {
	for told := false; ; {
		image, changed, ok := w.kubelet.images.find(c.Image)
		if ok {
			return image, true
		}
		if !told {
			message := pullError(c.Image)
			w.event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %s", c.Image, message))
			w.reportWaiting(c.Name, "ErrImagePull", message)
			message = fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.Image, message)
			w.event(corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image))
			w.reportWaiting(c.Name, "ImagePullBackOff", message)
			told = true
		}
		select {
		case <-changed:
		case <-w.work.Done():
			return Image{}, false
		}
	}
}

// execute starts the program, reports that it runs, and how it has ended.
func (w *worker) execute(c *corev1.Container, program *program) (succeeded bool) {
	id := containerID()
	created := func(s *corev1.ContainerStatus) { s.ContainerID, s.ImageID = id, imageID(c.Image) }
	ended := func(t corev1.ContainerStateTerminated) {
		t.ContainerID, t.FinishedAt = id, metav1.Now()
		w.reportContainer(c.Name, func(s *corev1.ContainerStatus) {
			created(s)
			s.Started = ptr.To(false)
			s.Ready = t.ExitCode == 0 && w.isInit(c.Name)
			s.State = corev1.ContainerState{Terminated: &t}
		})
	}
	startedAt := metav1.Now()
	process, printed, err := w.start(c, program)
	if errors.Is(err, errNodeDead) {
		return false
	}
	if err != nil {
		message := "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: " +
			"unable to start container process: error during container init: " + err.Error()
		w.event(corev1.EventTypeWarning, "Failed", "Error: "+message)
		ended(corev1.ContainerStateTerminated{ExitCode: startErrorCode, Reason: "StartError", Message: message, StartedAt: metav1.Unix(0, 0)})
		return false
	}
	w.reportContainer(c.Name, func(s *corev1.ContainerStatus) {
		created(s)
		s.Started, s.Ready = ptr.To(true), !w.isInit(c.Name)
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: startedAt}}
	})
	w.await(process)
	<-printed
	terminated := corev1.ContainerStateTerminated{ExitCode: process.exitCode(), Reason: "Completed", StartedAt: startedAt}
	if terminated.ExitCode != 0 {
		terminated.Reason = "Error"
	}
	terminated.Message = w.terminationMessage(c, program, terminated.ExitCode)
	ended(terminated)
	return terminated.ExitCode == 0
}

func (w *worker) isInit(container string) bool {
	for _, c := range w.pod.Spec.InitContainers {
		if c.Name == container {
			return true
		}
	}
	return false
}

var errNodeDead = errors.New("the node is dead")

// start starts the program; printed is closed when all that it prints has been taken.
func (w *worker) start(c *corev1.Container, program *program) (p *process, printed <-chan struct{}, err error) {
	command, err := program.command()
	if err != nil {
		return nil, nil, err
	}
	reader, writer, err := pipe(command)
	if err != nil {
		return nil, nil, err
	}
	defer writer.Close() //nolint:errcheck // The process has its own.

	w.processesMu.Lock()
	defer w.processesMu.Unlock()
	if w.processes == nil {
		_ = reader.Close() // Nothing has been printed.
		return nil, nil, errNodeDead
	}
	if p, err = startProcess(command); err != nil {
		_ = reader.Close() // Nothing has been printed.
		return nil, nil, fmt.Errorf("exec: %q: %w", program.line[0], unwrapped(err))
	}
	w.processes[p] = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer reader.Close() //nolint:errcheck // It has been read.
		w.kubelet.outputs.copy(outputOf{w.key, c.Name}, reader, program.paths)
	}()
	go func() {
		<-p.ended
		_ = reader.SetReadDeadline(time.Now().Add(outputGrace)) // Pipes have deadlines.
	}()
	return p, done, nil
}

// unwrapped leaves the local path out.
func unwrapped(err error) error {
	if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// await waits until a process has ended, and ends it when the pod is deleted or the node dies.
func (w *worker) await(p *process) {
	select {
	case <-p.ended:
	case <-w.work.Done():
		if w.patience.Err() == nil {
			p.terminate()
		}
		select {
		case <-p.ended:
		case <-w.patience.Done():
			p.kill()
			<-p.ended
		}
	}
	w.processesMu.Lock()
	delete(w.processes, p)
	w.processesMu.Unlock()
}

// terminationMessage is what the container leaves, within the kubelet's limits.
func (w *worker) terminationMessage(c *corev1.Container, program *program, code int32) string {
	const maxMessage, maxLog = 4096, 2048
	content, err := os.ReadFile(program.terminationLog)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("Error on reading termination log %s: %v", c.TerminationMessagePath, unwrapped(err))
	}
	message := program.paths.toContainer(string(content))
	if message == "" && code != 0 && c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError {
		printed := w.kubelet.Output(w.key, c.Name)
		return printed[max(0, len(printed)-maxLog):]
	}
	return message[max(0, len(message)-maxMessage):]
}

// files is where the container's own files are.
func (w *worker) files(c *corev1.Container) string {
	return filepath.Join(w.directory, "containers", c.Name)
}
