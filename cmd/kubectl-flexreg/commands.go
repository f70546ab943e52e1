package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
)

func annotation(name string) []string { return []string{"metadata", "annotations", name} }

// constant is a value that does not depend on the resource.
func constant(value any) func(context.Context, client.Client, *resource) (any, error) {
	return func(context.Context, client.Client, *resource) (any, error) { return value, nil }
}

// editCommands are those that change a resource.
func (p *plugin) editCommands() []*cobra.Command {
	return []*cobra.Command{p.renewCommand(), p.approveCommand(), p.confirmCommand(), p.rehearseCommand(), p.pinCommand(), p.suspendCommand(), p.resumeCommand()}
}

// request is a value that no request had before.
func (p *plugin) request() string { return p.clock.Now().UTC().Format(time.RFC3339Nano) }

func (p *plugin) renewCommand() *cobra.Command {
	return p.editingMany(&cobra.Command{
		Use:   "renew NAME... | -l SELECTOR",
		Short: "Have registrations renewed now",
		Long: "Asks the operator to renew registrations now, also outside of windows; a request that waits between two attempts is tried at once.\n" +
			"With --wait it returns when the gateway's pods run with the renewed certificate.",
		Example: "  kubectl flexreg renew ingress -n gateway --wait",
	}, false, func() edit {
		return edit{
			done: "asked to be renewed", field: annotation(v1alpha1.AnnotationRenew), value: constant(p.request()),
			reached: func(r *resource, value any) bool { return r.Status.LastHandledRequest == value && settled(r) },
		}
	})
}

func (p *plugin) approveCommand() *cobra.Command {
	var f editFlags
	var serial string
	cmd := &cobra.Command{
		Use:   "approve NAME",
		Short: "Approve the renewal of the present certificate, where spec.renewal.policy is Manual",
		Long: "Approves the renewal of the present certificate, and of no other, where spec.renewal.policy is Manual. Where it is not due yet, it is\n" +
			"renewed when it is. With --wait it returns when the gateway's pods run with the renewed certificate.",
		Example:           "  kubectl flexreg approve ingress -n gateway --wait",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.complete(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.perform(cmd.Context(), &f, &selection{}, names, edit{
				done: "approved", field: annotation(v1alpha1.AnnotationApprove),
				value: func(_ context.Context, _ client.Client, r *resource) (any, error) {
					present := r.serial()
					switch {
					case r.Spec.Renewal.Policy != v1alpha1.RenewalManual:
						return nil, errors.New("nothing needs approval: spec.renewal.policy is not Manual")
					case present == "":
						return nil, errors.New("the status names no certificate to approve: see why with `kubectl flexreg status`")
					case serial != "" && !strings.EqualFold(plainSerial(serial), present):
						return nil, fmt.Errorf("the present certificate is %s, not that of --serial", present)
					}
					return present, nil
				},
				reached: func(r *resource, value any) bool { return r.serial() != value && settled(r) },
			})
		},
	}
	cmd.Flags().StringVar(&serial, "serial", "", "The serial number that is to be approved: an error if the present certificate is another one.")
	f.bind(cmd)
	return cmd
}

func (p *plugin) confirmCommand() *cobra.Command {
	var f editFlags
	cmd := &cobra.Command{
		Use:   "confirm NAME",
		Short: "Confirm that this cluster, and no other, is to renew the registration from now on",
		Long: "Ends ClusterChanged: confirms that this cluster is to renew the registration from now on, and no other does. Be sure of that: two\n" +
			"clusters that renew one registration take it from each other.",
		Example:           "  kubectl flexreg confirm ingress -n gateway --wait",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.complete(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return p.perform(cmd.Context(), &f, &selection{}, names, edit{
				done: "confirmed for this cluster", field: annotation(v1alpha1.AnnotationConfirmCluster),
				value: func(ctx context.Context, c client.Client, r *resource) (any, error) {
					ready := r.ready()
					if ready.Reason != v1alpha1.ReasonClusterChanged {
						return nil, fmt.Errorf("there is nothing to confirm: %s", state(ready))
					}
					identity, err := gateway.ClusterIdentity(ctx, c, r.Namespace)
					if err != nil {
						return nil, err
					}
					if identity == "" || !strings.Contains(ready.Message, fmt.Sprintf("%q", identity)) {
						return nil, fmt.Errorf("the operator knows this cluster by another name than %q: it takes a right to get the namespace kube-system to see the same. Or set the annotation %s by hand: %s",
							identity, v1alpha1.AnnotationConfirmCluster, ready.Message)
					}
					return identity, nil
				},
				reached: func(r *resource, _ any) bool {
					return r.ready().Reason != "" && r.ready().Reason != v1alpha1.ReasonClusterChanged
				},
			})
		},
	}
	f.bind(cmd)
	return cmd
}

