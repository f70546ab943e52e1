package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/controlplane"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// The namespaces: an operator watches the first, the others are as the test makes them.
const (
	watched   = "gateway"
	unwatched = "told"
	unadopted = "unadopted"
)

// suite is a control plane with an operator, and a user who calls the plugin.
type suite struct {
	Gomega
	*testing.T
	cluster    *controlplane.ControlPlane
	admin      client.WithWatch
	platform   *simulator.Platform
	clock      *clocktesting.FakeClock
	logs       *operator.Log
	kubeconfig string
	appID      string
}

func (s *suite) in(t *testing.T) *suite {
	sub := *s
	sub.T, sub.Gomega = t, newGomega(t)
	return &sub
}

func newGomega(t *testing.T) Gomega {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	return g
}

func start(t *testing.T) *suite {
	s := &suite{T: t, Gomega: newGomega(t), logs: &operator.Log{}}
	ctx := t.Context()
	root := filepath.Join("..", "..")
	s.cluster, s.admin = operator.Cluster(t, controlplane.Options{CRDs: operator.CRDs(root)})
	s.Expect(apiextensionsv1.AddToScheme(s.admin.Scheme())).To(Succeed())
	s.Expect(operator.Grant(ctx, s.admin, operator.Roles(root)...)).To(Succeed())
	config, err := s.cluster.User("flex-registration-operator", operator.Group)
	s.Expect(err).NotTo(HaveOccurred())

	s.clock = clocktesting.NewFakeClock(time.Now().Truncate(time.Second).Add(operator.Ahead))
	s.platform, err = simulator.Start(simulator.Options{Clock: s.clock})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { s.Expect(s.platform.Close()).To(Succeed()) })
	options, err := operator.Simulated(t, s.platform, config, s.clock, s.logs)
	s.Expect(err).NotTo(HaveOccurred())
	options.Namespace = watched
	running, err := operator.Start(options)
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		s.Expect(running.Stop()).To(Succeed())
		if t.Failed() {
			t.Log(s.logs.Tail(6000))
		}
	})

	var secret string
	s.appID, secret = s.platform.AddConnectedApp()
	for _, name := range []string{watched, unwatched, unadopted} {
		s.create(operator.Namespace(name))
	}
	s.create(operator.CredentialsSecret(watched, s.appID, secret))
	// Who calls the plugin may do with both kinds what they like, and read one Secret.
	s.kubeconfig, err = s.cluster.UserKubeconfig("person", "people")
	s.Expect(err).NotTo(HaveOccurred())
	s.grant("people", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"flexregistrations", "experiencehubconnections"}, Verbs: []string{"get", "list", "watch", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{operator.SecretName}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list", "get"}})
	return s
}

func (s *suite) grant(group string, rules ...rbacv1.PolicyRule) {
	s.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: group}, Rules: rules})
	s.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: group}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: group},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}}})
}

func (s *suite) create(object client.Object) {
	s.Helper()
	s.Expect(s.admin.Create(s.Context(), object)).To(Succeed())
}

// ran is what a command line came to.
type ran struct {
	code        int
	out, errOut string
}

func (s *suite) call(stdin io.Reader, arguments ...string) ran {
	var out bytes.Buffer
	errOut := &operator.Log{} // several write to it at once
	if arguments[0] != "__complete" {
		arguments = append(arguments, "--kubeconfig="+s.kubeconfig)
	}
	code := run(s.Context(), arguments, genericiooptions.IOStreams{In: stdin, Out: &out, ErrOut: errOut}, s.clock)
	return ran{code, out.String(), errOut.String()}
}

// flexreg calls the plugin, and expects an exit code.
func (s *suite) flexreg(code int, arguments ...string) ran {
	s.Helper()
	r := s.call(strings.NewReader(""), arguments...)
	s.Expect(r.code).To(Equal(code), "%v: %s%s", arguments, r.out, r.errOut)
	return r
}

// gateway installs one that the operator looks after, and waits until it does.
func (s *suite) gateway(name string, remaining time.Duration, change func(*v1alpha1.FlexRegistration)) simulator.Gateway {
	s.Helper()
	gateway, err := s.platform.Register(name, remaining)
	s.Expect(err).NotTo(HaveOccurred())
	secret := operator.RegistrationSecret(watched, gateway.File)
	if secret.Name = name + "-registration"; name == operator.GatewayName {
		secret.Name = operator.SecretName
	}
	s.create(secret)
	s.create(operator.Deployment(watched, name, secret.Name, 1))
	fr := operator.FlexRegistration(watched, name)
	change(fr)
	s.create(fr)
	s.Eventually(func() string { return s.get(watched, name).ready().Reason }).ShouldNot(BeEmpty())
	return gateway
}

func (s *suite) get(namespace, name string) *resource {
	r, err := get(s.Context(), s.admin, flexRegistration, client.ObjectKey{Namespace: namespace, Name: name})
	s.Expect(err).NotTo(HaveOccurred())
	return r
}

func unchanged(*v1alpha1.FlexRegistration) {}

// tell creates a FlexRegistration with a status as an operator would write it.
func (s *suite) tell(r *resource) {
	s.Helper()
	status := r.Status
	r.Namespace, r.Spec.SecretRef, r.Spec.CredentialsRef.Name = unwatched, &v1alpha1.SecretKeyReference{Name: operator.SecretName}, "anypoint"
	r.ResourceVersion, r.Spec.Pin = "", ""
	s.create(&r.FlexRegistration)
	r.Status = status
	r.Status.ObservedGeneration = 1
	s.Expect(s.admin.Status().Update(s.Context(), &r.FlexRegistration)).To(Succeed())
}

