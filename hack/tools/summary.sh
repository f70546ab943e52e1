#!/bin/sh
# Sums up a run of tests from its go test -json events: the specs that Ginkgo counts within a suite, which
# go test takes for one test, and the packages. gotestsum has told the tests.
set -eu
sed -n 's/.*"Package":"\([^"]*\)".*"Output":"[^"]*\(Ran [0-9]* of [0-9]* Specs in [0-9.]* seconds\).*/\2: \1/p' "$1"
awk '
  /"Test":/ { next }
  /"Action":"pass"/ { passed++ }
  /"Action":"fail"/ { failed++ }
  END { printf "packages: %d passed, %d failed\n", passed, failed }' "$1"
