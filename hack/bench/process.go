package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/test/operator"
	"github.com/flexops/flex-registration-operator/test/process"
)

// manager is a running operator, as it is built.
type manager struct {
	*process.Process
	command *exec.Cmd
	metrics string // the URL
}

// startManager starts one that connects as user, with further flags. It ends with the bench at the latest.
func (b *bench) startManager(user string, flags ...string) (*manager, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	kubeconfig, err := b.cluster.UserKubeconfig(user, operator.Group)
	if err != nil {
		return nil, err
	}
	m := &manager{metrics: "http://" + address + "/metrics"}
	m.command = exec.Command(filepath.Join(b.directory, "flex-registration-operator"), append(flags,
		"--flexctl="+filepath.Join(b.directory, "flexctl"), "--anypoint-hosts="+b.platform.Host(), "--anypoint-ca="+b.ca(),
		"--leader-elect", "--leader-election-namespace="+operatorNamespace,
		"--metrics-bind-address="+address, "--health-probe-bind-address=0")...)
	m.command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.directory, "KUBECONFIG=" + kubeconfig, "SSL_CERT_FILE=" + b.ca()}
	if m.Process, err = process.Start("the operator", filepath.Join(b.directory, user+".log"), m.command); err != nil {
		return nil, err
	}
	b.undo = append(b.undo, m.stop)
	return m, nil
}

// stop ends it as Kubernetes does, by which it gives the lease back.
func (m *manager) stop() error {
	m.Terminate()
	return m.Wait(20 * time.Second)
}

// scrape sums the values of each of some metrics up.
func (m *manager) scrape(names ...string) ([]float64, error) {
	response, err := http.Get(m.metrics)
	if err != nil {
		return nil, errors.Join(err, m.Died())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	sums := make([]float64, len(names))
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, labels, labelled := strings.Cut(name, "{")
		if labelled { // values of labels may have spaces
			_, value, _ = strings.Cut(labels+" "+value, "} ")
		}
		for i := range names {
			if names[i] == name {
				v, _ := strconv.ParseFloat(value, 64)
				sums[i] += v
			}
		}
	}
	return sums, err
}

// quiet waits until it leads, has nothing in its queue, and has done next to nothing for two seconds. In these it is not scraped,
// which is work too, and the more so the larger the fleet is.
func (m *manager) quiet(ctx context.Context) error {
	const while, most = 2 * time.Second, 0.25
	reconciled, used, since := -1.0, 0.0, time.Now()
	return until(ctx, 10*time.Minute, "the operator comes to rest", func() (bool, error) {
		if err := m.Died(); err != nil {
			return false, err
		}
		took := time.Since(since)
		if took < while {
			return false, nil
		}
		now, err := m.cpu()
		if err != nil {
			return false, err
		}
		quiet := false
		// What watches have shown may keep it busy before there is anything in its queue.
		if now-used < most*took.Seconds() {
			values, err := m.scrape("leader_election_master_status", "workqueue_depth", "controller_runtime_active_workers", "controller_runtime_reconcile_total")
			if err == nil { // It may not listen yet.
				quiet = values[0] > 0 && values[1] == 0 && values[2] == 0 && values[3] == reconciled
				reconciled = values[3]
			}
		}
		used, err = m.cpu()
		since = time.Now()
		return quiet, err
	})
}

// memory is what a process holds, in bytes. Of its resident set, program is what it shares with the file that it is run from.
type memory struct{ rss, program, heap float64 }

// memory reads the resident set as it is, and then what lives on the heap after a collection.
func (m *manager) memory(ctx context.Context) (is memory, err error) {
	proc, err := procfs.NewProc(m.command.Process.Pid)
	if err != nil {
		return is, err
	}
	status, err := proc.NewStatus()
	if err != nil {
		return is, err
	}
	is.rss, is.program = float64(status.VmRSS), float64(status.RssFile)
	// What is in use for the moment while garbage is collected differs from one collection to the next: the least is what stays.
	const readings = 3
	counted := 0.0
	for range readings {
		err := until(ctx, time.Minute, "the operator's garbage is collected", func() (bool, error) {
			if err := m.litter(); err != nil {
				return false, err
			}
			values, err := m.scrape("go_gc_cycles_total_gc_cycles_total", "go_gc_heap_live_bytes")
			if err != nil || values[0] < counted+2 {
				return false, err
			}
			if counted = values[0]; is.heap == 0 || values[1] < is.heap {
				is.heap = values[1]
			}
			return true, nil
		})
		if err != nil {
			return is, err
		}
	}
	return is, nil
}

// litter has the operator make garbage by asking for what there is not. Scraping would do so too, but what is scraped is in use when
// garbage is collected.
func (m *manager) litter() error {
	for range 5000 {
		response, err := http.Get(strings.TrimSuffix(m.metrics, "metrics"))
		if err != nil {
			return errors.Join(err, m.Died())
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
	}
	return nil
}

// cpu is the processor's time that it has used, in seconds.
func (m *manager) cpu() (float64, error) {
	proc, err := procfs.NewProc(m.command.Process.Pid)
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	return stat.CPUTime(), err
}

// holds says whether some bytes are anywhere in its memory.
func (m *manager) holds(what []byte) (bool, error) {
	proc, err := procfs.NewProc(m.command.Process.Pid)
	if err != nil {
		return false, err
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		return false, err
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/mem", proc.PID))
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	if err := m.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer m.command.Process.Signal(syscall.SIGCONT) //nolint:errcheck // it has ended, then
	buffer := make([]byte, 1<<20)
	for _, mapped := range maps {
		if !mapped.Perms.Read || !mapped.Perms.Write {
			continue
		}
		to := int64(mapped.EndAddr)
		for at := int64(mapped.StartAddr); at < to; at += int64(len(buffer) - len(what)) { // The pieces overlap.
			n, _ := file.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			if bytes.Contains(buffer[:n], what) {
				return true, nil
			}
		}
	}
	return false, nil
}

// holder is who has the lease.
func (b *bench) holder(ctx context.Context) string {
	lease := &coordinationv1.Lease{}
	if b.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "flex-registration-operator"}, lease) != nil {
		return ""
	}
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}
