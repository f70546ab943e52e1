package gateway

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

func deployment(name string, volumes ...corev1.Volume) *Deployment {
	return NewDeployment(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: name},
		Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Volumes: volumes}}},
	})
}

func secretVolume(name, secret string, items ...corev1.KeyToPath) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret, Items: items}}}
}

func projectedVolume(name string, secrets ...string) corev1.Volume {
	v := corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}
	v.Projected.Sources = append(v.Projected.Sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{}})
	for _, s := range secrets {
		v.Projected.Sources = append(v.Projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: s}}})
	}
	return v
}

func csiVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store"}}}
}

func TestDiscover(t *testing.T) {
	target := &v1alpha1.TargetReference{Name: "ingress"}
	ref := func(name, key string) *v1alpha1.SecretKeyReference {
		return &v1alpha1.SecretKeyReference{Name: name, Key: key}
	}
	mapped := corev1.KeyToPath{Key: "gateway", Path: "conf.d/registration.yaml"}
	for name, c := range map[string]struct {
		spec        v1alpha1.FlexRegistrationSpec
		deployments []*Deployment
		secret, key string
		rolled      []string
		others      []string
		finding     string
	}{
		"the volume of the vendor's chart": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", secretVolume("other", "x"), secretVolume("registration", "s")), deployment("elsewhere", secretVolume("v", "s")), deployment("unrelated")},
			secret:      "s", key: "registration.yaml", rolled: []string{"ingress"}, others: []string{"elsewhere"},
		},
		"a key that the volume maps": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", secretVolume("registration", "s", corev1.KeyToPath{Key: "c", Path: "certificate.yaml"}, mapped))},
			secret:      "s", key: "gateway", rolled: []string{"ingress"},
		},
		"a projected volume with one Secret": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", projectedVolume("registration", "s"))},
			secret:      "s", key: "registration.yaml", rolled: []string{"ingress"},
		},
		"a projected volume with two": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", projectedVolume("registration", "s", "t"))},
			finding:     "is not from one Secret",
		},
		"a projected volume with two, one of which is named": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target, SecretRef: ref("t", "")},
			deployments: []*Deployment{deployment("ingress", projectedVolume("registration", "s", "t"))},
			secret:      "t", key: "registration.yaml", rolled: []string{"ingress"},
		},
		"a CSI volume": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", csiVolume("registration"))},
			finding:     "is not from one Secret",
		},
		"no such volume": {
			spec:        v1alpha1.FlexRegistrationSpec{TargetRef: target},
			deployments: []*Deployment{deployment("ingress", secretVolume("conf", "s"))},
			finding:     `has no volume named "registration"`,
		},
		"no such Deployment": {
			spec:    v1alpha1.FlexRegistrationSpec{TargetRef: target},
			finding: "Deployment ingress does not exist",
		},
		"a Secret alone": {
			spec:        v1alpha1.FlexRegistrationSpec{SecretRef: ref("s", "")},
			deployments: []*Deployment{deployment("b", secretVolume("v", "s", mapped)), deployment("a", secretVolume("v", "s", mapped)), deployment("c")},
			secret:      "s", key: "gateway", rolled: []string{"a", "b"},
		},
		"a Secret alone, of which nobody agrees on the key": {
			spec:        v1alpha1.FlexRegistrationSpec{SecretRef: ref("s", "")},
			deployments: []*Deployment{deployment("b", secretVolume("v", "s", mapped)), deployment("a", secretVolume("v", "s"))},
			finding:     "set spec.secretRef.key",
		},
		"a Secret and a key": {
			spec:        v1alpha1.FlexRegistrationSpec{SecretRef: ref("s", "gateway")},
			deployments: []*Deployment{deployment("b", secretVolume("v", "s", mapped)), deployment("a", secretVolume("v", "s"))},
			secret:      "s", key: "gateway", rolled: []string{"a", "b"},
		},
		"a Secret that nothing mounts": {
			spec:   v1alpha1.FlexRegistrationSpec{SecretRef: ref("s", "")},
			secret: "s", key: "registration.yaml",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			builder := fake.NewClientBuilder().WithScheme(NewScheme())
			for _, d := range c.deployments {
				builder.WithObjects(d)
			}
			fr := &v1alpha1.FlexRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: "ingress"}, Spec: c.spec}
			found, finding, err := Discover(t.Context(), builder.Build(), fr)
			g.Expect(err).NotTo(HaveOccurred())
			if c.finding != "" {
				g.Expect(finding).NotTo(BeNil())
				g.Expect(finding.Message).To(ContainSubstring(c.finding))
				return
			}
			g.Expect(finding).To(BeNil())
			g.Expect(found.SecretName).To(Equal(c.secret))
			g.Expect(found.Key).To(Equal(c.key))
			g.Expect(found.Others).To(Equal(c.others))
			var rolled []string
			for _, d := range found.Deployments {
				rolled = append(rolled, d.Name)
			}
			g.Expect(rolled).To(Equal(c.rolled))
		})
	}
}

