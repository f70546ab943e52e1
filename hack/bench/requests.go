package main

import (
	"maps"
	"slices"
	"time"

	"github.com/flexops/flex-registration-operator/test/controlplane"
)

// asked are the requests of a user since a time as the API server counted them, watches and the lease with its Event aside; in one
// namespace, where it is not empty.
func (b *bench) asked(user, namespace string, since time.Time) ([]controlplane.Request, error) {
	all, err := b.cluster.Requests(user, since)
	return slices.DeleteFunc(all, func(r controlplane.Request) bool {
		return r.Verb == "watch" || r.Namespace == operatorNamespace || namespace != "" && r.Namespace != namespace
	}), err
}

// describe names a request by its verb and resource.
func describe(r controlplane.Request) string {
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	if resource == "" {
		resource = "discovery"
	}
	return r.Verb + " " + resource
}

func byKind(requests []controlplane.Request) map[string]int {
	by := map[string]int{}
	for _, r := range requests {
		by[describe(r)]++
	}
	return by
}

// writes counts the requests that change something.
func writes(requests []controlplane.Request) (n int) {
	for _, r := range requests {
		if r.Verb != "get" && r.Verb != "list" {
			n++
		}
	}
	return n
}

// anypoint counts the requests to the platform by call, since it was asked last.
func (b *bench) anypoint() (by map[string]int, total int) {
	by = map[string]int{}
	for _, r := range b.platform.Requests() {
		by[string(r.Call)]++
		total++
	}
	b.platform.ResetRequests()
	return by, total
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