func TestPlugin(t *testing.T) {
	s := start(t)
	s.allowed()
	for _, test := range []struct {
		name string
		test func(*suite)
	}{
		{"Status", (*suite).status}, {"Inspect", (*suite).inspect}, {"Export", (*suite).export}, {"Adopt", (*suite).adopt},
		{"Writing", (*suite).writing}, {"NobodyIsOverwritten", (*suite).nobodyIsOverwritten}, {"Rehearse", (*suite).rehearse}, {"Completion", (*suite).completion}, {"Connections", (*suite).connections},
		{"Renew", (*suite).renew}, {"Approve", (*suite).approve}, {"Pin", (*suite).pin}, {"Resume", (*suite).resume}, {"Confirm", (*suite).confirm}, {"GivenUp", (*suite).givenUp}, {"NoSuchResource", (*suite).noSuchResource},
	} {
		t.Run(test.name, func(t *testing.T) { test.test(s.in(t)) })
	}
}

// allowed waits until the user's rights are known to the API server.
func (s *suite) allowed() {
	s.Eventually(func() int { return s.call(strings.NewReader(""), "status", "-A").code }).Should(BeZero())
}

func (s *suite) status() {
	s.Expect(s.flexreg(0, "status", "-n", unwatched)).To(Equal(ran{0, "", "There are no FlexRegistrations in namespace told.\n"}))
	well := scheduled()
	well.Labels = map[string]string{"stage": "production"}
	well.Status.Certificate.NotAfter = metav1.NewTime(s.clock.Now().Add(390*day + time.Second))
	s.tell(well)
	s.tell(refused())

	r := s.flexreg(2, "status", "-n", unwatched)
	s.Expect(r.out).To(MatchRegexp(`^NAME +READY +REASON +EXPIRES +NEXT +GATEWAY\nrefused +False .*\ningress +True +Scheduled +\S+Z \(in 390d\) .*\n$`))
	s.Expect(r.errOut).To(Equal("1 of 2 not Ready: told/refused\n"))
	s.Expect(s.flexreg(2, "status", "-A").out).To(MatchRegexp(`NAMESPACE +NAME[^\n]*\ntold +refused +False`))
	s.Expect(s.flexreg(0, "status", "-n", unwatched, "-l", "stage=production").out).NotTo(ContainSubstring("refused"))

	full := s.flexreg(0, "status", "flexregistration.gateway.flexops.dev/ingress", "-n", unwatched).out
	s.Expect(full).To(And(MatchRegexp(`Name: +told/ingress`), MatchRegexp(`Someday +Unknown +NotYet`), MatchRegexp(`Rollout Succeeded: 11AA → 4F3A90B1`)))
	s.Expect(full).NotTo(ContainSubstring("\x1b["), "a buffer is no terminal")

	var list v1alpha1.FlexRegistrationList
	s.Expect(json.Unmarshal([]byte(s.flexreg(2, "status", "-n", unwatched, "-o", "json").out), &list)).To(Succeed())
	s.Expect(list.Items).To(HaveLen(2))
	s.Expect(list.Items[0].Name).To(Equal("refused"))
	var one v1alpha1.FlexRegistration
	s.Expect(json.Unmarshal([]byte(s.flexreg(0, "status", "ingress", "-n", unwatched, "-o", "json").out), &one)).To(Succeed())
	s.Expect(one.Status.Certificate.SerialNumber).To(Equal("4F3A90B1"))
	s.Expect(s.flexreg(0, "status", "ingress", "-n", unwatched, "-o", "yaml").out).To(ContainSubstring("\n  name: ingress\n"))
	s.Expect(s.flexreg(0, "status", "ingress", "-n", unwatched, "-o", "jsonpath={.status.rollout.sequence}").out).To(Equal("3"))

	for complaint, arguments := range map[string][]string{
		`"nobody" not found`:               {"status", "nobody"},
		"give either names or one of":      {"status", "ingress", "-A"},
		"--selector=a=b=c: found '='":      {"status", "-l", "a=b=c"},
		"unable to match a printer":        {"status", "-o", "xml", "-n", unwatched},
		`context "nowhere" does not exist`: {"status", "--context=nowhere"},
		"unknown flag: --every":            {"status", "--every"},
		`unknown command "state"`:          {"state"},
		`User "person" cannot impersonate`: {"status", "--as=nobody"},
	} {
		r := s.flexreg(1, arguments...)
		s.Expect(r.errOut).To(And(HavePrefix("error: "), ContainSubstring(complaint)))
		s.Expect(r.out).To(BeEmpty())
	}
}

