#!/usr/bin/env bash
# Runs a command in network, mount and process namespaces of its own, prepared for a Kubernetes node:
#
#   hack/e2e/isolate.sh COMMAND [ARGUMENT...]
#
# All processes, mounts, interfaces and addresses that it makes end with it, however it ends, and it has no
# network but its own. What namespaces don't separate is cleaned up here: cgroups, and directories that had to
# be made to mount upon. They are also why one runs at a time, and the next one waits. The status is the command's.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
unset CDPATH
here=$(cd "$(dirname "$0")" && pwd)

# Directories that the programs of a node write to, whatever they are told.
private=(/run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers)

cgroup=flex-registration-e2e
cgroups=()
controllers= # that were enabled for the children of the root, in cgroup v2
made=()
child=
work=

# Repeats a command until it succeeds, for ten seconds: processes that have been killed take a moment to end.
retry() {
  local i
  for ((i = 0; i < 100; i++)); do
    if "$@"; then return 0; fi # a bare return would return the status before the trap
    sleep 0.1
  done
  return 1
}
remove_cgroup() {
  [ ! -d "$1" ] || find "$1" -depth -type d -delete 2>/dev/null
}
cleanup() {
  local status=$? i
  trap '' INT TERM HUP
  if [ -n "$child" ]; then # takes all processes with it
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  for i in ${cgroups[@]+"${cgroups[@]}"}; do
    retry remove_cgroup "$i" || echo "e2e: the cgroup $i could not be removed: look for its processes in cgroup.procs" >&2
  done
  for i in $controllers; do
    echo "-$i" >/sys/fs/cgroup/cgroup.subtree_control || true
  done
  for ((i = ${#made[@]} - 1; i >= 0; i--)); do
    retry rmdir "${made[i]}" || true
  done
  [ -z "$work" ] || rmdir "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The lock ends with this process. Nothing else locks this directory.
exec 9</sys/fs/cgroup
if ! flock --nonblock 9; then
  echo "e2e: waiting, for half an hour at most, until another run on this machine ends" >&2
  flock --timeout 1800 9 || { echo "e2e: another run on this machine does not end: look for hack/e2e/isolate.sh" >&2; exit 1; }
fi
work=$(mktemp -d)

make_directory() {
  [ ! -d "$1" ] || return 0
  make_directory "$(dirname "$1")"
  mkdir "$1"
  made+=("$1")
}
for directory in "${private[@]}"; do make_directory "$directory"; done

# The kubelet wants its topmost cgroup to be there, in each hierarchy that it and runc know.
enable_controllers() {
  local controller enabled=/sys/fs/cgroup/cgroup.subtree_control
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    case " $(cat "$enabled") " in *" $controller "*) continue ;; esac
    echo "+$controller" 2>/dev/null >"$enabled" && controllers+=" $controller"
  done
  return 0
}
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || enable_controllers
for hierarchy in $(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts); do
  retry remove_cgroup "$hierarchy/$cgroup" || true # of a run that was killed
  mkdir "$hierarchy/$cgroup"
  cgroups+=("$hierarchy/$cgroup")
  # In cgroup v1, a new cpuset has no processors.
  for file in cpuset.cpus cpuset.mems; do
    [ ! -e "$hierarchy/cgroup.clone_children" ] || [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$cgroup/$file"
  done
done

# If this script is killed, so is unshare, and with it the first process of the namespace and hence all.
E2E_CGROUP=/$cgroup TMPDIR=$work setpriv --pdeathsig KILL \
  unshare --net --mount --pid --fork --kill-child --mount-proc \
  "$here/namespace.sh" "${private[@]}" -- "$@" 9<&- &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
