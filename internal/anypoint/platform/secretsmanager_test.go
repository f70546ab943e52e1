package platform

import (
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/httpclient"
)

func TestExpiry(t *testing.T) {
	b := newBench(t, simulator.ScopeReadSecrets)
	b.SetSecret("hub", "certificates", "aeh", noon.Add(time.Hour))
	b.SetSecret("hub", "keystores", "aeh", noon.Add(2*time.Hour))
	expiry := func(group string, kind SecretKind, name string) (time.Time, bool, error) {
		return b.account.Expiry(t.Context(), b.in, group, kind, name)
	}
	notAfter, found, err := expiry("hub", Certificates, "aeh")
	b.Expect([]any{notAfter, found, err}).To(Equal([]any{noon.Add(time.Hour), true, nil}))
	notAfter, found, err = expiry("hub", Keystores, "aeh")
	b.Expect([]any{notAfter, found, err}).To(Equal([]any{noon.Add(2 * time.Hour), true, nil}))
	_, found, err = expiry("hub", Certificates, "another")
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(found).To(BeFalse())
	_, _, err = expiry("another", Certificates, "aeh")
	b.Expect(failed(t, err).Class).To(Equal(SecretGroupNotFound))
	_, _, err = b.account.Expiry(t.Context(), Environment{"../x", "y"}, "hub", Certificates, "aeh")
	b.Expect(failed(t, err).Class).To(Equal(EnvironmentNotFound))
	_, _, err = b.account.Expiry(t.Context(), Environment{b.in.OrganizationID, "elsewhere"}, "hub", Certificates, "aeh")
	b.Expect(failed(t, err).Class).To(Equal(EnvironmentNotFound))

	b = newBench(t)
	_, _, err = expiry("hub", Certificates, "aeh")
	b.Expect(failed(t, err).Class).To(Equal(anypoint.MissingScope))
	b.Expect(err).To(MatchError(ContainSubstring("Secrets Manager")))
}

// How a date is written is not published, nor what a list leaves out.
func TestExpiryInEachForm(t *testing.T) {
	for _, c := range []struct {
		list, single string
		notAfter     time.Time
		found        bool
	}{
		{`[{"name":"aeh","expirationDate":"2031-05-02T12:00:00.000Z","meta":{"id":"c"}}]`, "", noon.Add(24 * time.Hour), true},
		{`[{"name":"aeh","expirationDate":"2031-05-02","meta":{"id":"c"}}]`, "", noon.Add(12 * time.Hour), true},
		{`[{"name":"aeh","meta":{"id":"c"}}]`, `{"name":"aeh","expirationDate":"2031-05-02","meta":{"id":"c"}}`, noon.Add(12 * time.Hour), true},
		{`[{"name":"aeh","meta":{"id":"c"}}]`, `{}`, time.Time{}, true},
		{`[{"name":"aeh","meta":{"id":"../../x"}}]`, "", time.Time{}, true},
		{`[{"name":"aeh","expirationDate":"soon","meta":{}}]`, "", time.Time{}, true},
		{`[{"name":"aeh","expirationDate":"2031-05-02"},{"name":"aeh","expirationDate":"2032-05-02"},{"name":"x","expirationDate":"2033-05-02"}]`, "", time.Date(2032, 5, 2, 0, 0, 0, 0, time.UTC), true},
		{`[]`, "", time.Time{}, false},
	} {
		h := newHostile(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/secretGroups"):
				answering(200, `[{"name":"hub","meta":{"id":"g"}}]`)(w, r)
			case strings.HasSuffix(r.URL.Path, "/secretGroups/g/keystores"):
				answering(200, c.list)(w, r)
			case strings.HasSuffix(r.URL.Path, "/secretGroups/g/keystores/c"):
				answering(200, c.single)(w, r)
			}
		})
		notAfter, found, err := h.account.Expiry(t.Context(), prod, "hub", Keystores, "aeh")
		h.Expect(err).NotTo(HaveOccurred(), c.list)
		h.Expect([]any{notAfter, found}).To(Equal([]any{c.notAfter, c.found}), c.list)
	}
	h := newHostile(t, answering(200, `[{"name":"hub","meta":{"id":"../x"}}]`))
	_, _, err := h.account.Expiry(t.Context(), prod, "hub", Keystores, "aeh")
	h.Expect(failed(t, err).Class).To(Equal(httpclient.AnswerInvalid))
}
