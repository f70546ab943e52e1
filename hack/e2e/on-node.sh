#!/usr/bin/env bash
# Runs a command where it can make a Kubernetes node, with the programs that this takes:
#
#   hack/e2e/on-node.sh COMMAND [ARGUMENT...]
#
# Logs go to E2E_LOG_DIR, which has to be set: all else that the command writes vanishes. The status is the command's,
# or 3 if this machine can't run a node, and the last lines say why.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."

: "${E2E_LOG_DIR:?set it to the directory for logs}"
mkdir -p "$E2E_LOG_DIR"
hack/e2e/requirements.sh
KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh kubelet)
export KUBEBUILDER_ASSETS E2E_LOG_DIR
# There is no network where the command runs, and it compiles what goes into images.
go mod download
exec hack/e2e/isolate.sh "$@"