func (s *suite) inspect() {
	gateway, err := s.platform.Register("edge", 90*day)
	s.Expect(err).NotTo(HaveOccurred())
	s.create(operator.RegistrationSecret(unwatched, gateway.File))
	directory := s.TempDir()
	file := filepath.Join(directory, "ingress.yaml")
	s.Expect(os.WriteFile(file, gateway.File, 0o600)).To(Succeed())

	// It is what flexctl says.
	var flexctl bytes.Buffer
	s.Expect(simulator.Flexctl{Stdout: &flexctl, Stderr: &flexctl}.Run("registration", "inspect", "--file="+file)).To(BeZero())
	want := ran{0, flexctl.String(), ""}
	s.Expect(want.out).To(MatchRegexp(`^\{"expiration_date": "\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC"\}\n$`))
	s.Expect(s.flexreg(0, "inspect", "--file", file)).To(Equal(want))
	s.Expect(s.flexreg(0, "inspect", "ingress", "-n", unwatched)).To(Equal(want), "by the Secret that spec.secretRef names")
	s.Expect(s.call(bytes.NewReader(gateway.File), "inspect", "-f", "-")).To(Equal(want))
	first, second := simulator.Split(gateway.File)
	s.Expect(os.WriteFile(filepath.Join(directory, "registration.yaml"), first, 0o600)).To(Succeed())
	s.Expect(s.flexreg(1, "inspect", "--file", directory).errOut).To(ContainSubstring("certificateRef leads nowhere"))
	s.Expect(os.WriteFile(filepath.Join(directory, "certificate.yaml"), second, 0o600)).To(Succeed())
	s.Expect(s.flexreg(0, "inspect", "--file", directory)).To(Equal(want))

	wide := s.flexreg(0, "inspect", "--file", file, "-o", "wide").out
	s.Expect(wide).To(And(MatchRegexp(`Gateway: +edge\n`), MatchRegexp(`Agent ID: +%s\n`, gateway.AgentID), MatchRegexp(`Control plane: +https://`), MatchRegexp(`Expires: .* \(in 90d\)\n`),
		MatchRegexp(`Key: +(RSA|ECDSA).*, matches the certificate\n`), MatchRegexp(`CN=.*, issued by CN=.*, the gateway's\n`)))
	s.Expect(wide).NotTo(Or(ContainSubstring("PRIVATE"), ContainSubstring("BEGIN")))
	const certificate = "(-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----)"
	reversed := regexp.MustCompile(certificate+`(\s+)`+certificate).ReplaceAll(gateway.File, []byte("$3$2$1"))
	r := s.call(bytes.NewReader(reversed), "inspect", "-f", "-", "-o", "wide")
	s.Expect(r.out).To(MatchRegexp(`\nKey: +[^\n]*\nChain: +CN=Simulated[^\n]*\n +CN=%s,[^\n]*, the gateway's\n$`, gateway.AgentID), r.errOut)

	for complaint, content := range map[string][]byte{
		"the file is empty":                         nil,
		"no document is a registration (apiVersion": []byte("a: b\n"),
		"not valid YAML":                            []byte("a: [\n"),
		"tls.key":                                   regexp.MustCompile(`(BEGIN [A-Z ]*PRIVATE KEY-----\s+)\w{4}`).ReplaceAll(gateway.File, []byte("${1}AAAA")),
	} {
		r := s.call(bytes.NewReader(content), "inspect", "-f", "-")
		s.Expect(r.code).To(Equal(1))
		s.Expect(r.out).To(BeEmpty())
		s.Expect(r.errOut).To(ContainSubstring(complaint))
	}
	other := operator.FlexRegistration(unwatched, "other")
	other.Spec.TargetRef, other.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: "elsewhere"}
	s.create(other)
	defer func() { s.Expect(s.admin.Delete(s.Context(), other)).To(Succeed()) }()
	for complaint, arguments := range map[string][]string{
		"name a FlexRegistration, or a file":   {"inspect"},
		"name a FlexRegistration, or a file ":  {"inspect", "ingress", "-f", "-"},
		"no such file or directory":            {"inspect", "-f", filepath.Join(directory, "nothing")},
		"leave it out, or write wide":          {"inspect", "-f", file, "-o", "xml"},
		"it takes a right of yours to get it":  {"inspect", "other", "-n", unwatched},
		`Secret told/elsewhere, which holds t`: {"inspect", "other", "-n", unwatched},
	} {
		s.Expect(s.flexreg(1, arguments...).errOut).To(ContainSubstring(complaint))
	}
}

func (s *suite) export() {
	directory := s.TempDir()
	path := filepath.Join(directory, "registration.yaml")
	secret := &corev1.Secret{}
	s.Expect(s.admin.Get(s.Context(), client.ObjectKey{Namespace: unwatched, Name: operator.SecretName}, secret)).To(Succeed())
	content := secret.Data["registration.yaml"]

	r := s.flexreg(1, "export", "ingress", "-n", unwatched)
	s.Expect(r.errOut).To(ContainSubstring("it holds the private key"))
	s.Expect(r.out).To(BeEmpty())
	r = s.flexreg(0, "export", "ingress", "-n", unwatched, "--output", path)
	s.Expect(r.out).To(BeEmpty())
	s.Expect(r.errOut).To(ContainSubstring("This holds the private key of certificate"))
	s.Expect(os.ReadFile(path)).To(Equal(content))
	info, err := os.Stat(path)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(info.Mode().Perm()).To(BeEquivalentTo(0o600))
	s.Expect(s.flexreg(1, "export", "ingress", "-n", unwatched, "-o", path).errOut).To(ContainSubstring("file exists"))
	s.Expect(s.flexreg(0, "export", "ingress", "-n", unwatched, "-o", "-").out).To(Equal(string(content)))

	// Of a split registration, one file is made.
	first, second := simulator.Split(content)
	secret.Data["registration.yaml"], secret.Data["certificate.yaml"] = first, second
	s.Expect(s.admin.Update(s.Context(), secret)).To(Succeed())
	joined, err := registration.Parse(map[string][]byte{"registration.yaml": []byte(s.flexreg(0, "export", "ingress", "-n", unwatched, "-o", "-").out)}, "registration.yaml")
	s.Expect(err).NotTo(HaveOccurred())
	whole, err := registration.Parse(map[string][]byte{"registration.yaml": content}, "registration.yaml")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(joined).To(Equal(whole))
}

