// Package experiencehub decides what is to be done about the two certificates of a connection between API Experience Hub and
// Salesforce, and what is told of them. It knows no cluster and no network.
package experiencehub

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Observation is what is known of a connection.
type Observation struct {
	// Anypoint and Salesforce are nil where the connection's spec leaves them out.
	Anypoint   *Anypoint
	Salesforce *Salesforce
	// WarnBefore is how long before an expiry somebody is asked to act.
	WarnBefore time.Duration
}

// Problem is the error by which a side could not be looked at.
type Problem struct {
	Reason, Message string
	// Lasting: it does not pass by itself.
	Lasting bool
}

func (p *Problem) Error() string { return p.Message }

// Anypoint is the side with Secrets Manager.
type Anypoint struct {
	// Which describes the certificate to a reader.
	Which string
	// Certificate is nil where there is none.
	Certificate *Certificate
	Problem     *Problem
}

// Salesforce is the side with the named credential.
type Salesforce struct {
	// Host is the organization's.
	Host string
	// Name is that of the certificate, Suffix what a renamed one gets.
	Name, Suffix string
	// Certificates are all that the organization has.
	Certificates []Certificate
	Problem      *Problem
	// Assist: certificates may be renamed and deleted. Suspended says why not, where it would be so.
	Assist, Suspended bool
	// Refused says, by the name of a certificate, what Salesforce has answered to the present attempt to rename or delete it.
	Refused map[string]string
}

// Certificate is one that a service lists.
type Certificate struct {
	// ID and Label are Salesforce's, and Name there is the unique name, DeveloperName.
	ID, Name, Label string
	// NotAfter is zero where it isn't known.
	NotAfter time.Time
}

// Current is the certificate with the name, or nil.
func (s *Salesforce) Current() *Certificate {
	i := slices.IndexFunc(s.Certificates, func(c Certificate) bool { return c.Name == s.Name })
	if i < 0 {
		return nil
	}
	return &s.Certificates[i]
}

const day = "20060102"

// names are what a certificate can be renamed to. They hold the day of its own expiry.
func (s *Salesforce) names(c Certificate) []string {
	name := s.Name + "_" + s.Suffix + "_" + c.NotAfter.UTC().Format(day)
	names := []string{name}
	for n := 2; n < 10; n++ {
		names = append(names, name+"_"+strconv.Itoa(n))
	}
	return names
}

// Renamed are the certificates that were renamed by the operator, which their names say, the one that expires first at the beginning.
func (s *Salesforce) Renamed() []Certificate {
	renamed := slices.DeleteFunc(slices.Clone(s.Certificates), func(c Certificate) bool {
		return c.NotAfter.IsZero() || !slices.Contains(s.names(c), c.Name)
	})
	slices.SortStableFunc(renamed, func(a, b Certificate) int { return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Name, b.Name)) })
	return renamed
}

// freeName is what a certificate can be renamed to, "" where all names are taken. Salesforce does not tell upper from lower case.
func (s *Salesforce) freeName(c Certificate) string {
	for _, name := range s.names(c) {
		if !slices.ContainsFunc(s.Certificates, func(other Certificate) bool { return strings.EqualFold(other.Name, name) }) {
			return name
		}
	}
	return ""
}
