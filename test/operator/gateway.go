package operator

import (
	"context"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

// The names of what Install makes, as the vendor's chart and the samples have them.
const (
	GatewayName     = "ingress"
	SecretName      = "ingress-registration"
	CredentialsName = "anypoint"
)

// Namespace is a namespace object.
func Namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// RegistrationSecret holds a registration file beside a key that is none of the operator's business.
func RegistrationSecret(namespace string, file []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}},
		Data:       map[string][]byte{"registration.yaml": file, "notes.txt": []byte("not the operator's\r\n")},
	}
}

// CredentialsSecret holds a connected app's credentials.
func CredentialsSecret(namespace, clientID, clientSecret string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: CredentialsName},
		StringData: map[string]string{"client-id": clientID, "client-secret": clientSecret},
	}
}

// Deployment is shaped like the one of the vendor's chart.
func Deployment(namespace, name, secret string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": "flex-gateway", "app.kubernetes.io/instance": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "app", Image: "mulesoft/flex-gateway:1.8.0",
						ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"flexctl", "probe", "--check=readiness"}}}},
						VolumeMounts:   []corev1.VolumeMount{{Name: "registration", MountPath: "/usr/local/share/mulesoft/flex-gateway/conf.d/registration", ReadOnly: true}},
					}},
					Volumes: []corev1.Volume{{Name: "registration", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}},
				},
			},
		},
	}
}

// FlexRegistration is the smallest useful one.
func FlexRegistration(namespace, name string) *v1alpha1.FlexRegistration {
	return &v1alpha1.FlexRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.FlexRegistrationSpec{
			TargetRef:      &v1alpha1.TargetReference{Name: name},
			CredentialsRef: v1alpha1.LocalReference{Name: CredentialsName},
		},
	}
}

// Group is the group of the users that operators run as.
const Group = "flex-registration-operators"

// Grant installs the generated roles, which are in these files, and binds them to the group.
func Grant(ctx context.Context, admin client.Client, files ...string) error {
	return GrantTo(ctx, admin, Group, files...)
}

// GrantTo lets the members of a group do what the ClusterRoles in files say.
func GrantTo(ctx context.Context, admin client.Client, group string, files ...string) error {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("granting the operator's rights: %w", err)
		}
		role := &rbacv1.ClusterRole{}
		if err := yaml.UnmarshalStrict(content, role); err != nil {
			return fmt.Errorf("granting the operator's rights: %s: %w", file, err)
		}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
		}
		for _, o := range []client.Object{role, binding} {
			if err := admin.Create(ctx, o); err != nil {
				return fmt.Errorf("granting the operator's rights: %w", err)
			}
		}
	}
	return nil
}