func (s *suite) adopt() {
	covered := operator.FlexRegistration(unadopted, "covered")
	s.create(covered)
	for deployment, secret := range map[string]string{"covered": "taken", "beside": "taken", "alone": "own", "blue": "shared", "green": "shared", "none": ""} {
		d := operator.Deployment(unadopted, deployment, secret, 0)
		if secret == "" {
			d.Spec.Template.Spec.Volumes, d.Spec.Template.Spec.Containers[0].VolumeMounts = nil, nil
		}
		s.create(d)
	}
	r := s.flexreg(0, "adopt", "-n", unadopted, "--credentials=mine")
	s.Expect(r.errOut).To(Equal("4 Deployments with a registration are not covered by a FlexRegistration\n"))
	s.Expect(r.out).To(Equal(`---
apiVersion: gateway.flexops.dev/v1alpha1
kind: FlexRegistration
metadata:
  name: alone
  namespace: unadopted
spec:
  credentialsRef:
    name: mine
  targetRef:
    name: alone
# Namespace unadopted: Deployments that share Secret taken with the target of FlexRegistration covered: beside.
# To cover them, replace its spec.targetRef by spec.secretRef: {name: taken}.
---
# Deployments that share this Secret: blue, green.
apiVersion: gateway.flexops.dev/v1alpha1
kind: FlexRegistration
metadata:
  name: blue
  namespace: unadopted
spec:
  credentialsRef:
    name: mine
  secretRef:
    name: shared
`))
	s.Expect(s.flexreg(0, "adopt", "-A").out).To(ContainSubstring("namespace: unadopted"))
	s.Expect(s.flexreg(0, "adopt", "-n", unwatched).out).To(BeEmpty())
	manifests := filepath.Join(s.TempDir(), "gateways.yaml")
	s.Expect(os.WriteFile(manifests, []byte(r.out), 0o600)).To(Succeed())
	output, err := exec.CommandContext(s.Context(), s.cluster.Kubectl, "--kubeconfig="+s.cluster.Kubeconfig, "apply", "-f", manifests).CombinedOutput()
	s.Expect(err).NotTo(HaveOccurred(), string(output))
	s.Expect(s.flexreg(0, "adopt", "-n", unadopted).errOut).To(HavePrefix("1 "))
}

// writing is about what is written, where no operator answers.
func (s *suite) writing() {
	const object = "flexregistration.gateway.flexops.dev/ingress "
	before := s.get(unwatched, "ingress")
	s.Expect(s.flexreg(0, "renew", "ingress", "-n", unwatched, "--dry-run=client").out).To(Equal(object + "asked to be renewed (dry run)\n"))
	s.Expect(s.flexreg(0, "suspend", "ingress", "-n", unwatched, "--dry-run=server").out).To(Equal(object + "suspended (server dry run)\n"))
	s.Expect(s.get(unwatched, "ingress").ResourceVersion).To(Equal(before.ResourceVersion))

	s.Expect(s.flexreg(0, "renew", "ingress", "-n", unwatched).out).To(Equal(object + "asked to be renewed\n"))
	first := s.get(unwatched, "ingress")
	s.Expect(first.Annotations).To(HaveKey(v1alpha1.AnnotationRenew))
	s.Expect(first.ManagedFields).To(ContainElement(And(HaveField("Manager", "kubectl-flexreg"), HaveField("FieldsV1.Raw", MatchJSON(`{"f:metadata":{"f:annotations":{".":{},"f:gateway.flexops.dev/renew":{}}}}`)))))
	s.clock.Step(time.Second)
	s.flexreg(0, "renew", "-l", "stage=production", "-n", unwatched)
	s.Expect(s.get(unwatched, "ingress").Annotations[v1alpha1.AnnotationRenew]).NotTo(Equal(first.Annotations[v1alpha1.AnnotationRenew]), "each request is a new one")

	s.Expect(s.flexreg(0, "suspend", "--all", "-n", unwatched).out).To(And(ContainSubstring("ingress suspended\n"), ContainSubstring("refused suspended (unchanged)\n")))
	s.Expect(s.get(unwatched, "ingress").Spec.Suspend).To(BeTrue())
	s.Expect(s.flexreg(0, "resume", "ingress", "-n", unwatched, "-o", "name").out).To(Equal("flexregistration.gateway.flexops.dev/ingress\n"))
	s.Expect(s.get(unwatched, "ingress").Spec.Suspend).To(BeFalse())
	s.flexreg(0, "pin", "ingress", "4f:3a:90:b1", "-n", unwatched)
	s.Expect(s.get(unwatched, "ingress").Spec.Pin).To(Equal("4F3A90B1"))
	s.Expect(s.flexreg(0, "pin", "ingress", "--clear", "-n", unwatched).out).To(Equal(object + "not pinned any more\n"))
	s.Expect(s.get(unwatched, "ingress").Spec.Pin).To(BeEmpty())

	r := s.flexreg(2, "renew", "ingress", "-n", unwatched, "--wait", "--timeout=1s")
	s.Expect(r.errOut).To(ContainSubstring("timed out waiting; it goes on without. The last state: Ready is True, Scheduled: "))

	for complaint, arguments := range map[string][]string{
		"name the FlexRegistrations to renew":    {"renew"},
		"name the FlexRegistrations to renew, ":  {"renew", "-A"},
		"name the FlexRegistrations to suspend":  {"suspend", "-A"},
		"name the FlexRegistrations to resume":   {"resume"},
		"name the FlexRegistrations to rehearse": {"rehearse"},
		"no FlexRegistration is selected":        {"renew", "-l", "stage=nowhere"},
		"write none, client or server":           {"renew", "ingress", "--dry-run=perhaps"},
		"nothing to wait for":                    {"renew", "ingress", "--dry-run=server", "--wait"},
		"write a duration above 0":               {"renew", "ingress", "--timeout=0s"},
		"accepts 1 arg(s), received 2":           {"approve", "ingress", "refused"},
		"spec.renewal.policy is not Manual":      {"approve", "ingress"},
		"not that of --serial":                   {"approve", "refused", "--serial=11AA"},
		"there is nothing to confirm":            {"confirm", "ingress"},
		"give either the serial number":          {"pin", "ingress"},
		"give either the serial number of":       {"pin", "ingress", "4F", "--clear"},
		`"newest" is no serial number`:           {"pin", "ingress", "newest"},
		`"nobody" not found`:                     {"rehearse", "nobody"},
	} {
		s.Expect(s.flexreg(1, append(arguments, "-n", unwatched)...).errOut).To(ContainSubstring(complaint))
	}
}

