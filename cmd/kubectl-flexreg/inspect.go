package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

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
			var data map[string][]byte
			key := registration.DefaultKey
			source := file
			var err error
			if file == "" {
				data, key, source, err = p.secret(cmd.Context(), names[0])
			} else {
				data, err = p.readFiles(file)
			}
			if err != nil {
				return err
			}
			r, err := registration.Parse(data, key)
			if err != nil {
				return fmt.Errorf("reading %s: %w", source, err)
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

// secret reads the gateway's Secret, and says at which key the registration is.
func (p *plugin) secret(ctx context.Context, name string) (data map[string][]byte, key, source string, err error) {
	c, named, err := p.find(ctx, &selection{one: true}, []string{name})
	if err != nil {
		return nil, "", "", err
	}
	r := named[0]
	ref := r.Status.SecretRef
	if ref == nil || !r.observed() {
		g, finding, err := gateway.Discover(ctx, c, &r.FlexRegistration)
		if err != nil {
			return nil, "", "", fmt.Errorf("%s: %w", r, err)
		}
		if finding != nil {
			return nil, "", "", fmt.Errorf("%s: %s", r, finding.Message)
		}
		ref = &v1alpha1.SecretKeyReference{Name: g.SecretName, Key: g.Key}
	}
	source = fmt.Sprintf("Secret %s/%s", r.Namespace, ref.Name)
	secret := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: ref.Name}, secret); apierrors.IsForbidden(err) {
		return nil, "", "", fmt.Errorf("getting %s, which holds the registration of %s: it takes a right of yours to get it: %w", source, r, err)
	} else if err != nil {
		return nil, "", "", fmt.Errorf("getting %s, which holds the registration of %s: %w", source, r, err)
	}
	return secret.Data, ref.Key, source, nil
}

// readFiles reads a registration as a Secret would hold it: from standard input, a file, or a directory.
func (p *plugin) readFiles(path string) (map[string][]byte, error) {
	read := func(in io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(in, registration.MaxSize+1)) }
	open := func(path string) ([]byte, error) {
		f, err := os.Open(path) //nolint:gosec // It is the caller's own file.
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // Nothing is lost that was read.
		return read(f)
	}
	data := map[string][]byte{}
	var err error
	info, failed := os.Stat(path)
	switch {
	case path == "-":
		data[registration.DefaultKey], err = read(p.In)
	case failed != nil:
		err = failed
	case info.IsDir():
		if data[registration.DefaultKey], err = open(filepath.Join(path, registration.DefaultKey)); err != nil {
			break
		}
		second, missing := open(filepath.Join(path, registration.CertificateKey))
		if err = missing; errors.Is(missing, os.ErrNotExist) {
			err = nil
		} else {
			data[registration.CertificateKey] = second
		}
	default:
		data[registration.DefaultKey], err = open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the registration: %w", err)
	}
	return data, nil
}

// describe tells all that is in a registration but the key.
func (p *plugin) describe(r *registration.Registration) error {
	v, certificate := view{w: p.Out, now: p.clock.Now()}, r.Certificate()
	rows := [][]string{
		{"Gateway:", r.Name()},
		{"Agent ID:", r.AgentID()},
		{"Control plane:", r.AnypointURL()},
		{"Serial number:", certificate.SerialNumber},
		{"Fingerprint:", certificate.Fingerprint},
		{"Valid from:", v.at(certificate.NotBefore)},
		{"Expires:", v.at(certificate.NotAfter)},
	}
	chain, err := certificates(r)
	if err != nil {
		return err
	}
	for i, c := range chain {
		label, what := "Chain:", ""
		if i > 0 {
			label = ""
		}
		if fmt.Sprintf("%x", sha256.Sum256(c.Raw)) == certificate.Fingerprint {
			what = ", the gateway's"
			rows = append(rows, []string{"Key:", algorithm(c) + ", matches the certificate"})
		}
		rows = append(rows, []string{label, fmt.Sprintf("%s, issued by %s, expires %s%s", c.Subject, c.Issuer, v.at(c.NotAfter), what)})
	}
	return v.tables(rows)
}

// certificates are those of the chain.
func certificates(r *registration.Registration) (chain []*x509.Certificate, err error) {
	for _, document := range strings.Split(string(r.Marshal()), "\n---\n") {
		var secret struct {
			Spec struct {
				Chain string `json:"tls.crt"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(document), &secret); err != nil {
			return nil, errors.New("reading the certificates of the registration: it is no YAML")
		}
		for block, rest := pem.Decode([]byte(secret.Spec.Chain)); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errors.New("reading the certificates of the registration: one is broken")
			}
			chain = append(chain, c)
		}
	}
	return chain, nil
}

func algorithm(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + key.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
