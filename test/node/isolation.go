package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/flexops/flex-registration-operator/test/controlplane"
)

// isolation returns the path of the cgroup that the node's pods go into, below the root of each hierarchy. It
// fails outside of the namespaces that a node is made for.
func isolation() (cgroup string, err error) {
	const remedy = "run the tests by hack/e2e/run.sh, or another command by hack/e2e/isolate.sh"
	cgroup = os.Getenv("E2E_CGROUP")
	if cgroup == "" {
		return "", errors.New("E2E_CGROUP is not set, so this is no namespace that a node may change: " + remedy)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("list the addresses of this network namespace: %w", err)
	}
	for _, wanted := range []string{controlplane.ServiceAddress, Address} {
		has := func(a net.Addr) bool { return a.String() == wanted+"/32" }
		if !slices.ContainsFunc(addresses, has) {
			return "", fmt.Errorf("this network namespace has no address %s: %s", wanted, remedy)
		}
	}
	return cgroup, nil
}