// connected is the plugin with the user's client, for what a command line can't be made to do.
func (s *suite) connected() (*plugin, client.WithWatch) {
	config, err := s.cluster.User("person", "people")
	s.Expect(err).NotTo(HaveOccurred())
	c, err := client.NewWithWatch(config, client.Options{Scheme: operator.Scheme()})
	s.Expect(err).NotTo(HaveOccurred())
	return &plugin{IOStreams: genericiooptions.NewTestIOStreamsDiscard(), clock: s.clock}, c
}

func (s *suite) nobodyIsOverwritten() {
	p, c := s.connected()
	f := &editFlags{dryRun: "none", format: genericclioptions.NewPrintFlags("")}
	pin := func(serial string) edit {
		return edit{done: "pinned", field: []string{"spec", "pin"}, value: constant(serial)}
	}
	stale := s.get(unwatched, "ingress")
	s.flexreg(0, "suspend", "ingress", "-n", unwatched)
	_, _, err := p.change(s.Context(), c, f, pin("AA"), stale)
	s.Expect(err).NotTo(HaveOccurred(), "what somebody else did to other fields is no matter")
	s.Expect(s.get(unwatched, "ingress").Spec).To(And(HaveField("Pin", "AA"), HaveField("Suspend", true)))
	_, _, err = p.change(s.Context(), c, f, pin("BB"), stale)
	s.Expect(err).To(MatchError(ContainSubstring("FlexRegistration told/ingress: somebody has changed it meanwhile: look at it with")))
	s.Expect(s.get(unwatched, "ingress").Spec.Pin).To(Equal("AA"))
	s.flexreg(0, "pin", "ingress", "--clear", "-n", unwatched)
	s.flexreg(0, "resume", "ingress", "-n", unwatched)
}

// rehearse plays the operator, with the field that it tells the handled request in.
func (s *suite) rehearse() {
	answer := func(status metav1.ConditionStatus, reason string) {
		s.Helper()
		s.Eventually(func(g Gomega) {
			fr := &s.get(unwatched, "ingress").FlexRegistration
			request := fr.Annotations[v1alpha1.AnnotationRehearse]
			g.Expect(request).NotTo(Or(BeEmpty(), Equal(fr.Status.LastHandledRehearsal)))
			fr.Status.LastHandledRehearsal = request
			rehearsed := meta.FindStatusCondition(fr.Status.Conditions, v1alpha1.ConditionRehearsed)
			rehearsed.Status, rehearsed.Reason, rehearsed.Message = status, reason, "the rehearsal was "+reason
			g.Expect(s.admin.Status().Update(s.Context(), fr)).To(Succeed())
			g.Expect(s.get(unwatched, "ingress").Status.LastHandledRehearsal).To(Equal(request), "the API server knows of the field")
		}).Should(Succeed())
	}
	for _, expected := range []struct {
		status metav1.ConditionStatus
		reason string
		code   int
	}{{"True", "Passed", 0}, {"False", "WouldFail", 2}, {"Unknown", "Incomplete", 2}, {"True", "Passed", 0}} {
		s.clock.Step(time.Second)
		done := make(chan ran, 1)
		go func() {
			done <- s.call(strings.NewReader(""), "rehearse", "ingress", "-n", unwatched, "--wait", "--timeout=30s")
		}()
		answer(expected.status, expected.reason)
		var r ran
		s.Eventually(done).Should(Receive(&r))
		s.Expect(r.code).To(Equal(expected.code), r.errOut)
		s.Expect(r.errOut).To(ContainSubstring("Rehearsed is %s, %s: the rehearsal was %s", expected.status, expected.reason, expected.reason))
	}
}

func (s *suite) completion() {
	complete := func(arguments ...string) string {
		return s.flexreg(0, append([]string{"__complete", "--namespace=" + unwatched, "--kubeconfig=" + s.kubeconfig}, arguments...)...).out
	}
	s.Expect(complete("status", "")).To(And(ContainSubstring("ingress\tScheduled\n"), ContainSubstring("refused\t"), ContainSubstring(":4\n")))
	s.Expect(complete("approve", "ingress", "")).To(Equal(":4\n"), "it takes one name")
}

