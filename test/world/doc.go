// Package world puts what the operator lives with into a cluster that runs containers: a simulated Anypoint Platform,
// the operator as config/default installs it, and gateways shaped like the vendor's chart. The cluster is one with a
// node of its own, or an existing one.
package world
