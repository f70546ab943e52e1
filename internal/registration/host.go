package registration

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

var plainHost = regexp.MustCompile(`^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?(:[0-9]{1,5})?$`)

// CheckHost tells whether the control plane named by `anypoint` is one of allowed, before anybody sends it
// credentials. Hosts must be equal as they stand, port included; case does not matter and neither does the default
// port 443. A registration without `anypoint` fails, because nobody could say where its credentials would go.
func (r *Registration) CheckHost(allowed []string) error {
	u, err := url.Parse(r.anypointURL)
	if r.anypointURL == "" || err != nil {
		return fail("spec.platformConnection.anypoint is missing, so it is unknown which control plane would get the credentials. Put the file in as flexctl wrote it.")
	}
	if slices.ContainsFunc(allowed, func(host string) bool { return canonicalHost(host) == canonicalHost(u.Host) }) {
		return nil
	}
	shown := ""
	if len(u.Host) <= 100 && plainHost.MatchString(u.Host) {
		shown = ", " + u.Host + ","
	}
	return fail("the host of spec.platformConnection.anypoint%s is not an allowed control plane. "+
		"Correct the registration, or have the operator's administrator allow the host.", shown)
}

// canonicalHost folds ASCII case only: Unicode's folding takes other letters for these.
func canonicalHost(host string) string {
	lower := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, host)
	return strings.TrimSuffix(lower, ":443")
}

// readURLs returns the base URL of a platformConnection, "" if it has none. It refuses what would take the gateway's traffic, or the
// operator's credentials, off TLS or somewhere else than it seems to.
func readURLs(connection *node) (base string, _ *Error) {
	if err := walk(connection, nil, func(n, _ *node) *Error {
		if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "://") || parseURL(n.Value, "https", "wss") != nil {
			return nil
		}
		return fail("this URL of spec.platformConnection is not a valid https or wss URL with a host and without user info. Put the file in as flexctl wrote it.").at("", n)
	}); err != nil {
		return "", err
	}
	n := child(connection, "anypoint")
	if n == nil || n.Tag == "!!null" {
		return "", nil
	}
	u := parseURL(n.Value, "https")
	if u == nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", fail("spec.platformConnection.anypoint is not a valid https URL with a host and without user info, query and fragment. Put the file in as flexctl wrote it.").at("", n)
	}
	return n.Value, nil
}

func parseURL(text string, schemes ...string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" || u.User != nil {
		return nil
	}
	return u
}
