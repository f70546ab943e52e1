package job

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

// Whatever the gateway's pod template asks for, the pod of a renewal gets what it needs to run, and no more.
func TestJobOfAnyGateway(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		of := gatewayOf(anyTemplate(random))
		of.Deployments[0].Spec.Template.Annotations = map[string]string{"sidecar.istio.io/inject": "true"}
		config := Config{OperatorImage: "operator:1", Hosts: []string{"a.example.com", "b.example.com:8443"}, Labels: map[string]string{"egress": "anypoint"}, AssignedUser: random.IntN(4) == 0}
		a := attemptOf(&Runner{Config: config}, of)
		j := a.job("flex-gateway:1", nil, handoff("must not be seen"))
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			g := NewWithT(t)
			expectBounded(g, j)
			expectRestricted(g, &j.Spec.Template.Spec)
			expectNoToken(g, &j.Spec.Template.Spec)
			expectUser(g, j.Spec.Template.Spec.SecurityContext, config.AssignedUser)
			g.Expect(j.Spec.Template.Labels).NotTo(Or(HaveKey("app.kubernetes.io/name"), HaveKey("team")), "or the gateway's Service would send it traffic")
			g.Expect(j.Spec.Template.Labels).To(And(HaveKeyWithValue("egress", "anypoint"), HaveKeyWithValue(LabelComponent, ComponentRenewal), HaveKeyWithValue(LabelFlexRegistration, "ingress"), HaveKeyWithValue("sidecar.istio.io/inject", "false")))
			g.Expect(j.Spec.Template.Annotations).To(HaveKeyWithValue("sidecar.istio.io/inject", "false"))
			encoded, err := json.Marshal(j)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(encoded)).NotTo(ContainSubstring("must not be seen"))
		})
	}
}

func expectBounded(g *WithT, j *batchv1.Job) {
	g.Expect(j.Spec.BackoffLimit).To(HaveValue(BeZero()), "whether an attempt is repeated is not for Kubernetes to decide")
	g.Expect(j.Spec.ActiveDeadlineSeconds).To(HaveValue(BeEquivalentTo(15 * 60)))
	g.Expect(j.Spec.Template.Spec.RestartPolicy).To(Equal(corev1.RestartPolicyNever))
	g.Expect(j.Spec.Parallelism).To(Or(BeNil(), HaveValue(BeEquivalentTo(1))))
	g.Expect(j.Spec.Completions).To(Or(BeNil(), HaveValue(BeEquivalentTo(1))))
	g.Expect(j.Spec.TTLSecondsAfterFinished).To(BeNil(), "a Job that vanished counts as one that nobody knows the outcome of")
	g.Expect(handoffTimeout).To(BeNumerically("<", lifetime))
	g.Expect(Hold).To(BeNumerically(">", lifetime))
}

// expectRestricted asks for the fields of the restricted Pod Security Standard, and for what it doesn't ask.
func expectRestricted(g *WithT, pod *corev1.PodSpec) {
	g.Expect(pod.HostNetwork || pod.HostPID || pod.HostIPC).To(BeFalse())
	g.Expect(pod.ShareProcessNamespace).To(Or(BeNil(), HaveValue(BeFalse())))
	g.Expect(pod.SecurityContext.RunAsNonRoot).To(HaveValue(BeTrue()))
	g.Expect(pod.SecurityContext.RunAsUser).To(Or(BeNil(), HaveValue(BeNumerically(">", 0))))
	g.Expect(pod.SecurityContext.SeccompProfile).To(HaveValue(HaveField("Type", corev1.SeccompProfileTypeRuntimeDefault)))
	g.Expect(pod.SecurityContext.Sysctls).To(BeEmpty())
	g.Expect(pod.SecurityContext.AppArmorProfile).To(BeNil())
	g.Expect(pod.SecurityContext.SupplementalGroups).To(BeEmpty())
	g.Expect(pod.SecurityContext.WindowsOptions).To(BeNil())
	g.Expect(pod.EphemeralContainers).To(BeEmpty())
	for _, v := range pod.Volumes {
		source := v.VolumeSource
		g.Expect(source.EmptyDir != nil || source.Secret != nil || source.Projected != nil).To(BeTrue(), v.Name)
		if source.EmptyDir != nil {
			g.Expect(source.EmptyDir.Medium).To(Equal(corev1.StorageMediumMemory), "no disk sees a key")
			g.Expect(source.EmptyDir.SizeLimit).NotTo(BeNil())
		}
	}
	containers := slices.Concat(pod.InitContainers, pod.Containers)
	g.Expect(containers).To(HaveLen(3))
	for _, c := range containers {
		s := c.SecurityContext
		g.Expect(s.AllowPrivilegeEscalation).To(HaveValue(BeFalse()), c.Name)
		g.Expect(s.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()), c.Name)
		g.Expect(s.Capabilities).To(HaveValue(Equal(corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})), c.Name)
		g.Expect(s.Privileged).To(Or(BeNil(), HaveValue(BeFalse())), c.Name)
		g.Expect(s.RunAsUser).To(BeNil(), c.Name)
		g.Expect(s.RunAsNonRoot).To(BeNil(), c.Name)
		g.Expect(s.SeccompProfile).To(BeNil(), c.Name)
		g.Expect(s.ProcMount).To(BeNil(), c.Name)
		g.Expect(c.Ports).To(BeEmpty(), c.Name)
		g.Expect(c.Lifecycle).To(BeNil(), c.Name)
		g.Expect(c.RestartPolicy).To(BeNil(), c.Name)
		g.Expect(c.Env).To(BeEmpty(), c.Name)
		g.Expect(c.EnvFrom).To(BeEmpty(), c.Name)
		g.Expect(c.Resources.Limits).To(And(HaveKey(corev1.ResourceCPU), HaveKey(corev1.ResourceMemory)), c.Name)
	}
}

