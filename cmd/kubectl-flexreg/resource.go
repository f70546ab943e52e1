package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

var (
	flexRegistration = v1alpha1.GroupVersion.WithKind("FlexRegistration")
	connection       = v1alpha1.GroupVersion.WithKind("ExperienceHubConnection")
)

// shortName is what kubectl calls ExperienceHubConnections, too.
const shortName = "aehconn"

// plugin is what all commands share.
type plugin struct {
	genericiooptions.IOStreams
	clock clock.PassiveClock
	flags *genericclioptions.ConfigFlags
}

// cluster is where the resources are, with the namespace that is meant.
type cluster struct {
	client.WithWatch
	namespace string
}

func (p *plugin) connect(allNamespaces bool) (*cluster, error) {
	config, err := p.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = "kubectl-flexreg/" + version
	namespace, _, err := p.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("finding the namespace: %w", err)
	}
	if allNamespaces {
		namespace = metav1.NamespaceAll
	}
	// What is needed is known: the API server needs not be asked what there is.
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	secret, deployment := corev1.SchemeGroupVersion.WithKind("Secret"), appsv1.SchemeGroupVersion.WithKind("Deployment")
	for _, kind := range []schema.GroupVersionKind{flexRegistration, connection, secret, deployment} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: gateway.NewScheme(), Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return &cluster{c, namespace}, nil
}

// resource is one of either kind as it was read, which may have more than this version of the program knows of.
type resource struct {
	// FlexRegistration has, of an ExperienceHubConnection, the fields that both kinds have.
	v1alpha1.FlexRegistration
	// connection is nil for a FlexRegistration.
	connection *v1alpha1.ExperienceHubConnection
	raw        *unstructured.Unstructured
}

func newResource(raw *unstructured.Unstructured) (*resource, error) {
	r := &resource{raw: raw}
	into := any(&r.FlexRegistration)
	if raw.GroupVersionKind() == connection {
		r.connection = &v1alpha1.ExperienceHubConnection{}
		into = r.connection
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, into); err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", raw.GetKind(), raw.GetNamespace(), raw.GetName(), err)
	}
	if c := r.connection; c != nil {
		r.ObjectMeta, r.Spec.Suspend, r.Status.ObservedGeneration, r.Status.Conditions = c.ObjectMeta, c.Spec.Suspend, c.Status.ObservedGeneration, c.Status.Conditions
	}
	return r, nil
}

func (r *resource) kind() schema.GroupVersionKind {
	if r.connection != nil {
		return connection
	}
	return flexRegistration
}

// String names it in messages.
func (r *resource) String() string { return r.kind().Kind + " " + r.Namespace + "/" + r.Name }

// argument names it on a command line.
func (r *resource) argument() string {
	return when(r.connection != nil, shortName+"/") + r.Name
}

// parse takes an argument apart, also one that `kubectl get -o name` has written.
func parse(argument string) (kind schema.GroupVersionKind, name string) {
	switch prefix, name, qualified := strings.Cut(argument, "/"); {
	case qualified && (prefix == shortName || strings.HasPrefix(prefix, "experiencehub")):
		return connection, name
	case qualified && strings.HasPrefix(prefix, "flexreg"):
		return flexRegistration, name
	}
	return flexRegistration, argument
}

// condition returns one with the status Unknown where there is none.
func (r *resource) condition(kind string) metav1.Condition {
	return ptr.Deref(meta.FindStatusCondition(r.Status.Conditions, kind), metav1.Condition{Type: kind, Status: metav1.ConditionUnknown})
}

func (r *resource) ready() metav1.Condition { return r.condition(v1alpha1.ConditionReady) }

// serial is the serial number of the present certificate, "" where none is known.
func (r *resource) serial() string { return valueOf(r.Status.Certificate).SerialNumber }

// is says that a condition is True.
func (r *resource) is(kind string) bool { return meta.IsStatusConditionTrue(r.Status.Conditions, kind) }

// observed says that the status speaks of the present spec.
func (r *resource) observed() bool { return r.Status.ObservedGeneration >= r.Generation }

func emptyList(kind schema.GroupVersionKind) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	return list
}

func get(ctx context.Context, c client.Reader, kind schema.GroupVersionKind, key client.ObjectKey) (*resource, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	if err := c.Get(ctx, key, u); err != nil {
		return nil, explained(fmt.Sprintf("getting %s %s", kind.Kind, key), kind, err)
	}
	return newResource(u)
}

var errNotInstalled = errors.New("install the operator's CustomResourceDefinition, or choose another cluster with --context")

// explained says what to do about an API that isn't there.
func explained(doing string, kind schema.GroupVersionKind, err error) error {
	if apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return fmt.Errorf("%s: the cluster has no %ss: %w", doing, kind.Kind, errNotInstalled)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// selection says which resources a command is about.
type selection struct {
	// one: it is about one FlexRegistration, by its name.
	one bool
	// connections: ExperienceHubConnections may be named, too.
	connections bool

	selector           string
	all, allNamespaces bool
}

func (s *selection) bind(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.selector, "selector", "l", "", "Those with these labels, such as app=ingress,stage!=test.")
	cmd.Flags().BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "Those of all namespaces.")
}

// required refuses a command line that neither names nor selects anything.
func (s *selection) required(cmd *cobra.Command, names []string) error {
	if len(names) > 0 || s.selector != "" || s.all {
		return nil
	}
	return fmt.Errorf("name the FlexRegistrations to %s, or select them with --selector%s", cmd.Name(), when(s.connections, " or --all"))
}

// find connects, and gets the resources that are named, or else lists the FlexRegistrations that are selected.
func (p *plugin) find(ctx context.Context, s *selection, names []string) (*cluster, []*resource, error) {
	c, err := p.connect(s.allNamespaces)
	if err != nil {
		return nil, nil, err
	}
	if len(names) == 0 {
		found, err := c.list(ctx, flexRegistration, s.selector)
		return c, found, err
	}
	if s.selector != "" || s.all || s.allNamespaces {
		return nil, nil, errors.New("give either names or one of --selector, --all, --all-namespaces")
	}
	if s.one {
		names = names[:1] // What follows is no name.
	}
	var found []*resource
	for _, argument := range names {
		kind, name := parse(argument)
		if kind == connection && !s.connections {
			return nil, nil, fmt.Errorf("%s: only status, suspend and resume take an ExperienceHubConnection: name a FlexRegistration", argument)
		}
		r, err := get(ctx, c, kind, client.ObjectKey{Namespace: c.namespace, Name: name})
		if err != nil {
			return nil, nil, err
		}
		found = append(found, r)
	}
	return c, found, nil
}

// list gets those of a kind that have these labels.
func (c *cluster) list(ctx context.Context, kind schema.GroupVersionKind, labelSelector string) (found []*resource, err error) {
	selector, err := labels.Parse(labelSelector)
	if err != nil {
		return nil, fmt.Errorf("--selector=%s: %w", labelSelector, err)
	}
	list := emptyList(kind)
	if err := c.List(ctx, list, client.InNamespace(c.namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, explained("listing "+kind.Kind+"s", kind, err)
	}
	for i := range list.Items {
		r, err := newResource(&list.Items[i])
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// complete offers the names of the namespace's FlexRegistrations, or of its ExperienceHubConnections after aehconn/.
func (p *plugin) complete(s *selection) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		kind, _ := parse(begun)
		if s.one && len(args) > 0 || kind == connection && !s.connections {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := p.connect(false)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		all, err := c.list(cmd.Context(), kind, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, r := range all {
			names = append(names, cobra.CompletionWithDesc(r.argument(), r.ready().Reason))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
