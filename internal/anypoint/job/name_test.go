package job

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// suffix is what the Job controller adds to make a pod's name.
const suffix = "-abcde"

func TestNameIsValid(t *testing.T) {
	g := NewWithT(t)
	for _, name := range []string{
		"a", "ingress", "ingress.example.com", "0",
		strings.Repeat("a", 52), strings.Repeat("a", 40), strings.Repeat("a", 39) + "-b", strings.Repeat("a", 39) + ".b",
		strings.Repeat("a", 30) + strings.Repeat("-", 15) + "b", "a" + strings.Repeat(".b", 25),
	} {
		g.Expect(validation.IsDNS1123Subdomain(name)).To(BeEmpty(), "it could be a FlexRegistration's")
		made := Name(flexRegistration(name), "fingerprint", 3, since)
		g.Expect(validation.IsDNS1123Subdomain(made)).To(BeEmpty(), made)
		g.Expect(validation.IsValidLabelValue(made+suffix)).To(BeEmpty(), "it is the value of a label, and with the suffix a host's name: %s", made)
		if !strings.Contains(name, ".") {
			g.Expect(validation.IsDNS1123Label(made+suffix)).To(BeEmpty(), made)
		}
		prefix, _, found := strings.Cut(made, "-renew-")
		g.Expect(found).To(BeTrue())
		g.Expect(name).To(HavePrefix(prefix), "people recognise it")
		g.Expect(made).NotTo(Equal(HandoffName(name)))
	}
}

// A claim has one Job, whoever asks; another claim has another one.
func TestNameIsOfOneClaim(t *testing.T) {
	g := NewWithT(t)
	fr := flexRegistration("ingress")
	first := Name(fr, "a", 1, since)
	g.Expect(Name(fr.DeepCopy(), "a", 1, since.In(time.FixedZone("elsewhere", 3600)))).To(Equal(first))
	again := fr.DeepCopy()
	again.UID = types.UID("made-anew")
	names := map[string]bool{first: true}
	for _, other := range []string{
		Name(fr, "b", 1, since), Name(fr, "a", 2, since), Name(fr, "a", 11, since), Name(fr, "a", 1, since.Add(1)), Name(again, "a", 1, since),
	} {
		g.Expect(names).NotTo(HaveKey(other))
		names[other] = true
	}
	for attempt := range 1000 {
		names[Name(fr, "a", attempt+100, since)] = true
	}
	g.Expect(names).To(HaveLen(1006))
}