// expectNoToken: only containers of the operator's image have a token; only flexctl's has what is renewed.
func expectNoToken(g *WithT, pod *corev1.PodSpec) {
	g.Expect(pod.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
	g.Expect(pod.EnableServiceLinks).To(HaveValue(BeFalse()))
	g.Expect(pod.ServiceAccountName).To(Equal(HandoffName("ingress")))
	holders := map[string][]string{}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, m := range c.VolumeMounts {
			holders[m.Name] = append(holders[m.Name], c.Name)
		}
	}
	for _, v := range pod.Volumes {
		switch {
		case v.Projected != nil:
			g.Expect(holders[v.Name]).To(Equal([]string{containerPrepare, containerHandoff}))
			g.Expect([]string{pod.InitContainers[0].Image, pod.Containers[0].Image}).To(HaveEach("operator:1"))
			for _, source := range v.Projected.Sources {
				if token := source.ServiceAccountToken; token != nil {
					g.Expect(token.ExpirationSeconds).To(HaveValue(BeNumerically("<=", Hold.Seconds())))
				}
			}
		case v.Secret != nil:
			g.Expect(holders[v.Name]).To(Equal([]string{containerFlexctl}))
			g.Expect(v.Secret.SecretName).To(Equal(jobName))
		}
	}
}

func expectUser(g *WithT, security *corev1.PodSecurityContext, assigned bool) {
	if assigned {
		g.Expect(*security).To(Equal(corev1.PodSecurityContext{RunAsNonRoot: security.RunAsNonRoot, SeccompProfile: security.SeccompProfile}), "OpenShift assigns user, groups and SELinux options, and refuses who asks for them")
		return
	}
	g.Expect(security.RunAsUser).To(HaveValue(BeNumerically(">", 0)))
	g.Expect(security.FSGroup).To(BeNil())
}

// anyTemplate is a pod template with what a gateway's may have, and what it should not.
func anyTemplate(random *rand.Rand) corev1.PodSpec {
	maybe := func(n int) bool { return random.IntN(n) == 0 }
	id := func() *int64 {
		if maybe(3) {
			return nil
		}
		return ptr.To([]int64{0, 0, 1, 1000, 65534, -1}[random.IntN(6)])
	}
	container := func(c corev1.Container) corev1.Container {
		c.Env = []corev1.EnvVar{{Name: "LD_PRELOAD", Value: "/x"}}
		c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}}}
		c.Ports = []corev1.ContainerPort{{ContainerPort: 8081, HostPort: 8081}}
		if maybe(3) {
			return c
		}
		c.SecurityContext = &corev1.SecurityContext{
			Privileged: ptr.To(maybe(2)), AllowPrivilegeEscalation: ptr.To(maybe(2)), ReadOnlyRootFilesystem: ptr.To(false),
			RunAsUser: id(), RunAsGroup: id(), RunAsNonRoot: ptr.To(maybe(2)), ProcMount: ptr.To(corev1.UnmaskedProcMount),
			Capabilities:   &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN", "NET_BIND_SERVICE"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
		}
		return c
	}
	pod := corev1.PodSpec{
		HostNetwork: maybe(2), HostPID: maybe(2), HostIPC: maybe(2), ShareProcessNamespace: ptr.To(maybe(2)),
		ServiceAccountName: "gateways", AutomountServiceAccountToken: ptr.To(true), EnableServiceLinks: ptr.To(true), NodeName: "edge-1",
		PriorityClassName: "system-node-critical", RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr.To[int64](86400),
		Volumes:        []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}},
		InitContainers: []corev1.Container{container(corev1.Container{Name: "init", Image: "init:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)})},
		Containers:     []corev1.Container{container(corev1.Container{Name: "sidecar", Image: "sidecar:1"}), container(running("flex-gateway:1", nil))},
		Tolerations:    []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	}
	if !maybe(3) {
		pod.SecurityContext = &corev1.PodSecurityContext{
			RunAsUser: id(), RunAsGroup: id(), FSGroup: id(), RunAsNonRoot: ptr.To(maybe(2)), SupplementalGroups: []int64{0},
			Sysctls: []corev1.Sysctl{{Name: "kernel.msgmax", Value: "1"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
			SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"},
		}
	}
	return pod
}

// What the gateway needs to find its nodes, and the platform, the pod has too.
func TestJobRunsWhereTheGatewayDoes(t *testing.T) {
	g := NewWithT(t)
	template := corev1.PodSpec{
		NodeSelector: map[string]string{"zone": "edge"}, Tolerations: []corev1.Toleration{{Key: "edge", Operator: corev1.TolerationOpExists}},
		HostAliases: []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"anypoint.example.com"}}}, DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.53"}},
		Affinity: &corev1.Affinity{
			NodeAffinity:    &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}},
			PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname}}},
		},
		Containers: []corev1.Container{{Name: "app", Image: "flex-gateway:1", LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}}}},
	}
	j := attemptOf(&Runner{}, gatewayOf(template)).job("flex-gateway:1", nil, handoff(""))
	pod := j.Spec.Template.Spec
	g.Expect(pod.NodeSelector).To(Equal(template.NodeSelector))
	g.Expect(pod.Tolerations).To(Equal(template.Tolerations))
	g.Expect(pod.HostAliases).To(Equal(template.HostAliases))
	g.Expect(pod.DNSPolicy).To(Equal(template.DNSPolicy))
	g.Expect(pod.DNSConfig).To(Equal(template.DNSConfig))
	g.Expect(pod.Affinity).To(Equal(&corev1.Affinity{NodeAffinity: template.Affinity.NodeAffinity}), "beside which pods the gateway's want to be is not the renewal's concern")
}

