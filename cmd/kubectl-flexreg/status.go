package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
)

const formatWide = "wide"

func (p *plugin) statusCommand() *cobra.Command {
	s := selection{connections: true}
	format := genericclioptions.NewPrintFlags("")
	cmd := &cobra.Command{
		Use:   "status [NAME...]",
		Short: "Show what is with FlexRegistrations and ExperienceHubConnections: one in full, several as a table, those that need somebody first",
		Long: "Shows one FlexRegistration in full, or one ExperienceHubConnection, by aehconn/NAME; or several as tables, with those first that need\n" +
			"somebody.\n\n" +
			"Exit codes: 0 all are Ready; 1 they could not be read; 2 one is not Ready, or nothing is known of it.",
		Example:           "  kubectl flexreg status\n  kubectl flexreg status ingress -n gateway\n  kubectl flexreg status aehconn/hub -n gateway\n  kubectl flexreg status -A -o wide\n  kubectl flexreg status -A -o json",
		ValidArgsFunction: p.complete(&s),
		RunE: func(cmd *cobra.Command, names []string) error {
			c, all, err := p.find(cmd.Context(), &s, names)
			if err == nil && len(names) == 0 {
				all, err = p.addConnections(cmd.Context(), c, s.selector, all)
			}
			if err != nil {
				return err
			}
			v := view{w: p.Out, now: p.clock.Now(), colours: printers.AllowsColorOutput(p.Out)}
			byAttention(all, v.now)
			wide := *format.OutputFormat == formatWide
			switch {
			case !wide && *format.OutputFormat+*format.TemplatePrinterFlags.TemplateArgument != "":
				err = printAs(format, all, len(names) == 1, p.Out)
			case len(all) == 0:
				fmt.Fprintf(p.ErrOut, "There are no FlexRegistrations%s.\n", when(!s.allNamespaces, " in namespace "+c.namespace))
			case len(names) == 1:
				err = v.full(all[0])
			default:
				err = v.table(all, s.allNamespaces, wide)
			}
			if err != nil {
				return err
			}
			return verdict(all, v.now)
		},
	}
	s.bind(cmd)
	format.AddFlags(cmd)
	cmd.Flag("output").Usage = "Output format. One of: (" + strings.Join(append(format.AllowedFormats(), formatWide), ", ") + ")."
	return cmd
}

// addConnections lists the ExperienceHubConnections that are selected, too, as far as the cluster has any and the caller may.
func (p *plugin) addConnections(ctx context.Context, c *cluster, selector string, all []*resource) ([]*resource, error) {
	found, err := c.list(ctx, connection, selector)
	switch {
	case errors.Is(err, errNotInstalled):
		return all, nil
	case apierrors.IsForbidden(err):
		// That is the answer, too, where the cluster has none: the API server looks at rights first.
		mapper, err := p.flags.ToRESTMapper()
		if err != nil {
			return nil, fmt.Errorf("connecting to the cluster: %w", err)
		}
		if _, err := mapper.RESTMapping(connection.GroupKind(), connection.Version); !meta.IsNoMatchError(err) {
			fmt.Fprintln(p.ErrOut, "ExperienceHubConnections are not shown: it takes a right of yours to list them.")
		}
		return all, nil
	}
	return append(all, found...), err
}

// printAs prints for programs: the one that was asked for by name, or a list.
func printAs(format *genericclioptions.PrintFlags, all []*resource, single bool, w io.Writer) error {
	printer, err := format.ToPrinter()
	if err != nil {
		return err
	}
	if single {
		return printer.PrintObj(all[0].raw, w)
	}
	list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	for _, r := range all {
		list.Items = append(list.Items, *r.raw)
	}
	return printer.PrintObj(list, w)
}

// verdict is what the exit code says.
func verdict(all []*resource, now time.Time) error {
	var not []string
	for _, r := range all {
		if !r.is(v1alpha1.ConditionReady) || expired(r, now) {
			not = append(not, strings.TrimPrefix(r.String(), flexRegistration.Kind+" "))
		}
	}
	if len(not) == 0 {
		return nil
	}
	const most = 5 // names
	named := not[:min(len(not), most)]
	return notReady(fmt.Sprintf("%d of %d not Ready: %s%s", len(not), len(all), strings.Join(named, ", "), when(len(not) > most, ", …")))
}

// byAttention sorts by who needs somebody first.
func byAttention(all []*resource, now time.Time) {
	slices.SortFunc(all, func(a, b *resource) int {
		return cmp.Or(cmp.Compare(attention(a, now), attention(b, now)), expiry(a).Compare(expiry(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// attention is the less, the sooner somebody is needed.
func attention(r *resource, now time.Time) int {
	ready := r.ready().Status
	switch {
	case expired(r, now) || slices.ContainsFunc(r.Status.Conditions, func(c metav1.Condition) bool {
		return strings.HasSuffix(c.Type, v1alpha1.ConditionCertificateValid) && c.Status == metav1.ConditionFalse
	}):
		return 0
	case ready == metav1.ConditionFalse && r.is(v1alpha1.ConditionStalled):
		return 1
	case ready == metav1.ConditionFalse:
		return 2
	case ready != metav1.ConditionTrue:
		return 3
	case slices.ContainsFunc(r.Status.Conditions, func(c metav1.Condition) bool {
		return (c.Type == v1alpha1.ConditionActionRequired) != (c.Status == metav1.ConditionFalse) // That one is well where it is False.
	}):
		return 4
	case r.is(v1alpha1.ConditionReconciling):
		return 5
	default:
		return 6
	}
}

// expired says that a certificate has expired, also where no operator is there to say so.
func expired(r *resource, now time.Time) bool {
	at := expiry(r)
	return !at.IsZero() && !now.Before(at)
}
