package anypoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// maxOutput bounds, in bytes, how much of flexctl's output is kept. The rest is read and dropped.
const maxOutput = 64 << 10

// directoryPrefix starts the names of the private directories; the process id follows.
const directoryPrefix = "flex-registration-operator-"

// Exec renews by running a flexctl on this machine.
type Exec struct {
	// Flexctl is the program's path, or its name on the PATH.
	Flexctl string
	// Hosts are the control planes that credentials may be sent to, as host or host:port.
	Hosts []string
	// Supervisor, where set, is a command that runs Supervise with the arguments that follow it. It ends
	// flexctl together with its children when this process dies (Linux).
	Supervisor []string
	// Directory in which private directories are made. Default: one in memory where the system has it.
	Directory string
	// Environment of flexctl, as NAME=value, beside HOME and TMPDIR. Default: what this process has of the PATH and
	// of what it takes to reach the platform.
	Environment []string
}

// Renew runs `flexctl registration renew` on the registration alone, in a directory that only this process can
// read and that is gone afterwards. flexctl is ended, with its children, when the context is.
func (e *Exec) Renew(ctx context.Context, old *registration.Registration, credentials Credentials) (*registration.Registration, error) {
	if err := old.CheckHost(e.Hosts); err != nil {
		return nil, &Error{Class: HostNotAllowed, Detail: err.Error()}
	}
	program, err := exec.LookPath(e.Flexctl)
	if err == nil {
		program, err = filepath.Abs(program) // It is run in another directory.
	}
	if err != nil {
		return nil, &Error{Class: FlexctlUnusable, Detail: fmt.Sprintf("there is no program %q to run: set spec.flexctl.image to an image that has it, "+
			"or, where the operator runs flexctl itself, --flexctl to its path", e.Flexctl)}
	}
	directory, err := os.MkdirTemp(e.directory(), fmt.Sprintf("%s%d-", directoryPrefix, os.Getpid()))
	defer func() { _ = os.RemoveAll(directory) }()
	input, result := filepath.Join(directory, "old", registration.DefaultKey), filepath.Join(directory, "new")
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Dir(input), 0o700), os.Mkdir(result, 0o700), os.WriteFile(input, old.Marshal(), 0o600))
	}
	if err != nil {
		return nil, &Error{Class: FlexctlFailed, Detail: "making a private directory with the registration for flexctl: " + pathless(err)}
	}

	credentials = credentials.hiding(e.environment())
	line := slices.Concat(e.Supervisor, []string{program, "registration", "renew", "--output-directory=" + result}, credentials.flags(), []string{input})
	failure := e.run(ctx, directory, credentials, line)
	// A renewed registration can't be had again, so it counts where flexctl failed or hung after writing it too.
	renewed, invalid := readResult(result)
	switch {
	case failure != nil && (invalid != nil || renewed.Certificate().Fingerprint == old.Certificate().Fingerprint):
		return nil, failure
	case invalid != nil:
		return nil, invalid
	}
	return renewed, nil
}

// run runs a command line and returns nil where it exited with status 0.
func (e *Exec) run(ctx context.Context, directory string, credentials Credentials, line []string) *Error {
	command := exec.CommandContext(ctx, line[0], line[1:]...) //nolint:gosec // The program is the administrator's, no shell is involved.
	command.Dir = directory
	command.Env = append(e.environment(), "HOME="+directory, "TMPDIR="+directory)
	output := &boundedBuffer{}
	command.Stdout, command.Stderr = output, output
	// A group of its own, so that what it has started ends with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endGroup := func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.Cancel = endGroup
	// Children that hold the output open must not hold up the operator.
	command.WaitDelay = 2 * time.Second
	err := runWithParentDeath(command, syscall.SIGTERM)
	if command.Process != nil {
		_ = endGroup()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &Error{Class: TimedOut, Unresolved: true, Detail: fmt.Sprintf("flexctl was ended before it had finished (%s): %s", context.Cause(ctx), scrub(output.String(), credentials))}
	case errors.As(err, &exit):
		return classify(exit.ProcessState.String(), output.String(), credentials)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // flexctl itself has exited with 0; what it left running was ended.
	default:
		return &Error{Class: FlexctlUnusable, Detail: "starting flexctl: " + pathless(err)}
	}
}

