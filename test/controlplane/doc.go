// Package controlplane runs a real Kubernetes control plane for tests and the demo: etcd, the API server,
// the controller manager and the scheduler as they are released, and one node simulated by kwok. So
// Deployments roll, Jobs finish, garbage is collected and RBAC refuses, without any container being run.
//
// Everything listens on the loopback and is a child of the calling process: it ends with Stop, or with the
// process, however that ends. It runs on Unix systems, from within this repository.
//
// With Options.RealNode there is no simulated node, and a real one can join; see test/node.
//
// What the simulated node makes of a pod is decided by the pod's annotations; see PodAnnotation.
package controlplane
