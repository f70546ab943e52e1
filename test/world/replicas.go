package world

import (
	"context"
	"fmt"
	"time"

	"github.com/flexops/flex-registration-operator/hack/simulator"
)

// Connected lists the replicas that are connected to the platform, by "<pod name>.<namespace>", with the expiry of the
// certificate that each has presented.
func (p *Platform) Connected(ctx context.Context, agentID string) (map[string]time.Time, error) {
	replicas, err := p.Replicas(ctx, agentID)
	if err != nil {
		return nil, fmt.Errorf("list the replicas of agent %s: %w", agentID, err)
	}
	connected := map[string]time.Time{}
	for _, r := range replicas {
		if r.Status == simulator.Connected {
			connected[r.Name] = r.CertificateExpirationDate
		}
	}
	return connected, nil
}