// connections shows what is told of one beside FlexRegistrations. In the end it takes their CustomResourceDefinition away.
func (s *suite) connections() {
	alone := s.flexreg(2, "status", "-n", unwatched)
	s.Expect(alone.errOut).To(Equal("1 of 2 not Ready: told/refused\n"))
	guest := s.in(s.T)
	var err error
	guest.kubeconfig, err = s.cluster.UserKubeconfig("guest", "guests")
	s.Expect(err).NotTo(HaveOccurred())
	s.grant("guests", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"flexregistrations"}, Verbs: []string{"get", "list"}})
	c := hub().connection
	c.ObjectMeta = metav1.ObjectMeta{Namespace: unwatched, Name: "hub", Labels: map[string]string{"stage": "hub"}}
	c.Spec.Salesforce = &v1alpha1.SalesforceCertificate{InstanceURL: "https://example.my.salesforce.com", APIVersion: "62.0", CredentialsRef: v1alpha1.LocalReference{Name: "salesforce"}}
	status := c.Status
	s.create(c)
	told := func(anypoint time.Duration, conditions ...metav1.Condition) {
		s.Helper()
		c.Status = status
		c.Status.ObservedGeneration, c.Status.Conditions = c.Generation, conditions
		expires := func(after time.Duration) metav1.Time { return metav1.NewTime(s.clock.Now().Add(after + time.Second)) }
		c.Status.Anypoint = &v1alpha1.ConnectionCertificate{Name: "salesforce", NotAfter: expires(anypoint)}
		c.Status.Renamed = []v1alpha1.ConnectionCertificate{{Name: "Anypoint_to_expire", NotAfter: expires(8 * day)}, {Name: "Anypoint_to_expire_2", NotAfter: expires(20 * day)}}
		s.Expect(s.admin.Status().Update(s.Context(), c)).To(Succeed())
	}
	loginRequired := []metav1.Condition{condition("Ready", "True", "LoginRequired", "log in before 2026-12-12"), condition("ActionRequired", "True", "LoginRequired", "log in before 2026-12-12")}
	told(200*day, loginRequired...)

	r := s.flexreg(2, "status", "-n", unwatched)
	s.Expect(r.errOut).To(Equal("1 of 3 not Ready: told/refused\n"))
	s.Expect(r.out).To(HavePrefix(alone.out + "\n"))
	s.Expect(strings.TrimPrefix(r.out, alone.out)).To(MatchRegexp(`^\nNAME +READY +REASON +ANYPOINT +SALESFORCE +NEXT\naehconn/hub +True +LoginRequired +\S+ \(in 200d\) +\S+ \(in 20d\) +somebody must act: LoginRequired\n$`))
	s.Expect(s.flexreg(0, "status", "-n", unwatched, "-l", "stage=hub", "-o", "wide").out).To(MatchRegexp(`^NAME[^\n]*\naehconn/hub .* log in before 2026-12-12\n$`))
	s.Expect(s.flexreg(0, "status", "-n", unwatched, "-l", "stage=production").out).NotTo(ContainSubstring("aehconn"))
	s.Expect(s.flexreg(2, "status", "-A").out).To(MatchRegexp(`\nNAMESPACE +NAME[^\n]*\ntold +aehconn/hub +True`))
	for _, name := range []string{"aehconn/hub", "experiencehubconnection.gateway.flexops.dev/hub"} {
		s.Expect(s.flexreg(0, "status", name, "-n", unwatched).out).To(And(MatchRegexp(`^Name: +told/hub\nReady: +True\nWhy: +LoginRequired: log in before 2026-12-12\n`), MatchRegexp(`Salesforce: +Anypoint_to_expire_2, expires `), MatchRegexp(`\nActionRequired +True`)))
	}
	s.Expect(s.flexreg(2, "status", "-n", unwatched, "-o", "name").out).To(Equal("flexregistration.gateway.flexops.dev/refused\nexperiencehubconnection.gateway.flexops.dev/hub\nflexregistration.gateway.flexops.dev/ingress\n"))
	var one v1alpha1.ExperienceHubConnection
	s.Expect(json.Unmarshal([]byte(s.flexreg(0, "status", "aehconn/hub", "-n", unwatched, "-o", "json").out), &one)).To(Succeed())
	s.Expect(one.Status.Renamed).To(HaveLen(2))
	for command, offered := range map[string]string{"status": "aehconn/hub\tLoginRequired\n:4\n", "suspend": "aehconn/hub\tLoginRequired\n:4\n", "renew": ":4\n", "inspect": ":4\n"} {
		s.Expect(s.flexreg(0, "__complete", "--namespace="+unwatched, "--kubeconfig="+s.kubeconfig, command, "aehconn/").out).To(Equal(offered), command)
	}

	told(-day, condition("Ready", "True", "Watching", "the operator that said so is gone"))
	s.Expect(s.flexreg(2, "status", "ingress", "aehconn/hub", "-n", unwatched).errOut).To(Equal("1 of 2 not Ready: ExperienceHubConnection told/hub\n"))
	told(200*day, loginRequired...)

	const object = "experiencehubconnection.gateway.flexops.dev/hub "
	s.Expect(s.flexreg(0, "suspend", "aehconn/hub", "-n", unwatched).out).To(Equal(object + "suspended\n"))
	latest := func() *v1alpha1.ExperienceHubConnection {
		key := client.ObjectKeyFromObject(c)
		c = &v1alpha1.ExperienceHubConnection{}
		s.Expect(s.admin.Get(s.Context(), key, c)).To(Succeed())
		return c
	}
	s.Expect(latest().Spec.Suspend).To(BeTrue())
	s.Expect(s.flexreg(0, "suspend", "--all", "-n", unwatched, "--dry-run=client").out).NotTo(ContainSubstring("experiencehub"))
	resumed := make(chan ran, 1)
	go func() {
		resumed <- s.call(strings.NewReader(""), "resume", "aehconn/hub", "-n", unwatched, "--wait", "--timeout=30s")
	}()
	s.Eventually(func() bool { return latest().Spec.Suspend }).Should(BeFalse())
	told(200*day, condition("Ready", "True", "LoginRequired", "the operator has seen the new spec"))
	s.Eventually(resumed).Should(Receive(&r))
	s.Expect(r).To(Equal(ran{0, object + "resumed\n", r.errOut}))
	s.Expect(r.errOut).To(HaveSuffix("Z ExperienceHubConnection told/hub: Ready is True, LoginRequired: the operator has seen the new spec\n"))
	for _, arguments := range [][]string{{"renew", "aehconn/hub"}, {"rehearse", "ingress", "aehconn/hub"}, {"pin", "aehconn/hub", "--clear"}, {"inspect", "aehconn/hub"}} {
		s.Expect(s.flexreg(1, append(arguments, "-n", unwatched)...).errOut).To(ContainSubstring("aehconn/hub: only status, suspend and resume take an ExperienceHubConnection"))
	}

	// Who may not list them sees FlexRegistrations as ever, and is told once.
	byGuest := func() ran {
		return guest.call(strings.NewReader(""), "status", "-n", unwatched, "--cache-dir="+s.TempDir())
	}
	s.Eventually(byGuest).Should(Equal(ran{2, alone.out, "ExperienceHubConnections are not shown: it takes a right of yours to list them.\n" + alone.errOut}))
	s.Expect(guest.flexreg(1, "status", "aehconn/hub", "-n", unwatched).errOut).To(ContainSubstring(`cannot get resource "experiencehubconnections"`))

	// Where the cluster has none, nobody is told anything.
	s.Expect(s.admin.Delete(s.Context(), &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "experiencehubconnections.gateway.flexops.dev"}})).To(Succeed())
	s.Eventually(func() ran { return s.call(strings.NewReader(""), "status", "-n", unwatched) }).Should(Equal(alone))
	s.Eventually(byGuest).Should(Equal(alone))
	s.Expect(s.flexreg(1, "status", "aehconn/hub", "-n", unwatched).errOut).To(ContainSubstring("the cluster has no ExperienceHubConnections: install the operator's CustomResourceDefinition"))
}

