package registration

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestVerify(t *testing.T) {
	p := newPair(t, 24*time.Hour)
	old := mustParse(t, dataOf(fileOf(p)))
	at := func(before, after time.Duration) *Registration {
		key := newECDSA(t)
		return mustParse(t, dataOf(fileOf(pair{issue(t, key, noon.Add(before), noon.Add(after)), keyPEM(t, key)})))
	}
	another := mustParse(t, dataOf(strings.Replace(fileOf(newPair(t, 48*time.Hour)), agentID, strings.Replace(agentID, "0", "1", 1), 1)))
	for name, c := range map[string]struct {
		old, renewed *Registration
		says         string
	}{
		"good":                    {old, at(0, 48*time.Hour), ""},
		"within the clock skew":   {old, at(ClockSkew, 48*time.Hour), ""},
		"beyond the clock skew":   {old, at(ClockSkew+time.Second, 48*time.Hour), saysNotYetValid},
		"another gateway":         {old, another, saysAgentIDMismatch},
		"unchanged":               {old, old, saysSameCertificate},
		"older":                   {old, at(0, 23*time.Hour), saysNotNewer},
		"same expiry, later":      {old, at(0, 24*time.Hour), ""},
		"same expiry, earlier":    {old, at(-2*time.Hour, 24*time.Hour), saysNotNewer},
		"renews an expired one":   {at(-48*time.Hour, -24*time.Hour), at(0, time.Hour), ""},
		"expired":                 {at(-48*time.Hour, -24*time.Hour), at(-47*time.Hour, -time.Hour), saysExpired},
		"expires at this instant": {at(-48*time.Hour, -24*time.Hour), at(-47*time.Hour, 0), saysExpired},
	} {
		t.Run(name, func(t *testing.T) {
			ignored, err := Verify(c.old, c.renewed, noon)
			expectError(t, err, c.says)
			NewWithT(t).Expect(ignored).To(BeEmpty())
		})
	}
}

func TestVerifyNamesWhatItIgnores(t *testing.T) {
	g := NewWithT(t)
	old := mustParse(t, dataOf(fileOf(newPair(t, 24*time.Hour))))
	renewed := strings.NewReplacer(
		"https://anypoint.mulesoft.com", "https://evil.example.com",
		"        region: us-east-1\n", "",
		"events: https", "new: 1\n        QmFzZTY0S2V5TWF0ZXJpYWw: 1\n        events: \"https",
		"events.example.com", "events.example.com\"",
		"name: registration\n", "name: registration\n    labels: {x: \"1\"}\n",
		"    tls.crt", "    ca: x\n    tls.crt",
	).Replace(fileOf(newPair(t, 48*time.Hour)))

	ignored, err := Verify(old, mustParse(t, dataOf(renewed)), noon)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ignored).To(Equal([]string{
		"Secret.spec.ca",
		"metadata.labels",
		"spec.platformConnection.*",
		"spec.platformConnection.anypoint",
		"spec.platformConnection.new",
		"spec.platformConnection.region",
	}))
}
