package helm

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/registration"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// toSecretName are the arguments that take the registration out of the values, and name the Secret that it is in.
func toSecretName() []string {
	return []string{"--reuse-values", "--set=registration.content=", "--set=registration.secretName=" + operator.SecretName}
}

// toNewImage is the argument that changes the image.
const toNewImage = "--set=image.tag=1.9.0"

// toNewRegistration is the argument that takes what the gateway's Secret holds into the values.
func (s *scene) toNewRegistration() string {
	GinkgoHelper()
	return "--set-file=registration.content=" + s.file(s.secret(operator.SecretName).Data[registration.DefaultKey])
}

// keep prepares the gateway's Secret for being taken out of the release.
func (s *scene) keep() {
	GinkgoHelper()
	secret := s.secret(operator.SecretName)
	before := secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "helm.sh/resource-policy", "keep")
	Expect(admin.Patch(s.ctx, secret, client.MergeFrom(before))).To(Succeed())
}

// gone says that there is no object of this kind and name.
func (s *scene) gone(object client.Object, name string) bool {
	return apierrors.IsNotFound(admin.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, object))
}

var _ = Describe("A release of the gateway", func() {
	for _, h := range clients {
		Context("of "+h.String(), func() { specs(h) })
	}

	It("has the conflict announced before the first renewal by which Helm 4 will refuse the old registration, and Helm 3 will not", func(ctx context.Context) {
		for i, h := range clients {
			s := newScene(ctx, h)
			fr := operator.FlexRegistration(s.namespace, operator.GatewayName)
			fr.Spec.Suspend = true
			Expect(admin.Create(ctx, fr)).To(Succeed())
			announced := ContainSubstring("field manager helm applies the registration in Secret " + operator.SecretName + " server-side")
			Eventually(func() string {
				c := meta.FindStatusCondition(s.status().Conditions, v1alpha1.ConditionRenewed)
				if c == nil {
					return ""
				}
				return c.Message
			}).Should(And(Not(BeEmpty()), []types.GomegaMatcher{Not(announced), announced}[i]))
			Expect(admin.Delete(ctx, fr)).To(Succeed())
		}
	})

	It("of Helm 3 that Helm 4 goes on with is patched as by Helm 3: nothing is refused, and the newest registration is restored", func(ctx context.Context) {
		s := renewedScene(ctx, clients[0])
		s.client = clients[1]
		s.replace(onRelease("upgrade", s.old...)...)
		s.settle(1, oldImage)
	})
})