// renew has the operator renew.
func (s *suite) renew() {
	gateway := s.gateway(operator.GatewayName, 300*day, unchanged)
	s.Eventually(func() string { return s.get(watched, "ingress").ready().Reason }).Should(Equal("Scheduled"))
	r := s.flexreg(0, "renew", "ingress", "-n", watched, "--wait", "--timeout=1m")
	s.Expect(s.platform.Renewals(gateway.AgentID)).To(HaveLen(1))
	after := s.get(watched, "ingress")
	s.Expect(after.Status.Certificate.Fingerprint).NotTo(Equal(gateway.Fingerprint))
	s.Expect(after.Status.Rollout.Completed).To(BeTrue())
	s.Expect(after.Status.LastHandledRequest).To(Equal(after.Annotations[v1alpha1.AnnotationRenew]))
	s.Expect(r.out).To(Equal("flexregistration.gateway.flexops.dev/ingress asked to be renewed\n"))
	s.Expect(r.errOut).To(And(MatchRegexp(`^\S+Z FlexRegistration gateway/ingress: Ready is True, Scheduled: `), ContainSubstring("Ready is True, RollingOut: ")))
	s.Expect(s.flexreg(0, "status", "ingress", "-n", watched).out).To(ContainSubstring("Renewal Succeeded (Requested: " + after.Annotations[v1alpha1.AnnotationRenew]))
}

func (s *suite) approve() {
	gateway := s.gateway("manual", 10*day, func(fr *v1alpha1.FlexRegistration) { fr.Spec.Renewal.Policy = v1alpha1.RenewalManual })
	s.Eventually(func() string { return s.get(watched, "manual").ready().Reason }).Should(Equal("AwaitingApproval"))
	s.Expect(s.flexreg(0, "status", "manual", "-n", watched).out).To(MatchRegexp(`To change that: +kubectl flexreg approve manual -n gateway\n`))
	s.Expect(s.flexreg(2, "renew", "manual", "-n", watched, "--wait", "--timeout=1s").errOut).To(ContainSubstring("AwaitingApproval: "))
	s.flexreg(0, "approve", "manual", "-n", watched, "--wait", "--timeout=1m", "--serial="+strings.ToLower(s.get(watched, "manual").Status.Certificate.SerialNumber))
	s.Expect(s.platform.Renewals(gateway.AgentID)).To(HaveLen(1))
	s.Expect(s.get(watched, "manual").Status.Rollout.Completed).To(BeTrue())
}

