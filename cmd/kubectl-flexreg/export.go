package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flexops/flex-registration-operator/internal/registration"
)

func (p *plugin) exportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export NAME --output FILE",
		Short: "Write the registration file out of the gateway's Secret, for a gateway elsewhere: it holds the PRIVATE KEY",
		Long: "Writes the registration in the gateway's Secret as a file, for replicas of the same gateway in Docker or on Linux.\n\n" +
			"The file holds the gateway's PRIVATE KEY: whoever has it is the gateway. It is made with mode 0600, and an existing one is left alone.\n" +
			"The copy is not renewed: export it again, and restart what uses it, after each renewal.",
		Example:           "  kubectl flexreg export ingress -n gateway --output registration.yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.complete(&selection{one: true}),
		RunE: func(cmd *cobra.Command, names []string) error {
			if output == "" {
				return errors.New("name the file to write with --output, or write --output - for standard output: it holds the private key")
			}
			held, err := p.secret(cmd.Context(), names[0])
			if err != nil {
				return err
			}
			r, content, err := held.oneFile()
			if err != nil {
				return err
			}
			if output == "-" {
				_, err = p.Out.Write(content)
			} else {
				err = writeNew(output, content)
			}
			if err != nil {
				return fmt.Errorf("writing the registration: %w", err)
			}
			v := view{now: p.clock.Now()}
			fmt.Fprintf(p.ErrOut, "This holds the private key of certificate %s, which expires %s: keep it secret. It is not renewed: export it again after each renewal.\n",
				r.Certificate().SerialNumber, v.at(r.Certificate().NotAfter))
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "The file to write, which must not exist, or - for standard output.")
	return cmd
}

// oneFile is the registration with the owner's own documents, in one file also where the Secret has it in two.
func (s stored) oneFile() (*registration.Registration, []byte, error) {
	r, err := s.parse()
	if err != nil {
		return nil, nil, err
	}
	content := s.data[s.key]
	if second, split := s.data[registration.CertificateKey]; split && s.key != registration.CertificateKey {
		content = slices.Concat(content, []byte("\n---\n"), second)
	}
	joined, err := stored{s.source, registration.DefaultKey, map[string][]byte{registration.DefaultKey: content}}.parse()
	if err == nil && joined.Certificate().Fingerprint != r.Certificate().Fingerprint {
		err = fmt.Errorf("reading %s: its two files can't be joined into one", s.source)
	}
	return r, content, err
}

// writeNew makes a file that only its owner can read, or nothing.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // It is the caller's own file.
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
