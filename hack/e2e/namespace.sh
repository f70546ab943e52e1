#!/usr/bin/env bash
# The first process in the namespaces that isolate.sh makes: prepares them, and runs the command.
#
#   namespace.sh DIRECTORY... -- COMMAND [ARGUMENT...]
set -euo pipefail

# Files go to memory, and vanish with the mount. It is also a file system that overlayfs can stand on.
mount -t tmpfs -o mode=0755 e2e "$TMPDIR"
while [ "$1" != -- ]; do
  mount -t tmpfs -o mode=0755 e2e "$1"
  shift
done
shift

# Files that stand for others are on a mount of their own: the kubelet takes any place where it finds a mount for
# the one to measure, and must not find those.
stand_ins=$TMPDIR/stand-ins
mkdir "$stand_ins" "$TMPDIR/tmp"
mount -t tmpfs -o mode=0755 e2e "$stand_ins"

# The kubelet sets these for the whole machine. It finds the values that it wants, in files of our own.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$stand_ins/${setting%=*}
  mkdir -p "${file%/*}"
  echo "${setting#*=}" >"$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done

# No name is resolved, and that fails at once: nobody listens at this port of the loopback.
echo "nameserver 127.0.0.1" >"$stand_ins/resolv.conf"
mount --bind "$stand_ins/resolv.conf" /etc/resolv.conf

ip link set lo up
# The Service "kubernetes", and the node. See ServiceAddress in test/controlplane and Address in test/node.
ip address add 10.0.0.1/32 dev lo
ip address add 192.0.2.1/32 dev lo

export TMPDIR=$TMPDIR/tmp KUBECACHEDIR=$TMPDIR/kubectl
# Not exec: this shell stays the first process and reaps those that lose their parents.
"$@"
