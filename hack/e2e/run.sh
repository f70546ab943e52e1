#!/usr/bin/env bash
# Runs the end-to-end tests; arguments are those of go test. Logs go to E2E_LOG_DIR, or test-results/e2e-logs.
#
# With KUBECONFIG they run on that cluster, which gets their images from the registry E2E_REGISTRY
# (HOST/PREFIX) or has them already. Without it they make a control plane and a node of their own, in
# namespaces of their own; the status is 3 if this machine can't do that, and the last lines say why.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."

results=$PWD/test-results
export E2E_LOG_DIR=${E2E_LOG_DIR:-$results/e2e-logs}
mkdir -p "$results" "$E2E_LOG_DIR"
tests=(bin/gotestsum --format testname --jsonfile "$results/e2e.json" -- -tags e2e -count=1 -timeout 30m "$@")

[ -x bin/gotestsum ] || make --silent bin/gotestsum
if [ -n "${KUBECONFIG:-}" ]; then
  echo "e2e: on the cluster of KUBECONFIG=$KUBECONFIG" >&2
  KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh)
  export KUBEBUILDER_ASSETS
  exec "${tests[@]}"
fi

exec hack/e2e/on-node.sh "${tests[@]}"