func (p *plugin) rehearseCommand() *cobra.Command {
	return p.editingMany(&cobra.Command{
		Use:   "rehearse NAME... | -l SELECTOR",
		Short: "Have a renewal rehearsed: everything but the renewal itself",
		Long: "Asks the operator to rehearse a renewal. What comes of it is in the condition Rehearsed, for which --wait waits; an operator that\n" +
			"can't rehearse leaves the request alone.",
		Example: "  kubectl flexreg rehearse ingress -n gateway --wait --timeout 3m",
	}, false, func() edit {
		return edit{
			done: "asked to rehearse its renewal", field: annotation(v1alpha1.AnnotationRehearse), value: constant(p.request()), reached: rehearsed, about: v1alpha1.ConditionRehearsed,
		}
	})
}

// rehearsed says that the condition is about this request.
func rehearsed(r *resource, value any) bool { return r.Status.LastHandledRehearsal == value }

var serialNumber = regexp.MustCompile(`^[0-9A-F]{1,64}$`)

// plainSerial is a serial number as status.certificate.serialNumber has it, of one that may have colons.
func plainSerial(s string) string { return strings.ToUpper(strings.ReplaceAll(s, ":", "")) }

func (p *plugin) pinCommand() *cobra.Command {
	var f editFlags
	var clear bool
	cmd := &cobra.Command{
		Use:   "pin NAME SERIAL | pin NAME --clear",
		Short: "Go back to the certificate before, or keep the present one; --clear goes on with the newest",
		Long: "Has the gateway get the certificate with this serial number, the newest that is recorded or the one before, and keep it: nothing is\n" +
			"renewed meanwhile, however urgent. --clear ends that. With --wait it returns when the gateway's pods run with it.",
		Example:           "  kubectl flexreg pin ingress 4F3A90B1 -n gateway --wait\n  kubectl flexreg pin ingress -n gateway --clear",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.complete(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e := edit{done: "not pinned any more", field: []string{"spec", "pin"}, value: constant(nil), reached: func(r *resource, _ any) bool { return settled(r) }}
			switch {
			case clear == (len(args) == 2):
				return errors.New("give either the serial number of the certificate to keep, or --clear")
			case !clear:
				serial := plainSerial(args[1])
				if !serialNumber.MatchString(serial) {
					return fmt.Errorf("%q is no serial number: write it in hexadecimal, as `kubectl flexreg status` shows it", args[1])
				}
				e.done, e.value = "pinned to "+serial, constant(serial)
				e.reached = func(r *resource, _ any) bool {
					return r.observed() && r.serial() == serial && r.is(v1alpha1.ConditionRolledOut)
				}
			}
			return p.perform(cmd.Context(), &f, &selection{}, args[:1], e)
		},
	}
	cmd.Flags().BoolVar(&clear, "clear", false, "Go on with the newest certificate.")
	f.bind(cmd)
	return cmd
}

func (p *plugin) suspendCommand() *cobra.Command {
	return p.editingMany(&cobra.Command{
		Use:   "suspend NAME... | -l SELECTOR | --all [-A]",
		Short: "Stop every write for gateways: nothing is renewed, published or rolled",
		Long: "Sets spec.suspend: nothing is renewed, published or rolled. Certificates are still watched, and expire if nobody resumes in time.\n" +
			"An ExperienceHubConnection, by aehconn/NAME: nothing is changed in Salesforce.",
		Example: "  kubectl flexreg suspend ingress -n gateway\n  kubectl flexreg suspend --all -A",
	}, true, func() edit {
		return edit{done: "suspended", field: []string{"spec", "suspend"}, value: constant(true), reached: func(r *resource, _ any) bool { return r.observed() }}
	})
}

func (p *plugin) resumeCommand() *cobra.Command {
	return p.editingMany(&cobra.Command{
		Use:   "resume NAME... | -l SELECTOR | --all [-A]",
		Short: "Go on with gateways that were suspended",
		Long: "Removes spec.suspend, also of an ExperienceHubConnection, by aehconn/NAME. With --wait it returns when the gateway's pods run with a\n" +
			"valid certificate, and Ready is True.",
		Example: "  kubectl flexreg resume ingress -n gateway",
	}, true, func() edit {
		return edit{done: "resumed", field: []string{"spec", "suspend"}, value: constant(nil), reached: func(r *resource, _ any) bool { return settled(r) }}
	})
}

// editingMany completes a command that makes the same edit of all that are named or selected. The edit is made when the
// command runs. What is suspended can be all, and an ExperienceHubConnection.
func (p *plugin) editingMany(cmd *cobra.Command, suspends bool, edit func() edit) *cobra.Command {
	var f editFlags
	s := selection{connections: suspends}
	selectors := "--selector"
	if suspends {
		selectors += " or --all"
	}
	cmd.ValidArgsFunction = p.complete(0)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 && s.selector == "" && !s.all {
			return fmt.Errorf("name the FlexRegistrations to %s, or select them with %s", cmd.Name(), selectors)
		}
		return p.perform(cmd.Context(), &f, &s, names, edit())
	}
	s.bind(cmd, suspends)
	f.bind(cmd)
	return cmd
}
