package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/gateway"
	"github.com/flexops/flex-registration-operator/internal/registration"
)

func (p *plugin) inspectCommand() *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "inspect NAME | inspect --file FILE",
		Short: "Show when a registration expires, as flexctl does, and what else is in it",
		Long: "Reads the registration in a gateway's Secret, or in a file, and prints when its certificate expires, as `flexctl registration inspect`\n" +
			"does. -o wide also tells the chain, the key's algorithm, the gateway and its control plane. The key itself is never shown.",
		Example:           "  kubectl flexreg inspect ingress -n gateway\n  kubectl flexreg inspect --file registration.yaml -o wide",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.complete(&selection{one: true}),
		RunE: func(cmd *cobra.Command, names []string) error {
			if format != "" && format != formatWide {
				return fmt.Errorf("--output=%s: leave it out, or write %s", format, formatWide)
			}
			if (file == "") == (len(names) == 0) {
				return errors.New("name a FlexRegistration, or a file with --file")
			}
			var held stored
			var err error
			if file != "" {
				held, err = p.files(file)
			} else {
				held, err = p.secret(cmd.Context(), names[0])
			}
			if err != nil {
				return err
			}
			r, err := held.parse()
			if err != nil {
				return err
			}
			if format == formatWide {
				return p.describe(r)
			}
			fmt.Fprintf(p.Out, "{\"expiration_date\": %q}\n", r.Certificate().NotAfter.String())
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "A registration.yaml, a directory with the two files of a split registration, or - for standard input.")
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format: nothing for flexctl's, or wide.")
	return cmd
}

// stored is a registration as a Secret holds it, or files that could stand in one.
type stored struct {
	source string            // in words
	key    string            // of data, where the registration is
	data   map[string][]byte // by the names of the files
}

func (s stored) parse() (*registration.Registration, error) {
	r, err := registration.Parse(s.data, s.key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.source, err)
	}
	return r, nil
}

// secret reads the Secret of the gateway that a FlexRegistration is about.
func (p *plugin) secret(ctx context.Context, name string) (stored, error) {
	c, named, err := p.find(ctx, &selection{one: true}, []string{name})
	if err != nil {
		return stored{}, err
	}
	r := named[0]
	ref := r.Status.SecretRef
	if ref == nil || !r.observed() {
		g, finding, err := gateway.Discover(ctx, c, &r.FlexRegistration)
		if err == nil && finding != nil {
			err = errors.New(finding.Message)
		}
		if err != nil {
			return stored{}, fmt.Errorf("%s: %w", r, err)
		}
		ref = &v1alpha1.SecretKeyReference{Name: g.SecretName, Key: g.Key}
	}
	secret := &corev1.Secret{}
	err = c.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: ref.Name}, secret)
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("it takes a right of yours to get it: %w", err)
	}
	source := fmt.Sprintf("Secret %s/%s", r.Namespace, ref.Name)
	if err != nil {
		return stored{}, fmt.Errorf("getting %s, which holds the registration of %s: %w", source, r, err)
	}
	return stored{source, ref.Key, secret.Data}, nil
}

// files reads a registration from a file, from standard input, or from the one or two files of a directory.
func (p *plugin) files(path string) (stored, error) {
	held := stored{path, registration.DefaultKey, map[string][]byte{}}
	paths := map[string]string{registration.DefaultKey: path}
	if info, err := os.Stat(path); path != "-" && err == nil && info.IsDir() {
		paths[registration.DefaultKey] = filepath.Join(path, registration.DefaultKey)
		paths[registration.CertificateKey] = filepath.Join(path, registration.CertificateKey)
	}
	for key, path := range paths {
		content, err := p.readFile(path)
		if key == registration.CertificateKey && errors.Is(err, os.ErrNotExist) {
			continue // The registration is not split.
		}
		if err != nil {
			return stored{}, fmt.Errorf("reading the registration: %w", err)
		}
		held.data[key] = content
	}
	return held, nil
}

// readFile reads as much of a file, or for "-" of standard input, as tells that it is too long for a registration.
func (p *plugin) readFile(path string) ([]byte, error) {
	in := p.In
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // It is the caller's own file.
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // Nothing is lost that was read.
		in = f
	}
	return io.ReadAll(io.LimitReader(in, registration.MaxSize+1))
}

// describe tells all that is in a registration but the key.
func (p *plugin) describe(r *registration.Registration) error {
	v, certificate := view{w: p.Out, now: p.clock.Now()}, r.Certificate()
	chain, err := cert.ParseCertsPEM(r.Chain())
	if err != nil {
		return fmt.Errorf("reading the certificates of the registration: %w", err)
	}
	own := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
		return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) == certificate.Fingerprint
	})
	rows := [][]string{
		{"Gateway:", r.Name()},
		{"Agent ID:", r.AgentID()},
		{"Control plane:", r.AnypointURL()},
		{"Serial number:", certificate.SerialNumber},
		{"Fingerprint:", certificate.Fingerprint},
		{"Valid from:", v.at(certificate.NotBefore)},
		{"Expires:", v.at(certificate.NotAfter)},
		{"Key:", algorithm(chain[own]) + ", matches the certificate"},
	}
	for i, c := range chain {
		what := fmt.Sprintf("%s, issued by %s, expires %s%s", c.Subject, c.Issuer, v.at(c.NotAfter), when(i == own, ", the gateway's"))
		rows = append(rows, []string{when(i == 0, "Chain:"), what})
	}
	return v.tables(rows)
}

func algorithm(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + key.Params().Name
	}
	return c.PublicKeyAlgorithm.String()
}
