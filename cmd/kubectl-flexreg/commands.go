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

// editCommands are those that change a resource.
func (p *plugin) editCommands() []*cobra.Command {
	newRequest := constant(p.clock.Now().UTC().Format(time.RFC3339Nano)) // No request had this value before.
	suspend := []string{"spec", "suspend"}
	return []*cobra.Command{
		p.approveCommand(),
		p.pinCommand(),
		p.editing(&cobra.Command{
			Use:   "renew NAME... | -l SELECTOR",
			Short: "Have registrations renewed now",
			Long: "Asks the operator to renew registrations now, also outside of windows; a request that waits between two attempts is tried at once.\n" +
				"With --wait it returns when the gateway's pods run with the renewed certificate.",
			Example: "  kubectl flexreg renew ingress -n gateway --wait",
		}, selection{}, &edit{
			done: "asked to be renewed", field: annotation(v1alpha1.AnnotationRenew), value: newRequest,
			reached: func(r *resource, value any) bool { return r.Status.LastHandledRequest == value && settled(r, value) },
		}),
		p.editing(&cobra.Command{
			Use:   "rehearse NAME... | -l SELECTOR",
			Short: "Have a renewal rehearsed: everything but the renewal itself",
			Long: "Asks the operator to rehearse a renewal. What comes of it is in the condition Rehearsed, for which --wait waits; an operator that\n" +
				"can't rehearse leaves the request alone.",
			Example: "  kubectl flexreg rehearse ingress -n gateway --wait --timeout 3m",
		}, selection{}, &edit{
			done: "asked to rehearse its renewal", field: annotation(v1alpha1.AnnotationRehearse), value: newRequest, about: v1alpha1.ConditionRehearsed,
			reached: func(r *resource, value any) bool { return r.Status.LastHandledRehearsal == value },
		}),
		p.editing(&cobra.Command{
			Use:   "confirm NAME",
			Short: "Confirm that this cluster, and no other, is to renew the registration from now on",
			Long: "Ends ClusterChanged: confirms that this cluster is to renew the registration from now on, and no other does. Be sure of that: two\n" +
				"clusters that renew one registration take it from each other.",
			Example: "  kubectl flexreg confirm ingress -n gateway --wait",
			Args:    cobra.ExactArgs(1),
		}, selection{one: true}, &edit{
			done: "confirmed for this cluster", field: annotation(v1alpha1.AnnotationConfirmCluster), value: clusterToConfirm,
			reached: func(r *resource, _ any) bool {
				return r.ready().Reason != "" && r.ready().Reason != v1alpha1.ReasonClusterChanged
			},
		}),
		p.editing(&cobra.Command{
			Use:   "suspend NAME... | -l SELECTOR | --all [-A]",
			Short: "Stop every write for gateways: nothing is renewed, published or rolled",
			Long: "Sets spec.suspend: nothing is renewed, published or rolled. Certificates are still watched, and expire if nobody resumes in time.\n" +
				"An ExperienceHubConnection, by aehconn/NAME: nothing is changed in Salesforce.",
			Example: "  kubectl flexreg suspend ingress -n gateway\n  kubectl flexreg suspend --all -A",
		}, selection{connections: true}, &edit{
			done: "suspended", field: suspend, value: constant(true), reached: func(r *resource, _ any) bool { return r.observed() },
		}),
		p.editing(&cobra.Command{
			Use:   "resume NAME... | -l SELECTOR | --all [-A]",
			Short: "Go on with gateways that were suspended",
			Long: "Removes spec.suspend, also of an ExperienceHubConnection, by aehconn/NAME. With --wait it returns when the gateway's pods run with a\n" +
				"valid certificate, and Ready is True.",
			Example: "  kubectl flexreg resume ingress -n gateway",
		}, selection{connections: true}, &edit{done: "resumed", field: suspend, value: constant(nil), reached: settled}),
	}
}

// editing completes a command that makes an edit of all that are named or selected.
func (p *plugin) editing(cmd *cobra.Command, s selection, e *edit) *cobra.Command {
	var f editFlags
	f.bind(cmd)
	if !s.one {
		s.bind(cmd)
		cmd.Args = s.required
	}
	if s.connections {
		cmd.Flags().BoolVar(&s.all, "all", false, "All of the namespace or, with -A, of the cluster.")
	}
	cmd.ValidArgsFunction = p.complete(&s)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.perform(cmd.Context(), &f, &s, args, *e)
	}
	return cmd
}

