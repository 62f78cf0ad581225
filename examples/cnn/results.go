package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/teacher"
)

// A line is an observer that says when a trial is done.
type line struct {
	w     io.Writer
	trial study.Trial
}

func (*line) Start(distill.Plan) error { return nil }
func (*line) Step(distill.Step) error  { return nil }

func (l *line) Finish(r distill.Result, err error) error {
	if err == nil && r.Valid != nil {
		fmt.Fprintf(l.w, "[%2d/%d] %v: %.1f%% on validation data\n", l.trial.N, l.trial.Of, l.trial, 100*r.Valid.Accuracy)
	}
	return nil
}

// A measured arm, as summary.json has it. Accuracies are shares of the test
// images, one for each seed.
type measured struct {
	Params   int       `json:"params"`
	Rate     float64   `json:"rate"`
	Accuracy []float64 `json:"test_accuracy"`
}

// A finding is what a number of labels came to.
type finding struct {
	Name       string           `json:"name"`
	Labels     int              `json:"labels"`
	Control    measured         `json:"control"`
	Student    measured         `json:"student"`
	Difference study.Difference `json:"difference"`
}

// A summary is the content of summary.json: the teacher, and the first finding
// before all of them.
type summary struct {
	Teacher struct {
		Params   int     `json:"params"`
		Accuracy float64 `json:"test_accuracy"`
	} `json:"teacher"`
	Control     measured         `json:"control"`
	Student     measured         `json:"student"`
	Difference  study.Difference `json:"difference"`
	Temperature float64          `json:"temperature"`
	Weight      float64          `json:"weight"`
	Regimes     []finding        `json:"regimes"`
}

// conclude measures the teacher, prints the table, and writes and draws what
// was found.
func (l *lab) conclude(ctx context.Context, outcomes study.Outcomes) error {
	m, err := distill.Measure(ctx, l.teacher, inOrder(l.split.Test), nil)
	if err != nil {
		return err
	}
	s := summary{Temperature: temperature, Weight: weight}
	s.Teacher.Params, s.Teacher.Accuracy = l.teacher.Size(), m.Accuracy
	fmt.Fprintf(l.log, "\nteacher: %d parameters, %.2f%% of the test images right\n\n", s.Teacher.Params, 100*m.Accuracy)
	fmt.Fprintf(l.log, "%vdistilled - control over %d seeds, and its 95%% interval over seeds only:\n", outcomes, l.seeds)
	for _, r := range l.regimes() {
		f, err := r.finding(outcomes)
		if err != nil {
			return err
		}
		s.Regimes = append(s.Regimes, f)
		fmt.Fprintf(l.log, "%s: %s\n", f.Name, verdict(f.Difference))
	}
	first := s.Regimes[0]
	s.Control, s.Student, s.Difference = first.Control, first.Student, first.Difference
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.Out, "summary.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return l.draw(ctx, outcomes, m)
}

func (r regime) finding(outcomes study.Outcomes) (finding, error) {
	d, err := outcomes.Compare(r.distilled, r.control)
	if err != nil {
		return finding{}, err
	}
	of := func(arm string) measured {
		o, _ := outcomes.Of(arm) // Compare found it
		return measured{o.Params, o.Rate, o.Accuracies()}
	}
	return finding{Name: r.name, Labels: r.labels, Control: of(r.control), Student: of(r.distilled), Difference: d}, nil
}

// verdict says whether a difference in accuracy is one.
func verdict(d study.Difference) string {
	text := fmt.Sprintf("%+.2f points, %+.2f to %+.2f: ", 100*d.Mean, 100*d.Low, 100*d.High)
	switch {
	case d.Low > 0:
		return text + "the teacher helps"
	case d.High < 0:
		return text + "the teacher harms"
	}
	return text + "nothing is gained that so many seeds could show"
}

// draw writes the curves of the arms, with the teacher's accuracy on validation
// data, and report.html, with the first students of the first finding beside
// their teacher.
func (l *lab) draw(ctx context.Context, outcomes study.Outcomes, test distill.Metrics) error {
	m, err := distill.Measure(ctx, l.teacher, inOrder(l.split.Valid), nil)
	if err != nil {
		return err
	}
	page := report.Page{Title: fmt.Sprintf("MNIST, %d labels and all", labels)}
	if page.Arms, err = report.Arms(outcomes); err != nil {
		return err
	}
	var models []report.Named
	for i, o := range outcomes {
		models = append(models, report.Named{Name: o.Arm, Model: o.Students[0]})
		page.Arms[i].Control = ""
	}
	for i, r := range l.regimes() {
		page.Arms[2*i+1].Control = r.control
	}
	page.Arms = append(page.Arms, report.Arm{Name: "teacher", Level: m.Accuracy, Params: l.teacher.Size(), Test: []distill.Metrics{test}})
	if page.Examined, err = report.Examine(ctx, inOrder(l.split.Test), teacher.Of(l.teacher), models[:2]...); err != nil {
		return err
	}
	file := filepath.Join(l.Out, "report.html")
	if err := page.WriteFile(file); err != nil {
		return err
	}
	fmt.Fprintln(l.log, "wrote", file)
	return l.curves(page)
}

// curves writes those of a page as a picture.
func (l *lab) curves(p report.Page) error {
	file := filepath.Join(l.Out, "curves.png")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := report.Compare(f, report.PNG, p.Title, p.Arms...); err != nil {
		f.Close()
		return err
	}
	fmt.Fprintln(l.log, "wrote", file)
	return f.Close()
}
