package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/study"
)

// A Study is what the arms of a [study.Study] came to.
type Study struct {
	// Title is the heading; "" means "Study".
	Title string
	// Outcomes are the arms, one or more, each with test metrics of two seeds or
	// more.
	Outcomes study.Outcomes
	// Control is the arm that the others are compared with; "" compares none.
	Control string
}

// Markdown implements [Section]: a row for each arm, with its parameters, its
// learning rate, what it came to on test data as mean ± standard deviation over
// the seeds, and its difference to the control with a 95% interval
// ([study.Paired]), in bold where that does not hold 0. It shows the accuracy in
// percent, and of a regression the RMSE in the unit of the labels. A dash stands
// where a seed has no finite number.
//
// It fails without arms, without the control among them, for fewer seeds than
// two, and for an arm with another number of seeds than the control.
func (s Study) Markdown(w io.Writer) error {
	if len(s.Outcomes) == 0 {
		return errors.New("report: Study.Outcomes is empty; want one arm or more")
	}
	t := trial{score: scoreOf(s.Outcomes)}
	head := []string{"arm", "parameters", "rate", "seeds", t.name}
	if s.Control != "" {
		control, err := s.Outcomes.Of(s.Control)
		if err != nil {
			return fmt.Errorf("report: Study.Control: %w", err)
		}
		t.control = &control
		head = append(head, "minus "+escape(s.Control))
	}
	var rows [][]string
	for _, o := range s.Outcomes {
		row, err := t.row(o)
		if err != nil {
			return fmt.Errorf("report: Study.Outcomes: arm %q: %w", o.Arm, err)
		}
		rows = append(rows, row)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "## %s\n", escape(cmp.Or(s.Title, "Study")))
	writeTable(&out, head, rows)
	return publish(w, out.Bytes())
}

// A trial is how arms are compared: by what, and with which.
type trial struct {
	score
	control *study.Outcome // nil for none
}

func (t trial) row(o study.Outcome) ([]string, error) {
	mean, err := t.mean(o)
	if err != nil {
		return nil, err
	}
	row := []string{escape(o.Arm), strconv.Itoa(o.Params), fmt.Sprint(o.Rate), strconv.Itoa(len(o.Test)), mean}
	if t.control == nil {
		return row, nil
	}
	minus, err := t.minus(o)
	return append(row, minus), err
}

func (t trial) mean(o study.Outcome) (string, error) {
	values, ok := t.values(o)
	if !ok {
		return dash, nil
	}
	sum, err := study.Summarize(values)
	return fmt.Sprintf("%.*f ± %.*f", t.digits, sum.Mean, t.digits, sum.SD), err
}

// minus is the difference to the control, nothing for the control itself.
func (t trial) minus(o study.Outcome) (string, error) {
	a, ok := t.values(o)
	b, too := t.values(*t.control)
	switch {
	case o.Arm == t.control.Arm:
		return "", nil
	case !ok || !too:
		return dash, nil
	}
	d, err := study.Paired(a, b)
	text := fmt.Sprintf("%+.*f [%+.*f, %+.*f]", t.digits, d.Mean, t.digits, d.Low, t.digits, d.High)
	if d.Clear() {
		text = "**" + text + "**"
	}
	return text, err
}

// A score is what arms are compared by.
type score struct {
	name   string
	digits int // after the point
	get    func(distill.Metrics) float64
}

// scoreOf is the accuracy, or of a regression the error.
func scoreOf(all study.Outcomes) score {
	for _, o := range all {
		if len(o.Test) > 0 && o.Test[0].Numbers != nil {
			return score{"test RMSE", 4, func(m distill.Metrics) float64 { return -distill.ByRMSE(m) }}
		}
	}
	return score{"test accuracy %", 2, func(m distill.Metrics) float64 { return 100 * m.Accuracy }}
}

// values are those of the seeds, and whether all are finite.
func (s score) values(o study.Outcome) (all []float64, ok bool) {
	ok = true
	for _, m := range o.Test {
		v := s.get(m)
		all, ok = append(all, v), ok && finite(v)
	}
	return all, ok
}
