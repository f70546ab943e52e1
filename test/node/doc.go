// Package node runs one real Kubernetes node for tests: containerd, runc and the CNI plugins as the machine has
// them, and the kubelet of the control plane's version. Pods reach one another and the API server by address;
// there is no kube-proxy, no DNS and no way out.
//
// It runs as root on Linux, within the namespaces that hack/e2e/isolate.sh makes, and nowhere else: what it does
// to mounts, interfaces and cgroups is undone by the end of those.
package node
