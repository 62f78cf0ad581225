package study

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// An Outcome is what an arm came to at its learning rate, seed by seed.
type Outcome struct {
	Arm    string
	Rate   float64
	Params int // of the student
	// Trials are those at the rate, Students what they came to, and Valid and Test
	// the metrics of these.
	Trials      []Trial
	Students    []*student.Model
	Valid, Test []distill.Metrics
}

// Accuracies are those of the test data, seed by seed.
func (o Outcome) Accuracies() []float64 { return accuracies(o.Test) }

func accuracies(all []distill.Metrics) []float64 {
	list := make([]float64, len(all))
	for i, m := range all {
		list[i] = m.Accuracy
	}
	return list
}

// Outcomes are those of the arms, in their order.
type Outcomes []Outcome

// Of is the outcome of an arm. It fails if there is no such arm.
func (all Outcomes) Of(arm string) (Outcome, error) {
	for _, o := range all {
		if o.Arm == arm {
			return o, nil
		}
	}
	return Outcome{}, fmt.Errorf("study: there is no arm %q", arm)
}

// Compare is the paired difference of two arms' test accuracies, a - b. Its
// interval covers the seeds, and nothing else: neither other data, nor another
// split of these.
func (all Outcomes) Compare(a, b string) (Difference, error) {
	x, err := all.Of(a)
	if err != nil {
		return Difference{}, err
	}
	y, err := all.Of(b)
	if err != nil {
		return Difference{}, err
	}
	return Paired(x.Accuracies(), y.Accuracies())
}

// String is a table of the arms, with the accuracies in percent.
func (all Outcomes) String() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "arm\tparameters\trate\tvalidation %\ttest %\ttest NLL")
	for _, o := range all {
		fmt.Fprintf(w, "%s\t%d\t%v\t%s\t%s\t%.3f\n", o.Arm, o.Params, o.Rate,
			percent(accuracies(o.Valid)), percent(o.Accuracies()), meanNLL(o.Test))
	}
	w.Flush()
	return s.String()
}

func percent(x []float64) string {
	s, err := Summarize(x)
	if err != nil {
		return "-"
	}
	return fmt.Sprintf("%.2f ± %.2f", 100*s.Mean, 100*s.SD)
}

func meanNLL(all []distill.Metrics) float64 {
	sum := 0.0
	for _, m := range all {
		sum += m.NLL
	}
	return sum / float64(len(all))
}
