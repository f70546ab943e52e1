package world

import "github.com/flexops/flex-registration-operator/test/images"

const (
	programs = "./hack/simulator/cmd/"
	// gatewayPath is the PATH of the gateway's images.
	gatewayPath = "PATH=/usr/local/bin"
)

// The images of a world.
var (
	// OperatorImage has what the Dockerfile puts into the operator's.
	OperatorImage = images.Image{
		Name:       "flex-registration-operator:e2e",
		Files:      map[string]string{"/manager": ".", "/flexctl-runner": "./cmd/flexctl-runner"},
		Entrypoint: []string{"/manager"},
		User:       "65532:65532",
	}
	// GatewayImage stands for mulesoft/flex-gateway.
	GatewayImage = images.Image{
		Name: "flex-gateway:e2e",
		Files: map[string]string{
			"/usr/local/bin/flex-gateway": programs + "flex-gateway",
			"/usr/local/bin/flexctl":      programs + "flexctl",
		},
		Entrypoint: []string{"/usr/local/bin/flex-gateway"},
		Env:        []string{gatewayPath},
	}
	// OldGatewayImage is of the same repository, from before flexctl could renew.
	OldGatewayImage = images.Image{
		Name: "flex-gateway:old",
		Files: map[string]string{
			"/usr/local/bin/flex-gateway": programs + "flex-gateway",
			"/usr/local/bin/flexctl":      "./test/world/oldflexctl",
		},
		Entrypoint: []string{"/usr/local/bin/flex-gateway"},
		Env:        []string{gatewayPath},
	}
	// AnypointImage is the simulated platform.
	AnypointImage = images.Image{
		Name:       "anypoint:e2e",
		Files:      map[string]string{"/anypoint": programs + "anypoint"},
		Entrypoint: []string{"/anypoint"},
	}
)

// MissingGatewayImage is of the gateway's repository, and nobody has made it.
var MissingGatewayImage = images.Image{Name: "flex-gateway:none"}
