package chart

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

// TestValues renders the chart with values that are right and wrong, and looks for what comes of them.
func TestValues(t *testing.T) {
	named := "scope=secrets,gateways[0].namespace=a,gateways[0].secret=s,gateways[0].credentials=c"
	for name, c := range map[string]struct {
		set      string
		contains []string
		without  []string
		refused  string
	}{
		"the defaults": {
			contains: []string{"kind: Role\n", "--namespaces=flex-registration-operator", "replicas: 2", "kind: PodDisruptionBudget", "readOnlyRootFilesystem: true", "runAsNonRoot: true", "--metrics-secure"},
			without:  []string{"kind: NetworkPolicy", "aggregate-to-edit: \"true\"\nrules:\n- apiGroups:\n  - gateway.flexops.dev\n  resources:\n  - flexregistrations\n  verbs:\n  - create", "imagePullSecrets"},
		},
		"namespaces":                   {set: "namespaces={a,b}", contains: []string{"--namespaces=a,b", "namespace: a\n", "namespace: b\n"}},
		"no ClusterRole at all":        {set: "metrics.secure=false,userRoles.create=false", contains: []string{"--metrics-bind-address=:8080"}, without: []string{"kind: ClusterRole", "--metrics-secure"}},
		"the cluster":                  {set: "scope=cluster", contains: []string{"kind: ClusterRole\n"}, without: []string{"--namespaces"}},
		"exec needs nothing for Jobs":  {set: "renewer=exec", contains: []string{"--renewer=exec"}, without: []string{"- jobs", "- serviceaccounts", "- rolebindings", "own-pod"}},
		"handoff made by others":       {set: "manageHandoffRBAC=false", contains: []string{"--manage-handoff-rbac=false", "- jobs"}, without: []string{"- rolebindings"}},
		"only observing":               {set: "observeOnly=true,userRoles.create=false,metrics.secure=false", contains: []string{"--observe-only", "replicas: 1"}, without: []string{"- create\n", "- update\n", "- delete\n", "kind: PodDisruptionBudget", "--leader-elect\n"}},
		"named Secrets":                {set: named + ",renewer=exec,userRoles.create=false,gateways[0].publication=p", contains: []string{"--secrets=a/s,a/flexreg-record-", ",a/p,a/c", "type: gateway.flexops.dev/record"}, without: []string{"- jobs", "- delete\n"}},
		"named Secrets, only observed": {set: named + ",observeOnly=true,userRoles.create=false", contains: []string{"--secrets=a/s"}, without: []string{"type: gateway.flexops.dev/record", "- update\n"}},
		"named Secrets in Jobs":        {set: named, refused: "scope secrets is for renewer exec, or observeOnly"},
		"named Secrets without any":    {set: "scope=secrets,renewer=exec", refused: "list the gateways with their Secrets in gateways"},
		"a proxy":                      {set: "proxy.https=http://proxy:3128", contains: []string{"name: HTTPS_PROXY\n          value: \"http://proxy:3128\""}, without: []string{"NO_PROXY"}},
		"a proxy from a Secret":        {set: "proxy.secret=proxy,proxy.https=x", contains: []string{"name: proxy\n              key: HTTPS_PROXY\n              optional: true", "key: NO_PROXY"}, without: []string{"value: \"x\""}},
		"certificates":                 {set: "caBundle.configMap=ca,caBundle.key=bundle.pem,metrics.certificateSecret=tls", contains: []string{"SSL_CERT_FILE", "key: bundle.pem", "--metrics-cert-dir=/etc/metrics", "secretName: tls"}},
		"a network policy":             {set: "networkPolicy.enabled=true,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b", contains: []string{"kind: NetworkPolicy", "- namespaceSelector:"}, without: []string{"- Egress"}},
		"API Experience Hub":           {set: "experienceHub.enabled=true,experienceHub.salesforceHosts={acme.my.salesforce.com}", contains: []string{"kind: ExperienceHubConnection", "- experiencehubconnections/status", "--experience-hub\n", "--salesforce-hosts=acme.my.salesforce.com"}},
		"it, and named Secrets":        {set: named + ",renewer=exec,experienceHub.enabled=true", refused: "experienceHub is not for scope secrets"},
		"no API Experience Hub":        {set: "experienceHub.salesforceHosts={acme.my.salesforce.com}", without: []string{"xperienceHubConnection", "experiencehubconnections", "salesforce-hosts", "--experience-hub"}},
		"monitoring":                   {set: "prometheus.serviceMonitor=true,prometheus.rules=true,prometheus.labels.release=stack,grafana.dashboard=true", contains: []string{"kind: ServiceMonitor", "scheme: https", "release: stack", "alert: FlexRegistrationExpired", "{{ $labels.namespace }}", "grafana_dashboard: \"1\"", `"title"`}},
		"monitoring over HTTP":         {set: "prometheus.serviceMonitor=true,metrics.secure=false", contains: []string{"kind: ServiceMonitor"}, without: []string{"scheme: https", "PrometheusRule"}},
		"where pods run":               {set: "nodeSelector.disk=ssd,tolerations[0].key=edge,priorityClassName=high,podLabels.a=b,podAnnotations.c=d,imagePullSecrets[0]=pull,image.digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", contains: []string{"disk: ssd", "key: edge", "priorityClassName: high", "a: b", "c: d", "name: pull", "operator@sha256:e3b0"}},
		"editors aggregated":           {set: "userRoles.aggregateToEdit=true", contains: []string{"aggregate-to-edit: \"true\"\n    rbac.authorization.k8s.io/aggregate-to-admin: \"true\"\nrules:\n- apiGroups:\n  - gateway.flexops.dev\n  resources:\n  - flexregistrations\n  verbs:\n  - create"}},
		"a shard":                      {set: `selector=shard in (a\,b),metrics.secure=false`, contains: []string{"\"--selector=shard in (a,b)\"", "--leader-elect\n        - --leader-election-id=flex-registration-operator\n"}},
		"a shard, only observed":       {set: "selector=!shard,observeOnly=true", contains: []string{"\"--selector=!shard\""}, without: []string{"--leader-election-id"}},
		"no shard":                     {without: []string{"--selector", "--leader-election-id"}},
		"a value that there isn't":     {set: "replica=3", refused: "additional properties 'replica' not allowed"},
		"a scope that there isn't":     {set: "scope=galaxy", refused: "scope"},
		"a namespace that can't be":    {set: "namespaces={A b}", refused: "namespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			output, err := template(t, "helm4", "--set="+c.set)
			if c.refused != "" {
				g.Expect(err).To(HaveOccurred())
				g.Expect(output).To(ContainSubstring(c.refused))
				return
			}
			g.Expect(err).NotTo(HaveOccurred(), output)
			for _, part := range c.contains {
				g.Expect(strings.Contains(output, part)).To(BeTrue(), "%q is not there", part)
			}
			for _, part := range c.without {
				g.Expect(strings.Contains(output, part)).To(BeFalse(), "%q is there", part)
			}
			objects(t, []byte(output)) // It is YAML.
		})
	}
}

// TestSchemaKnowsTheValues compares the names in values.yaml with those in its schema.
func TestSchemaKnowsTheValues(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var values map[string]any
	g.Expect(yaml.Unmarshal(content, &values)).To(Succeed())
	content, err = os.ReadFile(filepath.Join(chart, "values.schema.json"))
	g.Expect(err).NotTo(HaveOccurred())
	var schema struct{ Properties map[string]property }
	g.Expect(json.Unmarshal(content, &schema)).To(Succeed())
	delete(schema.Properties, "global") // Every chart has these, from charts that it is part of.
	compare(g, values, schema.Properties)
}

type property struct{ Properties map[string]property }

func compare(g Gomega, values map[string]any, properties map[string]property) {
	g.Expect(properties).To(HaveLen(len(values)))
	for name, value := range values {
		g.Expect(properties).To(HaveKey(name))
		if group, ok := value.(map[string]any); ok && len(properties[name].Properties) > 0 {
			compare(g, group, properties[name].Properties)
		}
	}
}