func specs(h *helm) {
	It("is renewed and rolled", func(ctx context.Context) {
		s := newScene(ctx, h)
		s.renew()
		s.settle(1, oldImage)
		Expect(s.history.reverts(s.renewed)).To(BeZero())
	})

	DescribeTable("gets the newest registration back after an upgrade with the old one, and is not rolled",
		func(ctx context.Context, arguments func(*scene) []string) {
			s := renewedScene(ctx, h)
			if h.conflicts() {
				s.refused(onRelease("upgrade", arguments(s)...)...)
				s.settle(1, oldImage)
			}
			s.overwrite(onRelease("upgrade", arguments(s)...)...)
			s.settle(1, oldImage)
			Eventually(s.events).Should(ContainElement(And(HavePrefix("Restored: "), ContainSubstring("the field manager helm"))))
		},
		Entry("in the same values", func(s *scene) []string { return s.old }),
		Entry("in the values that Helm reuses", func(*scene) []string { return []string{"--reuse-values"} }),
	)

	It("is rolled once more after an upgrade with the old registration that changes the image", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.overwrite(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.settle(2, newImage)
	})

	It("is rolled once more after an upgrade with the old registration in the middle of the rollout", func(ctx context.Context) {
		s := heldScene(ctx, h)
		s.overwrite(onRelease("upgrade", append(s.old, annotated, toNewImage)...)...)
		s.settle(2, newImage)
	})

	It("is rolled once more where its pods came up with the old registration while no operator was there", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		Expect(running.Stop()).To(Succeed())
		start := sync.OnceFunc(func() {
			var err error
			running, err = operator.Start(operatorOptions)
			Expect(err).NotTo(HaveOccurred())
		})
		DeferCleanup(start) // for the other specs, should this one fail
		s.overwrite(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.serving(newImage, s.gateway.Fingerprint)
		start()
		s.settle(2, newImage)
	})

	It("is rolled once more after an upgrade that replaces objects instead of changing them", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		replacing := []string{"--force"}
		if h.conflicts() {
			replacing = []string{"--force-replace", "--server-side=false"}
		}
		s.replace(onRelease("upgrade", append(replacing, "--reuse-values")...)...)
		s.settle(2, oldImage)
	})

	It("is rolled once more after a rollback", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.helm(onRelease("upgrade", "--reuse-values", toNewImage, s.toNewRegistration())...)
		s.settle(1, newImage)
		s.overwrite("rollback", operator.GatewayName, "1")
		s.settle(2, oldImage)
	})

	if !h.conflicts() {
		It("is rolled once more after an upgrade that waits for the pods, and is not taken back", func(ctx context.Context) {
			s := renewedScene(ctx, h)
			s.overwrite(onRelease("upgrade", "--reuse-values", toNewImage, "--atomic")...)
			s.settle(2, newImage)
		})
	} else {
		It("keeps the newest registration where an upgrade is refused and taken back", func(ctx context.Context) {
			s := renewedScene(ctx, h)
			s.refused(onRelease("upgrade", "--reuse-values", toNewImage, "--rollback-on-failure")...)
			s.settle(1, oldImage)
		})

		It("runs with the image of an upgrade that is refused, and with the newest registration", func(ctx context.Context) {
			s := renewedScene(ctx, h)
			s.refused(onRelease("upgrade", "--reuse-values", toNewImage)...)
			s.settle(1, newImage)
		})

		It("completes the rollout in whose middle an upgrade is refused", func(ctx context.Context) {
			s := heldScene(ctx, h)
			s.refused(onRelease("upgrade", append(s.old, toNewImage)...)...)
			s.settle(1, newImage)
		})

		It("runs with the image of a rollback that is refused, and with the newest registration", func(ctx context.Context) {
			s := renewedScene(ctx, h)
			s.helm(onRelease("upgrade", "--reuse-values", toNewImage, s.toNewRegistration())...)
			s.settle(1, newImage)
			s.refused("rollback", operator.GatewayName, "1")
			s.settle(1, oldImage)
		})
	}

	It("is left alone once the values have the new registration", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.helm(onRelease("upgrade", "--reuse-values", s.toNewRegistration())...)
		s.helm(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.settle(1, newImage)
		Expect(s.history.reverts(s.renewed)).To(BeZero())
	})

	It("loses its Secret to a move to registration.secretName, and gets it back from the record", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.helm(onRelease("upgrade", toSecretName()...)...)
		s.eventually("False/" + v1alpha1.ReasonSecretNotFound)
		Expect(s.gone(&corev1.Secret{}, operator.SecretName)).To(BeTrue())
		Expect(s.record().Newest.Certificate().Fingerprint).To(Equal(s.renewed))
		By("making it with the registration that is at hand, the old one")
		Expect(admin.Create(ctx, operator.RegistrationSecret(s.namespace, s.gateway.File))).To(Succeed())
		s.settle(1, oldImage)
		s.helm(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.settle(1, newImage)
	})

	It("keeps its Secret in a move to registration.secretName that is prepared, and ever after", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		if h.conflicts() {
			s.refused(onRelease("upgrade", "--reuse-values")...)
		}
		s.keep()
		s.helm(onRelease("upgrade", toSecretName()...)...)
		s.helm(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.settle(1, newImage)
		By("uninstalling it, and installing it again")
		s.helm("uninstall", operator.GatewayName)
		s.eventually("False/" + v1alpha1.ReasonTargetNotFound)
		Expect(s.certificate()).To(Equal(s.renewed))
		s.helm(onRelease("install", "--set=registration.secretName="+operator.SecretName, fmt.Sprintf("--set=replicaCount=%d", replicas))...)
		Eventually(s.atRest).Should(Succeed())
		s.eventually("True/" + v1alpha1.ReasonScheduled)
		s.serving(oldImage, s.renewed)
		// Its pods were made within seconds of the publication, so the same rollout may come to the new Deployment, too.
		Expect(s.record().Rollout.Sequence).To(BeEquivalentTo(1))
		Expect(s.history.reverts(s.renewed)).To(BeZero())
	})

	It("is not fought endlessly, and what the FlexRegistration says then ends it", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		for range 3 {
			s.nextSecond()
			s.overwrite(onRelease("upgrade", s.old...)...)
			s.settle(1, oldImage)
		}
		s.nextSecond()
		s.overwrite(onRelease("upgrade", s.old...)...)
		s.eventually("False/" + v1alpha1.ReasonReverted)
		Expect(s.certificate()).To(Equal(s.gateway.Fingerprint))
		_, message := s.ready()
		Expect(message).To(And(ContainSubstring("helm.sh/resource-policy=keep"), ContainSubstring("registration.secretName")))
		By("taking the registration out of the values")
		s.keep()
		s.helm(onRelease("upgrade", toSecretName()...)...)
		Expect(s.certificate()).To(Equal(s.gateway.Fingerprint))
		clk.Step(day)
		s.settle(1, oldImage)
		s.helm(onRelease("upgrade", "--reuse-values", toNewImage)...)
		s.settle(1, newImage)
		Expect(s.history.reverts(s.renewed)).To(Equal(4))
	})

	It("can be uninstalled, and installed again with the old registration: the newest is restored from the record", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.helm("uninstall", operator.GatewayName)
		s.eventually("False/" + v1alpha1.ReasonTargetNotFound)
		Expect(s.gone(&appsv1.Deployment{}, operator.GatewayName)).To(BeTrue())
		Expect(s.gone(&corev1.Secret{}, operator.SecretName)).To(BeTrue())
		Expect(s.record().Newest.Certificate().Fingerprint).To(Equal(s.renewed))
		s.helm(onRelease("install", s.old...)...)
		s.settle(2, oldImage)
	})

	It("can be uninstalled, and nothing that remains holds up the removal of the namespace", func(ctx context.Context) {
		s := renewedScene(ctx, h)
		s.helm("uninstall", operator.GatewayName)
		s.eventually("False/" + v1alpha1.ReasonTargetNotFound)
		By("telling of the Secret where that is what the FlexRegistration names")
		fr := &v1alpha1.FlexRegistration{}
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: operator.GatewayName}, fr)).To(Succeed())
		fr.Spec.TargetRef, fr.Spec.SecretRef = nil, &v1alpha1.SecretKeyReference{Name: operator.SecretName}
		Expect(admin.Update(ctx, fr)).To(Succeed())
		s.eventually("False/" + v1alpha1.ReasonSecretNotFound)
		Expect(s.record().Newest.Certificate().Fingerprint).To(Equal(s.renewed))
		By("deleting the namespace")
		namespace := operator.Namespace(s.namespace)
		Expect(admin.Delete(ctx, namespace)).To(Succeed())
		Eventually(func() bool {
			return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(namespace), namespace))
		}).Should(BeTrue())
	})
}

// nextSecond waits until something that is written now is written later than the registration: the times that the API
// server keeps of that have seconds.
func (s *scene) nextSecond() {
	GinkgoHelper()
	last := s.record().Revert.Written
	for _, entry := range s.secret(operator.SecretName).ManagedFields {
		if entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	Eventually(time.Now).Should(BeTemporally(">", last.Add(time.Second)))
}