func TestJobRunsAsTheGatewaysUser(t *testing.T) {
	user := func(user, group int64) *corev1.SecurityContext {
		return &corev1.SecurityContext{RunAsUser: &user, RunAsGroup: &group}
	}
	for name, c := range map[string]struct {
		pod         *corev1.PodSecurityContext
		container   *corev1.SecurityContext
		user, group *int64
	}{
		"nothing said":       {user: ptr.To[int64](unprivilegedUser)},
		"the pod's":          {pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](4711), RunAsGroup: ptr.To[int64](4712)}, user: ptr.To[int64](4711), group: ptr.To[int64](4712)},
		"the container's":    {pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1)}, container: user(4711, 4712), user: ptr.To[int64](4711), group: ptr.To[int64](4712)},
		"root":               {container: user(0, 0), user: ptr.To[int64](unprivilegedUser)},
		"a pod of root":      {pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0)}, user: ptr.To[int64](unprivilegedUser)},
		"a container's root": {pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](4711)}, container: user(0, 0), user: ptr.To[int64](4711)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			template := corev1.PodSpec{SecurityContext: c.pod, Containers: []corev1.Container{running("flex-gateway:1", c.container)}}
			security := attemptOf(&Runner{}, gatewayOf(template)).podSecurity()
			g.Expect(security.RunAsUser).To(Equal(c.user))
			g.Expect(security.RunAsGroup).To(Equal(c.group))
		})
	}
}

// flexctl's container is told what it may do, and until when it may begin; no secret is on its command line.
func TestJobsCommandLines(t *testing.T) {
	g := NewWithT(t)
	a := attemptOf(&Runner{Config: Config{OperatorImage: "operator:1", Hosts: []string{"a.example.com", "b.example.com:8443"}}}, gatewayOf(corev1.PodSpec{}))
	target := handoff("content of the Secret")
	target.UID, target.ResourceVersion = "the-handoff", "4711"
	j := a.job("flex-gateway:1", nil, target)
	flexctl := j.Spec.Template.Spec.InitContainers[1]
	g.Expect(flexctl.Image).To(Equal("flex-gateway:1"))
	g.Expect(flexctl.Args).To(BeEmpty())
	g.Expect(flexctl.Command).To(ContainElements("--anypoint-hosts=a.example.com,b.example.com:8443", "--start-before=2031-05-01T12:05:00Z", "--deadline=2m0s", "--termination-log=/dev/termination-log"))
	g.Expect(flexctl.TerminationMessagePolicy).To(Equal(corev1.TerminationMessageReadFile), "what flexctl prints is no message")
	for _, argument := range j.Spec.Template.Spec.Containers[0].Command {
		metadata, found := strings.CutPrefix(argument, "--secret=")
		if !found {
			continue
		}
		var secret corev1.Secret
		g.Expect(json.Unmarshal([]byte(metadata), &secret)).To(Succeed())
		g.Expect(secret.UID).To(Equal(target.UID))
		g.Expect(secret.ResourceVersion).To(BeEmpty())
		g.Expect(secret.Data).To(BeEmpty())
		g.Expect(secret.Type).To(Equal(HandoffType))
		return
	}
	t.Error("nobody says which Secret to hand over in, as " + registration.DefaultKey)
}