// readResult reads what flexctl wrote. Where it is unusable, the platform may have renewed all the same.
func readResult(directory string) (*registration.Registration, *Error) {
	data, err := readFiles(directory, readFile, registration.DefaultKey, registration.CertificateKey)
	if err != nil {
		return nil, &Error{Class: ResultInvalid, Unresolved: true, Detail: "reading what flexctl wrote: " + err.Error()}
	}
	if len(data) == 0 {
		return nil, &Error{Class: ResultInvalid, Unresolved: true, Detail: "flexctl reported success but wrote no registration"}
	}
	renewed, err := registration.Parse(data, registration.DefaultKey)
	if err != nil {
		return nil, &Error{Class: ResultInvalid, Unresolved: true, Detail: "flexctl reported success but what it wrote is no registration: " + err.Error()}
	}
	return renewed, nil
}

// ReadResult reads what a renewal has left in a directory, as it stands: a regular file that is no larger than a
// registration may be.
func ReadResult(directory string) ([]byte, error) {
	return readFile(filepath.Join(directory, registration.DefaultKey))
}

// readFile reads a regular file that is no larger than a registration may be.
func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path) //nolint:gosec // The path is in our own private directory.
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, registration.MaxSize+1))
	if err == nil && len(content) > registration.MaxSize {
		err = fmt.Errorf("it has more than the %d bytes that a registration may have", registration.MaxSize)
	}
	return content, err
}

// readFiles reads those of some files that a directory has.
func readFiles(directory string, read func(path string) ([]byte, error), names ...string) (map[string][]byte, error) {
	data := map[string][]byte{}
	for _, name := range names {
		content, err := read(filepath.Join(directory, name))
		switch {
		case err == nil:
			data[name] = content
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: %s", name, pathless(err))
		}
	}
	return data, nil
}

// Sweep removes private directories that processes which no longer run have left behind.
func (e *Exec) Sweep() error {
	entries, err := os.ReadDir(e.directory())
	if err != nil {
		return fmt.Errorf("looking for directories that an earlier operator left behind: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscanf(entry.Name(), directoryPrefix+"%d-", &pid); err != nil || !entry.IsDir() {
			continue
		}
		// One with our own process id is an earlier process's too: in a container the id is always the same.
		if pid != os.Getpid() && syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(e.directory(), entry.Name())))
	}
	return errors.Join(errs...)
}

func (e *Exec) directory() string {
	const memory = "/dev/shm" // where no disk sees the registration's key
	switch {
	case e.Directory != "":
		return e.Directory
	case unix.Access(memory, unix.W_OK) == nil:
		return memory
	default:
		return os.TempDir()
	}
}

// What a program takes to reach the platform. Programs differ in which spelling of the proxy's variables they heed.
var (
	proxyVariables       = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
	certificateVariables = []string{"SSL_CERT_FILE", "SSL_CERT_DIR"}
)

// environment passes on what a program needs to reach the platform, and nothing else of the operator's.
func (e *Exec) environment() []string {
	if e.Environment != nil {
		return slices.Clone(e.Environment)
	}
	env := []string{"PATH=" + os.Getenv("PATH")}
	for _, name := range slices.Concat(proxyVariables, certificateVariables) {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// pathless drops the path, which names our private directory, from a file system error.
func pathless(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Op + ": " + path.Err.Error()
	}
	return err.Error()
}

// boundedBuffer keeps the first maxOutput bytes, to the end of a line: half a credential would not be recognised.
type boundedBuffer struct {
	text strings.Builder
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if room := maxOutput - b.text.Len(); room > 0 {
		b.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	text := b.text.String()
	if len(text) == maxOutput {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	return text
}