func TestInterrupts(t *testing.T) {
	for name, c := range map[string]struct {
		replicas int32
		strategy appsv1.DeploymentStrategy
		want     string
	}{
		"the default":     {2, appsv1.DeploymentStrategy{}, ""},
		"Recreate":        {2, appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}, "Recreate"},
		"Recreate of 0":   {0, appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}, ""},
		"25% of one":      {1, rolling(intstr.FromString("25%")), ""},
		"1 of one":        {1, rolling(intstr.FromInt32(1)), "all replicas"},
		"100% of three":   {3, rolling(intstr.FromString("100%")), "all replicas"},
		"two of three":    {3, rolling(intstr.FromInt32(2)), ""},
		"more than there": {3, rolling(intstr.FromInt32(5)), "all replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			d := deployment("d")
			d.Spec.Replicas, d.Spec.Strategy = ptr.To(c.replicas), c.strategy
			if c.want == "" {
				NewWithT(t).Expect(Interrupts(d)).To(BeEmpty())
			} else {
				NewWithT(t).Expect(Interrupts(d)).To(ContainSubstring(c.want))
			}
		})
	}
}

func rolling(unavailable intstr.IntOrString) appsv1.DeploymentStrategy {
	return appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &unavailable}}
}

func TestRecordsAreRefusedWithoutTheirContent(t *testing.T) {
	const key = "-----BEGIN PRIVATE KEY-----\nTUlJQ2RnSUJBREFOQmdrcWhraUc5dzA\n-----END PRIVATE KEY-----"
	for name, c := range map[string]struct {
		kind corev1.SecretType
		data map[string][]byte
		want string
	}{
		"another type":    {corev1.SecretTypeOpaque, map[string][]byte{"newest.yaml": []byte(key)}, "its type is not"},
		"too large":       {RecordType, map[string][]byte{"x": make([]byte, maxRecord+1)}, "larger than"},
		"no JSON":         {RecordType, map[string][]byte{"state.json": []byte(key)}, "its state.json is not valid"},
		"no registration": {RecordType, map[string][]byte{"state.json": []byte(`{"secret":"s","key":"k"}`)}, "its newest.yaml is missing"},
		"a broken one":    {RecordType, map[string][]byte{"state.json": []byte(`{"secret":"s","key":"k"}`), "newest.yaml": []byte(key)}, "newest.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			of := &Gateway{Namespace: "gateway", SecretName: "s", Key: "k"}
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gateway", Name: RecordName("s", "k")}, Type: c.kind, Data: c.data}
			_, finding, err := LoadRecord(t.Context(), fake.NewClientBuilder().WithObjects(secret).Build(), of)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(finding).NotTo(BeNil())
			g.Expect(finding.Message).To(ContainSubstring(c.want))
			g.Expect(finding.Message).NotTo(ContainSubstring("TUlJ"))
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"secret":"s","key":"k","rollout":{"sequence":1}}`), []byte("apiVersion: gateway.mulesoft.com/v1alpha1"))
	f.Add([]byte(`{"intent":{"since":"2030-01-01T00:00:00Z"}}`), []byte(""))
	f.Fuzz(func(t *testing.T, state, newest []byte) {
		record, of, err := decode(&corev1.Secret{Type: RecordType, Data: map[string][]byte{recordState: state, recordNewest: newest}})
		if err != nil {
			if strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Fatal("content in an error")
			}
			return
		}
		if record.Newest == nil || of == nil || !record.Exists() {
			t.Fatal("a record without a registration")
		}
	})
}

func TestRecordNames(t *testing.T) {
	g := NewWithT(t)
	names := map[string]bool{}
	for _, pair := range [][2]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a", "bc"}, {"ab", "c"}} {
		name := RecordName(pair[0], pair[1])
		g.Expect(names).NotTo(HaveKey(name))
		g.Expect(len(name)).To(BeNumerically("<=", 63))
		names[name] = true
	}
	g.Expect(SameCluster("kube-system/1", "kube-system/1")).To(BeTrue())
	g.Expect(SameCluster("kube-system/1", "kube-system/2")).To(BeFalse())
	g.Expect(SameCluster("kube-system/1", "gateway/2")).To(BeTrue())
}
