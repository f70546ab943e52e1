//go:build e2e

// Package e2e tests with containers on a real node: one that it starts, or an existing cluster, which KUBECONFIG
// names. "make e2e" runs it.
package e2e
