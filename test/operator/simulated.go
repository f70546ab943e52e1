package operator

import (
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
)

// Simulated are the options of an operator that runs the simulated flexctl in its own process, against a simulated platform
// whose CA the process then trusts. flexctl's private directories are where the renewer says.
func Simulated(t interface {
	TempDir() string
	Setenv(name, value string)
}, p *simulator.Platform, config *rest.Config, c clock.WithTicker, log *Log) (Options, error) {
	directory := t.TempDir()
	flexctl, err := simulator.BuildFlexctl(directory)
	if err != nil {
		return Options{}, err
	}
	ca := filepath.Join(directory, "ca.crt")
	if err := p.WriteCA(ca); err != nil {
		return Options{}, err
	}
	t.Setenv("SSL_CERT_FILE", ca)
	hosts := []string{p.Host()}
	return Options{Config: config, Clock: c, AnypointHosts: hosts, Log: log, Renewer: &anypoint.Exec{Flexctl: flexctl, Hosts: hosts, Directory: directory}}, nil
}