func annotation(name string) []string { return []string{"metadata", "annotations", name} }

// constant is a value that does not depend on the resource.
func constant(value any) func(context.Context, client.Client, *resource) (any, error) {
	return func(context.Context, client.Client, *resource) (any, error) { return value, nil }
}

// clusterToConfirm is this cluster's identity, if the operator knows it by the same.
func clusterToConfirm(ctx context.Context, c client.Client, r *resource) (any, error) {
	ready := r.ready()
	if ready.Reason != v1alpha1.ReasonClusterChanged {
		return nil, fmt.Errorf("there is nothing to confirm: %s", state(ready))
	}
	identity, err := gateway.ClusterIdentity(ctx, c, r.Namespace)
	if err == nil && (identity == "" || !strings.Contains(ready.Message, fmt.Sprintf("%q", identity))) {
		err = fmt.Errorf("the operator knows this cluster by another name than %q: it takes a right to get the namespace kube-system to see the same. Or set the annotation %s by hand: %s",
			identity, v1alpha1.AnnotationConfirmCluster, oneLine(ready.Message))
	}
	return identity, err
}

func (p *plugin) approveCommand() *cobra.Command {
	var serial string
	cmd := p.editing(&cobra.Command{
		Use:   "approve NAME",
		Short: "Approve the renewal of the present certificate, where spec.renewal.policy is Manual",
		Long: "Approves the renewal of the present certificate, and of no other, where spec.renewal.policy is Manual. Where it is not due yet, it is\n" +
			"renewed when it is. With --wait it returns when the gateway's pods run with the renewed certificate.",
		Example: "  kubectl flexreg approve ingress -n gateway --wait",
		Args:    cobra.ExactArgs(1),
	}, selection{one: true}, &edit{
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
		reached: func(r *resource, value any) bool { return r.serial() != value && settled(r, value) },
	})
	cmd.Flags().StringVar(&serial, "serial", "", "The serial number that is to be approved: an error if the present certificate is another one.")
	return cmd
}

var serialNumber = regexp.MustCompile(`^[0-9A-F]{1,64}$`)

// plainSerial is a serial number as status.certificate.serialNumber has it, of one that may have colons.
func plainSerial(s string) string { return strings.ToUpper(strings.ReplaceAll(s, ":", "")) }

func (p *plugin) pinCommand() *cobra.Command {
	var clear bool
	e := edit{done: "not pinned any more", field: []string{"spec", "pin"}, value: constant(nil), reached: settled}
	cmd := p.editing(&cobra.Command{
		Use:   "pin NAME SERIAL | pin NAME --clear",
		Short: "Go back to the certificate before, or keep the present one; --clear goes on with the newest",
		Long: "Has the gateway get the certificate with this serial number, the newest that is recorded or the one before, and keep it: nothing is\n" +
			"renewed meanwhile, however urgent. --clear ends that. With --wait it returns when the gateway's pods run with it.",
		Example: "  kubectl flexreg pin ingress 4F3A90B1 -n gateway --wait\n  kubectl flexreg pin ingress -n gateway --clear",
		Args:    cobra.RangeArgs(1, 2),
		PreRunE: func(_ *cobra.Command, args []string) error {
			if clear == (len(args) == 2) {
				return errors.New("give either the serial number of the certificate to keep, or --clear")
			}
			if clear {
				return nil
			}
			serial := plainSerial(args[1])
			if !serialNumber.MatchString(serial) {
				return fmt.Errorf("%q is no serial number: write it in hexadecimal, as `kubectl flexreg status` shows it", args[1])
			}
			e.done, e.value = "pinned to "+serial, constant(serial)
			e.reached = func(r *resource, value any) bool {
				return r.observed() && r.serial() == value && r.is(v1alpha1.ConditionRolledOut)
			}
			return nil
		},
	}, selection{one: true}, &e)
	cmd.Flags().BoolVar(&clear, "clear", false, "Go on with the newest certificate.")
	return cmd
}
