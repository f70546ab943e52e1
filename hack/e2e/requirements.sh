#!/usr/bin/env bash
# Checks that this machine can run a Kubernetes node, and installs what is missing if it has apt-get. The
# status is 3 if it can't, and the last lines say what is missing.
set -euo pipefail
# Where Debian keeps what only root runs.
PATH=$PATH:/usr/sbin:/sbin

packages=(containerd runc containernetworking-plugins iproute2 util-linux)
missing=()

check_programs() {
  local program dir
  missing=()
  for program in containerd ctr runc ip unshare setpriv flock mount; do
    type -P "$program" >/dev/null || missing+=("the program $program")
  done
  for dir in /usr/lib/cni /opt/cni/bin; do
    [ ! -x "$dir/bridge" ] || [ ! -x "$dir/host-local" ] || [ ! -x "$dir/loopback" ] || return 0
  done
  missing+=("the CNI plugins bridge, host-local and loopback in /usr/lib/cni or /opt/cni/bin")
}

# What a container on this machine may not be allowed, root or not.
check_rights() {
  local dir
  unshare --net --mount --pid --fork --mount-proc true 2>/dev/null ||
    missing+=("the right to make network, mount and process namespaces (CAP_SYS_ADMIN)")
  for dir in $(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts); do
    [ ! -w "$dir" ] || return 0
  done
  missing+=("a writable cgroup file system")
}

stop() {
  echo "e2e: no node can run on this machine. Missing:" >&2
  printf 'e2e:   %s\n' "${missing[@]}" >&2
  echo "e2e: Provide it, or set KUBECONFIG to an existing cluster and E2E_REGISTRY to a registry it pulls from." >&2
  exit 3
}

[ "$(uname -s)" = Linux ] || missing+=("Linux")
[ "$(id -u)" -eq 0 ] || missing+=("root")
[ ${#missing[@]} -eq 0 ] || stop

check_programs
if [ ${#missing[@]} -gt 0 ] && type -P apt-get >/dev/null; then
  echo "e2e: installing ${packages[*]}" >&2
  install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2; }
  install || { apt-get update >&2 && install; } || true # what is still missing is told below
  check_programs
fi
[ ${#missing[@]} -eq 0 ] || stop
check_rights
[ ${#missing[@]} -eq 0 ] || stop
