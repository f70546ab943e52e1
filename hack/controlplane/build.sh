#!/usr/bin/env bash
# Prints, on standard output, a directory that holds the programs of a real control plane, and builds
# those that are not there yet; progress goes to standard error.
#
#   hack/controlplane/build.sh [PROGRAM...]
#
# Programs that are named, such as the kubelet, are added to those of the control plane.
#
# For each program the first that exists is taken: $KUBEBUILDER_ASSETS/PROGRAM, PROGRAM on the PATH, the
# cache, a build from the Go modules that go.mod beside this file pins. The cache is shared by all clones
# and keyed by everything that the binaries depend on. kubectl and the kubelet are often on a PATH for another
# reason and in another version, so there they count only beside a kube-apiserver.
#
# It runs in the bash 3.2 that macOS has: no associative arrays, and no empty ones under set -u.
set -euo pipefail

assets=${KUBEBUILDER_ASSETS:-}
case $assets in "" | /*) ;; *) assets=$PWD/$assets ;; esac
unset CDPATH
cd "$(dirname "$0")"

programs=(etcd kube-apiserver kubectl kube-controller-manager kube-scheduler kwok)
for program in "$@"; do
  case " ${programs[*]} " in *" $program "*) ;; *) programs+=("$program") ;; esac
done
package_of() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kwok) echo sigs.k8s.io/kwok/cmd/kwok ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}
say() { echo "control plane: $*" >&2; }

# The same build whatever the caller's environment, so that everybody shares one cache.
unset GOOS GOARCH GOEXPERIMENT
export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off
key=$({ cat go.mod go.sum build.sh; go version; } | git hash-object --stdin | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flex-registration-operator/controlplane/$key

belongs_to_control_plane() { # program on the PATH
  case $1 in kubectl | kubelet) type -P kube-apiserver >/dev/null ;; esac
}
is_program() { [ -f "$1" ] && [ -x "$1" ]; }
# Prints where a program is; prints nothing if it has to be built.
find_program() {
  local path
  if [ -n "$assets" ] && is_program "$assets/$1"; then
    echo "$assets/$1"
  elif path=$(type -P "$1") && belongs_to_control_plane "$1"; then
    echo "$path"
  elif is_program "$cache/$1"; then
    echo "$cache/$1"
  fi
}

# Passes standard input on to standard error, but sums up what go says about each module and package.
sum_up() { # packages in all
  local line modules=0 compiled=0
  while IFS= read -r line; do
    case $line in
      "go: downloading "*)
        modules=$((modules + 1))
        [ $((modules % 50)) -ne 0 ] || say "$modules modules downloaded" ;;
      *[!A-Za-z0-9._~/-]* | "") echo "$line" >&2 ;;
      *) # the path of a package that has been compiled
        compiled=$((compiled + 1))
        [ $((compiled % 100)) -ne 0 ] || say "$compiled of at most $1 packages compiled" ;;
    esac
  done
}

build() { # programs
  local work version minor package program total ldflags="-s -w" packages=()
  for program in "$@"; do packages+=("$(package_of "$program")"); done
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build.XXXXXX")
  # The directory's name is put into the trap now: it is local, and gone when the trap runs.
  trap "$(printf 'rm -rf %q' "$work")" EXIT
  say "building $* (once; about ten minutes on two cores)"
  say "downloading modules"
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  { go list -tags grpcnotrace -deps "${packages[@]}" 2>&1 >"$work/deps"; } | sum_up 0
  total=$(($(wc -l <"$work/deps")))
  # Without these, discovery and kubectl report v0.0.0.
  minor=${version#v1.} minor=${minor%%.*}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ldflags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    ldflags+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
  done
  say "compiling up to $total packages"
  # One build for all of them shares the packages; -v prints a line for each package as it is compiled.
  # No -trimpath: the Go build cache is then shared with the project's own tests.
  go build -v -tags grpcnotrace -ldflags "$ldflags" -o "$work/" "${packages[@]}" 2>&1 | sum_up "$total"
  [ ! -f "$work/server" ] || mv "$work/server" "$work/etcd"
  for program in "$@"; do mv -f "$work/$program" "$cache/$program"; done
  say "built"
}

missing=()
for program in "${programs[@]}"; do
  [ -n "$(find_program "$program")" ] || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] || build "${missing[@]}"

sources=()
directories=()
for program in "${programs[@]}"; do
  source=$(find_program "$program")
  sources+=("$source")
  directories+=("$(dirname "$source")")
done
if [ "$(printf '%s\n' "${directories[@]}" | sort -u | wc -l)" -eq 1 ]; then
  echo "${directories[0]}"
  exit
fi

# They are in several places, so a directory of links stands for them.
linked=$cache/linked-$(printf '%s\n' "${sources[@]}" | git hash-object --stdin | cut -c1-16)
if [ ! -d "$linked" ]; then
  mkdir -p "$cache"
  links=$(mktemp -d "$cache/links.XXXXXX")
  for source in "${sources[@]}"; do
    say "using $source"
    ln -s "$source" "$links/"
  done
  mv "$links" "$linked"
fi
echo "$linked"
