package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report is what was measured.
type report struct {
	Size    size    `json:"size"`
	Seconds float64 `json:"seconds"` // that the bench took
	Rows    []row   `json:"rows"`
	// Requests to the API server by scenario, and by verb and resource; Anypoint those to the platform by call.
	Requests map[string]map[string]int `json:"requests"`
	Anypoint map[string]map[string]int `json:"anypoint"`
	// Renewals are the requests of one whole renewal, in the order of their answers.
	Renewals map[string][]string `json:"renewals"`
}

// row is one measurement. Budget is the most that it may be, where there is one.
type row struct {
	Scenario string   `json:"scenario"`
	Measure  string   `json:"measure"`
	Value    float64  `json:"value"`
	Unit     string   `json:"unit,omitempty"`
	Budget   *float64 `json:"budget,omitempty"`
	Verdict  string   `json:"verdict,omitempty"` // ok or over
}

func (r *report) add(scenario, measure string, value float64, unit string) {
	r.Rows = append(r.Rows, row{Scenario: scenario, Measure: measure, Value: value, Unit: unit})
}

// limit is add with a budget.
func (r *report) limit(scenario, measure string, value float64, unit string, budget float64) {
	verdict := "ok"
	if value > budget {
		verdict = "over"
	}
	r.Rows = append(r.Rows, row{scenario, measure, value, unit, &budget, verdict})
}

// count keeps what was asked in a scenario.
func (r *report) count(scenario string, asked, anypoint map[string]int) {
	if r.Requests == nil {
		r.Requests, r.Anypoint = map[string]map[string]int{}, map[string]map[string]int{}
	}
	r.Requests[scenario], r.Anypoint[scenario] = asked, anypoint
}

func (r *report) renewal(how string, requests []string) {
	if r.Renewals == nil {
		r.Renewals = map[string][]string{}
	}
	r.Renewals[how] = requests
}

func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "%d registrations, %d in a namespace, on %d cores; %.0f s\n\n", r.Size.N, r.Size.PerNamespace, runtime.NumCPU(), r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| scenario\t| measure\t| value\t| budget\t| \t|\n| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, row := range r.Rows {
		budget := ""
		if row.Budget != nil {
			budget = number(*row.Budget)
		}
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t| %s\t|\n", row.Scenario, row.Measure, strings.TrimSpace(number(row.Value)+" "+row.Unit), budget, row.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, how := range sorted(r.Renewals) {
		fmt.Fprintf(w, "\nOne renewal, %s:\n", how)
		for i, request := range r.Renewals[how] {
			fmt.Fprintf(w, "%3d. %s\n", i+1, request)
		}
	}
	return nil
}

// number has three digits that count.
func number(v float64) string {
	if v >= 100 || v == float64(int(v)) {
		return strconv.Itoa(int(v + 0.5))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (r *report) write(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}
