// Package images builds container images for tests from Go programs and files, without an engine or a
// registry, and pushes them where a test runs on a cluster that isn't its own.
package images
