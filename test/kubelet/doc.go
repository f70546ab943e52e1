// Package kubelet plays the kubelet for the pods of Jobs, on a control plane of test/controlplane that leaves them
// alone (Options.LeaveJobPods): it runs the programs of their containers as child processes of the test and reports
// what a kubelet reports, in its order.
//
// There are no containers. What a container finds at a path, in its image or in a volume, is somewhere else on this
// machine, so paths are translated wherever the pod names them: in command, args and the values of env. A program
// finds nothing at a path that only itself knows, such as /dev/termination-log or that of a service account's token,
// and must be told. The one exception: where a volume is mounted at the well-known path of the token, KUBECONFIG
// names a kubeconfig with it.
//
// Security contexts, resources, probes, lifecycle hooks and node selection are not enforced. What is not supported,
// such as sidecars and restart policies other than Never, fails the pod with a reason.
package kubelet
