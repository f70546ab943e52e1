package kubelet

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// reap waits until a main process has ended, and ends what it has left. While it isn't reaped, no other process can
// have its id.
func reap(command *exec.Cmd) {
	pid := command.Process.Pid
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	killSession(pid)
	_ = command.Wait() // How it ended is in ProcessState.
}

// killSession kills the session's members, among them those in process groups of their own, until there are none:
// what is about to be killed may start others.
func killSession(leader int) {
	const attempts = 1000
	for range attempts {
		left := members(leader)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended.
		}
	}
}

// members are the session's living processes, the leader left out.
func members(leader int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is right.
	var pids []int
	for _, file := range stats {
		content, err := os.ReadFile(file)
		if err != nil { // It has ended.
			continue
		}
		// The second field is a name in parentheses, with whatever in it.
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:])) // state, parent, process group, session
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(fields) < 4 || fields[3] != strconv.Itoa(leader) || pid == leader || fields[0] == "Z" || fields[0] == "X" {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}
