package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/hack/simulator"
	"github.com/flexops/flex-registration-operator/hack/simulator/salesforce"
	"github.com/flexops/flex-registration-operator/test/operator"
)

// hubParts are what a connection of API Experience Hub takes.
func (w *simulated) hubParts() []part {
	return []part{
		{"a Kubernetes control plane, with one simulated node", w.startCluster},
		{"a simulated Anypoint Platform, with Secrets Manager", w.startPlatform},
		{"a simulated Salesforce organization", w.startOrganization},
		{"the operator, with the rights that config/rbac gives it", w.startOperator},
		{"both certificates, and credentials for both sides", w.startConnection},
	}
}

func (w *simulated) startOrganization(context.Context) error {
	w.organization = salesforce.Start(clock.RealClock{})
	w.undo = append(w.undo, func() error { w.organization.Close(); return nil })
	w.arguments = append(w.arguments, "--salesforce-hosts="+w.organization.Host())
	file, err := os.OpenFile(w.caFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(w.organization.CA())
	return errors.Join(err, file.Close())
}

func (w *simulated) hubFile() string { return filepath.Join(w.dir, "hub.yaml") }

// startConnection makes what administrators have made: certificates, one of which expires in twenty days, and credentials.
func (w *simulated) startConnection(ctx context.Context) error {
	w.platform.SetSecret("api-experience-hub", "certificates", "salesforce", time.Now().AddDate(0, 9, 0))
	w.organization.Use(w.organization.Add("Anypoint", time.Now().Add(20*24*time.Hour)).ID)
	app, appSecret := w.platform.AddConnectedApp(simulator.ScopeReadSecrets)
	consumer, consumerSecret := w.organization.AddApp()
	theirs := operator.CredentialsSecret(namespace, consumer, consumerSecret)
	theirs.Name = "salesforce"
	for _, object := range []client.Object{operator.Namespace(namespace), operator.CredentialsSecret(namespace, app, appSecret), theirs} {
		if err := w.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	return os.WriteFile(w.hubFile(), fmt.Appendf(nil, `apiVersion: gateway.flexops.dev/v1alpha1
kind: ExperienceHubConnection
metadata:
  name: hub
  namespace: %s
spec:
  anypoint:
    url: %s
    organizationID: %s
    environmentID: %s
    secretGroup: api-experience-hub
    certificate: salesforce
    credentialsRef:
      name: anypoint
  salesforce:
    instanceURL: %s
    apiVersion: "%s"
    credentialsRef:
      name: salesforce
  rotation:
    policy: Assist
`, namespace, w.platform.URL(), w.platform.OrganizationID(), w.platform.EnvironmentID(), w.organization.URL(), salesforce.Version), 0o600)
}

const required = `kubectl get aehconn hub -n gateway -o jsonpath='{.status.conditions[?(@.type=="ActionRequired")].message}{"\n"}'`

// hubStory is a rotation that a login takes part in.
func (w *simulated) hubStory(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	return tell(ctx,
		chapter("What Salesforce has, twenty days before its certificate expires"),
		w.listCertificates,
		chapter("An ExperienceHubConnection for it"),
		w.show("cat '"+w.hubFile()+"'"),
		w.show("kubectl apply -f '"+w.hubFile()+"'"),
		chapter("The operator renames the certificate, and asks for what only a person can do"),
		w.follow("kubectl get aehconn hub -n gateway --watch", "LoginRequired"),
		w.show(required),
		w.listCertificates,
		chapter("The administrator logs in to API Experience Hub, whose check makes a new certificate"),
		func(context.Context) error {
			if !w.organization.Login() {
				return errors.New("the login made no certificate")
			}
			return nil
		},
		w.listCertificates,
		chapter("The operator sees it, within an hour or when it is asked to look, and deletes the renamed one"),
		w.show(`kubectl annotate aehconn hub -n gateway gateway.flexops.dev/check="$(date)" --overwrite`),
		w.follow("kubectl get aehconn hub -n gateway --watch", "NothingToDo"),
		w.listCertificates,
		w.show("kubectl events -n gateway --for experiencehubconnection/hub"),
		w.checkConnection,
	)
}

func (w *simulated) listCertificates(context.Context) error {
	fmt.Println("\nCertificates in Salesforce, at Setup > Security > Certificate and Key Management:")
	for _, c := range w.organization.Certificates() {
		fmt.Printf("  %-32s expires %s\n", c.Name, c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// checkConnection compares the end with what was to come of it.
func (w *simulated) checkConnection(ctx context.Context) error {
	var problems findings
	there := w.organization.Certificates()
	problems.expect(len(there) == 1 && there[0].Name == "Anypoint" && time.Until(there[0].NotAfter) > 300*24*time.Hour, "Salesforce does not have the new certificate, and only that")
	problems.expect(len(w.organization.Changes()) == 2, "there were %d changes, not a renaming and a deletion", len(w.organization.Changes()))
	c := &v1alpha1.ExperienceHubConnection{}
	if err := w.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "hub"}, c); err != nil {
		return err
	}
	problems.expect(meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady), "Ready is not True")
	return errors.Join(problems...)
}
