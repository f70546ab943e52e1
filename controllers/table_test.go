package controllers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/flexops/flex-registration-operator/api/v1alpha1"
	"github.com/flexops/flex-registration-operator/internal/anypoint"
	"github.com/flexops/flex-registration-operator/internal/renewal"
)

// constants returns the values of the string constants in a file whose names begin with the prefix.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, prefix) && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				value, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, value)
			}
		}
		return true
	})
	return found
}

// documented reads the truth table out of docs/conditions.md.
func documented(t *testing.T) (rows map[string]row, text string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "docs", "conditions.md"))
	if err != nil {
		t.Fatal(err)
	}
	text = string(content)
	_, section, ok := strings.Cut(text, "| reason | Ready | Reconciling | Stalled |")
	if !ok {
		t.Fatal("docs/conditions.md has no truth table")
	}
	section, _, _ = strings.Cut(section, "\n\n")
	rows = map[string]row{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		rows[cells[1]] = row{ready: readiness(cells[2]), reconciling: cells[3] == "True", stalled: cells[4] == "True"}
	}
	return rows, text
}

func TestTruthTableIsAsDocumented(t *testing.T) {
	g := NewWithT(t)
	rows, text := documented(t)
	code := map[string]row{}
	for reason, r := range table {
		r.warn = false
		code[reason] = r
	}
	g.Expect(rows).To(Equal(code))

	for _, reason := range constants(t, filepath.Join("..", "api", "v1alpha1", "conditions.go"), "Reason") {
		g.Expect(text).To(ContainSubstring("`"+reason+"`"), "every reason has its cause and remedy in docs/conditions.md")
	}
}

func TestEveryStateAndErrorHasARow(t *testing.T) {
	g := NewWithT(t)
	for _, state := range constants(t, filepath.Join("..", "internal", "renewal", "plan.go"), "") {
		if strings.HasPrefix(state, "renewal:") || table[state] != (row{}) {
			continue
		}
		g.Expect(state).To(BeElementOf("Wait", "Confirm", "Adopt", "Renew", "Publish", "Advance", "Roll", "Complete", "Tidy", "Restore", "Restored", "Note", "Fail", "Retry", "Pin"), "a state without a row in the truth table")
	}
	for class := range retries {
		g.Expect(table).To(HaveKey(string(class)))
	}
	for _, class := range constants(t, filepath.Join("..", "internal", "anypoint", "errors.go"), "") {
		if strings.Contains(class, " ") {
			continue // a sentence
		}
		g.Expect(retries).To(HaveKey(anypoint.Class(class)), "an error class that nobody knows how to repeat")
	}
}

// TestConditionsFollowTheTable makes the conditions of every reason, with a valid and with an expired certificate.
func TestConditionsFollowTheTable(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for reason, r := range table {
		for _, expired := range []bool{false, true} {
			for _, due := range []bool{false, true} {
				urgent := due // as urgent as it is due
				for _, failed := range []int{0, 2, 3} {
					g := NewWithT(t)
					certificate := renewal.Certificate{Fingerprint: "f", SerialNumber: "1", NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.Add(time.Hour)}
					if expired {
						certificate.NotAfter = now
					}
					o := renewal.Observation{Certificate: certificate, Record: renewal.Record{
						Newest: certificate, Attempts: renewal.Attempts{Fingerprint: "f", Failed: failed}, Rollout: renewal.Rollout{Fingerprint: "f"},
					}}
					all := conditions(o, renewal.Decision{State: renewal.State(reason), Message: "m", Timing: renewal.Timing{Due: due, Urgent: urgent, RenewalTime: now}}, now)

					want := r.ready == ready || r.ready == untilDue && !due || r.ready == untilUrgent && !urgent || r.ready == onCourse && failed < 3
					got := meta.FindStatusCondition(all, v1alpha1.ConditionReady)
					g.Expect(got.Status == metav1.ConditionTrue).To(Equal(want && !expired), reason)
					shown := reason
					if want && expired {
						shown = v1alpha1.ReasonCertificateExpired
					}
					g.Expect(got.Reason).To(Equal(shown))
					g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionCertificateValid)).To(Equal(!expired))
					g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionRenewed)).To(Equal(!due))
					g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionRolledOut)).To(BeTrue())
					g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionReconciling)).To(Equal(table[shown].reconciling), reason)
					g.Expect(meta.IsStatusConditionTrue(all, v1alpha1.ConditionStalled)).To(Equal(table[shown].stalled || table[shown].ready == untilDue && due || table[shown].ready == untilUrgent && urgent), reason)
					g.Expect(r.reconciling && r.stalled).To(BeFalse())
				}
			}
		}
	}
}
