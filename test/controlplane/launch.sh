#!/bin/sh
# Becomes the program of the same name, having noted the process id for the watchdog. It stands where
# programs are started by others, and works under any path.
dir=${0%/*}/..
name=${0##*/}
[ "${1-}" = --help ] || echo $$ >"$dir/pids/$name"
exec "$dir/programs/$name" "$@"
