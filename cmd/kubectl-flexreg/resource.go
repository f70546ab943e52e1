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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

var flexRegistration = v1alpha1.GroupVersion.WithKind("FlexRegistration")

// plugin is what all commands share.
type plugin struct {
	genericiooptions.IOStreams
	clock  clock.PassiveClock
	flags  *genericclioptions.ConfigFlags
	scheme *runtime.Scheme
}

// connect returns a client, and the namespace that is meant.
func (p *plugin) connect() (client.WithWatch, string, error) {
	config, err := p.flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("finding the cluster: %w", err)
	}
	config.UserAgent = "kubectl-flexreg/" + version
	namespace, _, err := p.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("finding the namespace: %w", err)
	}
	// What is needed is known: the API server needs not be asked what there is.
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		flexRegistration: meta.RESTScopeNamespace, corev1.SchemeGroupVersion.WithKind("Secret"): meta.RESTScopeNamespace,
		appsv1.SchemeGroupVersion.WithKind("Deployment"): meta.RESTScopeNamespace, corev1.SchemeGroupVersion.WithKind("Namespace"): meta.RESTScopeRoot,
	} {
		mapper.Add(kind, scope)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: p.scheme, Mapper: mapper})
	if err != nil {
		return nil, "", fmt.Errorf("connecting to the cluster: %w", err)
	}
	return c, namespace, nil
}

// resource is a FlexRegistration as it was read, which may have more than this version of the program knows of.
type resource struct {
	v1alpha1.FlexRegistration
	raw *unstructured.Unstructured
}

func newResource(raw *unstructured.Unstructured) (*resource, error) {
	r := &resource{raw: raw}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, &r.FlexRegistration); err != nil {
		return nil, fmt.Errorf("reading FlexRegistration %s/%s: %w", raw.GetNamespace(), raw.GetName(), err)
	}
	return r, nil
}

// String names it in messages.
func (r *resource) String() string { return "FlexRegistration " + r.Namespace + "/" + r.Name }

// condition returns one with the status Unknown where there is none.
func (r *resource) condition(kind string) metav1.Condition {
	if c := meta.FindStatusCondition(r.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}

func (r *resource) ready() metav1.Condition { return r.condition(v1alpha1.ConditionReady) }

func empty() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(flexRegistration)
	return u
}

func emptyList() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FlexRegistrationList"))
	return list
}

func get(ctx context.Context, c client.Reader, key client.ObjectKey) (*resource, error) {
	u := empty()
	if err := c.Get(ctx, key, u); err != nil {
		return nil, explained(fmt.Sprintf("getting FlexRegistration %s", key), err)
	}
	return newResource(u)
}

// explained says what to do about an API that isn't there.
func explained(doing string, err error) error {
	if apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return fmt.Errorf("%s: the cluster has no FlexRegistrations: install the operator's CustomResourceDefinition, or choose another cluster with --context", doing)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// selection says which FlexRegistrations are meant, beside by name.
type selection struct {
	selector           string
	all, allNamespaces bool
}

func (s *selection) bind(cmd *cobra.Command, withAll bool) {
	cmd.Flags().StringVarP(&s.selector, "selector", "l", "", "Those with these labels, such as app=ingress,stage!=test.")
	cmd.Flags().BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "Those of all namespaces.")
	if withAll {
		cmd.Flags().BoolVar(&s.all, "all", false, "All of the namespace or, with -A, of the cluster.")
	}
}

// read gets the FlexRegistrations that are named, or else lists those that are selected.
func (s *selection) read(ctx context.Context, c client.Reader, namespace string, names []string) ([]*resource, error) {
	var found []*resource
	if len(names) > 0 {
		if s.selector != "" || s.all || s.allNamespaces {
			return nil, errors.New("give either names or one of --selector, --all, --all-namespaces")
		}
		for _, name := range names {
			// As `kubectl get -o name` writes it.
			if kind, rest, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(kind, "flexreg") {
				name = rest
			}
			r, err := get(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
			if err != nil {
				return nil, err
			}
			found = append(found, r)
		}
		return found, nil
	}
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector=%s: %w", s.selector, err)
	}
	if s.allNamespaces {
		namespace = metav1.NamespaceAll
	}
	list := emptyList()
	if err := c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, explained("listing FlexRegistrations", err)
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

// complete offers the names of the namespace's FlexRegistrations, at most so many.
func (p *plugin) complete(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, namespace, err := p.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		all, err := (&selection{}).read(cmd.Context(), c, namespace, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, r := range all {
			names = append(names, cobra.CompletionWithDesc(r.Name, r.ready().Reason))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