// pin goes back to what renew has left behind.
func (s *suite) pin() {
	newest := s.get(watched, "ingress").Status.Certificate.SerialNumber
	history := s.get(watched, "ingress").Status.History
	before := history[len(history)-1].From
	s.Expect(s.flexreg(2, "pin", "ingress", "ABCDEF", "-n", watched, "--wait", "--timeout=1m").errOut).To(ContainSubstring("PinUnknown"))
	s.flexreg(0, "pin", "ingress", before, "-n", watched, "--wait", "--timeout=1m")
	s.Expect(s.get(watched, "ingress").Status.Certificate.SerialNumber).To(Equal(before))
	s.flexreg(0, "pin", "ingress", "--clear", "-n", watched, "--wait", "--timeout=1m")
	s.Expect(s.get(watched, "ingress").Status.Certificate.SerialNumber).To(Equal(newest))
}

// resume waits until renewals that were held up are done, also where a certificate has expired and Ready is False until then.
func (s *suite) resume() {
	suspended := func(fr *v1alpha1.FlexRegistration) { fr.Spec.Suspend = true }
	gateways := map[string]simulator.Gateway{"held": s.gateway("held", 10*day, suspended), "late": s.gateway("late", -time.Hour, suspended)}
	s.Expect(s.flexreg(2, "status", "held", "-n", watched).out).To(MatchRegexp(`Next: +somebody must act\nTo change that: +kubectl flexreg resume held -n gateway\n`))
	for name, said := range map[string]string{"held": "True, Renewing", "late": "False, CertificateExpired"} {
		s.platform.Inject(simulator.Fault{Call: simulator.CallRenew, Kind: simulator.Slow, Latency: time.Second})
		r := s.flexreg(0, "resume", name, "-n", watched, "--wait", "--timeout=1m")
		s.Expect(r.errOut).To(ContainSubstring("FlexRegistration gateway/%s: Ready is %s: ", name, said))
		s.Expect(s.platform.Renewals(gateways[name].AgentID)).To(HaveLen(1))
		s.Expect(s.get(watched, name).Status.Rollout).To(HaveField("Completed", true))
	}
}

// confirm takes over a record of another cluster.
func (s *suite) confirm() {
	s.gateway("cloned", 300*day, unchanged)
	s.Eventually(func() string { return s.get(watched, "cloned").ready().Reason }).Should(Equal("Scheduled"))
	s.flexreg(0, "suspend", "cloned", "-n", watched, "--wait")
	var secrets corev1.SecretList
	s.Expect(s.admin.List(s.Context(), &secrets, client.InNamespace(watched))).To(Succeed())
	for i := range secrets.Items {
		state := map[string]any{}
		if secret := &secrets.Items[i]; secret.Type == "gateway.flexops.dev/record" && json.Unmarshal(secret.Data["state.json"], &state) == nil && strings.Contains(fmt.Sprint(secret.Annotations, secret.Labels, string(secret.Data["state.json"])), s.get(watched, "cloned").Status.Certificate.Fingerprint) {
			state["cluster"] = "kube-system/00000000-0000-0000-0000-000000000000"
			var err error
			secret.Data["state.json"], err = json.Marshal(state)
			s.Expect(err).NotTo(HaveOccurred())
			s.Expect(s.admin.Update(s.Context(), secret)).To(Succeed())
		}
	}
	s.flexreg(2, "resume", "cloned", "-n", watched, "--wait", "--timeout=1m")
	s.Eventually(func() string { return s.get(watched, "cloned").ready().Reason }).Should(Equal("ClusterChanged"))
	s.flexreg(0, "confirm", "cloned", "-n", watched, "--wait", "--timeout=1m")
	s.Expect(s.get(watched, "cloned").ready().Status).To(Equal(metav1.ConditionTrue))
}

// givenUp ends a wait when it is known that nothing will come.
func (s *suite) givenUp() {
	s.platform.ReplaceSecret(s.appID, "another")
	s.clock.Step(time.Second)
	began := time.Now()
	r := s.flexreg(2, "renew", "ingress", "-n", watched, "--wait", "--timeout=5m")
	s.Expect(r.errOut).To(ContainSubstring("Ready is False, CredentialsRejected: "))
	s.Expect(time.Since(began)).To(BeNumerically("<", time.Minute))
	s.Expect(s.flexreg(2, "status", "-A").out).To(MatchRegexp(`CredentialsRejected`))
}

// noSuchResource comes last: it takes the CustomResourceDefinition away.
func (s *suite) noSuchResource() {
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "flexregistrations.gateway.flexops.dev"}}
	s.Expect(s.admin.Delete(s.Context(), crd)).To(Succeed())
	for _, arguments := range [][]string{{"status", "-A"}, {"status", "ingress"}, {"renew", "ingress"}, {"adopt", "-A"}} {
		s.Eventually(func() string { return s.call(strings.NewReader(""), arguments...).errOut }).Should(ContainSubstring("the cluster has no FlexRegistrations: install the operator's CustomResourceDefinition"))
	}
}

func TestWithoutACluster(t *testing.T) {
	g := NewWithT(t)
	for complaint, arguments := range map[string][]string{
		"no such file or directory": {"status", "--kubeconfig=/nowhere"},
		"connection refused":        {"status", "--server=https://127.0.0.1:1"},
	} {
		var out, errOut bytes.Buffer
		g.Expect(run(context.Background(), arguments, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}, clocktesting.NewFakeClock(noon))).To(Equal(1))
		g.Expect(errOut.String()).To(And(HavePrefix("error: "), ContainSubstring(complaint)))
	}
}
