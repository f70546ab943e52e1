package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flexops/flex-registration-operator/internal/gateway"
)

func (p *plugin) adoptCommand() *cobra.Command {
	var allNamespaces bool
	var credentials string
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Print FlexRegistrations for gateways that none covers, to look over and apply",
		Long: "Finds Deployments with a volume \"registration\" that no FlexRegistration covers, and prints one for each gateway. Nothing is changed:\n" +
			"look them over, and apply them.",
		Example: "  kubectl flexreg adopt -A > gateways.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.connect(allNamespaces)
			if err != nil {
				return err
			}
			found, err := gateway.WriteManifests(cmd.Context(), c, c.namespace, credentials, p.Out)
			if err != nil {
				return explained("looking for gateways", flexRegistration, err)
			}
			fmt.Fprintf(p.ErrOut, "%d Deployments with a registration are not covered by a FlexRegistration\n", found)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&allNamespaces, "all-namespaces", "A", false, "Look in all namespaces.")
	cmd.Flags().StringVar(&credentials, "credentials", gateway.DefaultCredentials, "The Secret with the Anypoint credentials, in each gateway's namespace.")
	return cmd
}
