package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

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

// writing keeps the lines of trials apart that end at the same time.
var writing sync.Mutex

func (*line) Start(distill.Plan) error { return nil }
func (*line) Step(distill.Step) error  { return nil }

func (l *line) Finish(r distill.Result, err error) error {
	if err != nil || r.Valid == nil {
		return nil
	}
	writing.Lock()
	defer writing.Unlock()
	fmt.Fprintf(l.w, "[%3d/%d] %v: %.1f%% on validation data\n", l.trial.N, l.trial.Of, l.trial, 100*r.Valid.Accuracy)
	return nil
}

// A finding is what a method came to. Accuracies are shares of the test images, one
// for each seed; the difference is to the control, seed by seed, with its 95%
// interval.
type finding struct {
	Method     string            `json:"method"`
	Family     string            `json:"family"`
	Paper      string            `json:"paper,omitempty"`
	Params     int               `json:"params"`
	Rate       float64           `json:"rate"`
	Accuracy   []float64         `json:"test_accuracy"`
	Difference *study.Difference `json:"difference,omitempty"` // none of the control

	outcome study.Outcome
}

// A summary is the content of summary.json: the teacher, the control, and the
// methods from the one that gained most.
type summary struct {
	Data    string `json:"data"`
	Labels  int    `json:"labels"`
	Images  int    `json:"images"` // that students learn from, with the teacher
	Steps   int    `json:"steps"`
	Seeds   int    `json:"seeds"`
	Teacher struct {
		Params   int     `json:"params"`
		Accuracy float64 `json:"test_accuracy"`
	} `json:"teacher"`
	Control    finding   `json:"control"`
	Methods    []finding `json:"methods"`
	DidNotHelp []string  `json:"did_not_help_here"`
}

// conclude prints the table, and writes and draws what was found.
func (l *lab) conclude(ctx context.Context, outcomes study.Outcomes) error {
	s, err := l.summarise(ctx, outcomes)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.Out, "summary.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var table strings.Builder
	s.print(&table)
	if err := os.WriteFile(filepath.Join(l.Out, "table.txt"), []byte(table.String()), 0o644); err != nil {
		return err
	}
	fmt.Fprint(l.log, "\n", table.String())
	if err := s.draw(filepath.Join(l.Out, "bars.png")); err != nil {
		return err
	}
	return l.page(ctx, s)
}

func (l *lab) summarise(ctx context.Context, outcomes study.Outcomes) (s summary, err error) {
	s = summary{Data: l.title, Labels: l.labels, Images: l.split.Train.Len(), Steps: l.lesson.steps, Seeds: l.seeds}
	m, err := distill.Measure(ctx, l.teacher, inOrder(l.split.Test), nil)
	if err != nil {
		return s, err
	}
	s.Teacher.Params, s.Teacher.Accuracy = l.teacher.Size(), m.Accuracy
	for _, m := range l.methods {
		f, err := m.finding(outcomes)
		if err != nil {
			return s, err
		}
		if f.Difference == nil {
			s.Control = f
		} else {
			s.Methods = append(s.Methods, f)
		}
	}
	slices.SortStableFunc(s.Methods, func(a, b finding) int { return cmp.Compare(b.Difference.Mean, a.Difference.Mean) })
	for _, f := range s.Methods {
		if f.Difference.Low <= 0 {
			s.DidNotHelp = append(s.DidNotHelp, f.Method)
		}
	}
	return s, nil
}

func (m method) finding(outcomes study.Outcomes) (f finding, err error) {
	o, err := outcomes.Of(m.Name)
	if err != nil {
		return f, err
	}
	f = finding{Method: m.Name, Family: m.Family, Paper: m.Paper, Params: o.Params, Rate: o.Rate, Accuracy: o.Accuracies(), outcome: o}
	if m.Name != control {
		d, err := outcomes.Compare(m.Name, control)
		if err != nil {
			return f, err
		}
		f.Difference = &d
	}
	return f, nil
}

// print is the table, and the plain list of what did not help.
func (s summary) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d labels, %d images, %d steps, %d seeds\n", s.Data, s.Labels, s.Images, s.Steps, s.Seeds)
	fmt.Fprintf(w, "teacher: %d parameters, %.2f%% of the test images right\n\n", s.Teacher.Params, 100*s.Teacher.Accuracy)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "method\tof\tparameters\trate\ttest %\tgain in points, 95% interval\tpaper")
	for _, f := range append([]finding{s.Control}, s.Methods...) {
		gain := ""
		if d := f.Difference; d != nil {
			gain = fmt.Sprintf("%+.2f  %+.2f to %+.2f", 100*d.Mean, 100*d.Low, 100*d.High)
		}
		fmt.Fprintf(tab, "%s\t%s\t%d\t%v\t%.2f\t%s\t%s\n", f.Method, f.Family, f.Params, f.Rate, 100*mean(f.Accuracy), gain, f.Paper)
	}
	tab.Flush()
	fmt.Fprintln(w, "\nDid not help here, for the interval is not above 0:", cmp.Or(strings.Join(s.DidNotHelp, ", "), "none"))
}

func mean(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += v
	}
	return sum / float64(len(all))
}

// draw writes the bars of the methods.
func (s summary) draw(file string) error {
	var bars []report.Bar
	for _, f := range s.Methods {
		d := f.Difference
		bars = append(bars, report.Bar{Name: f.Method, Mean: 100 * d.Mean, Low: 100 * d.Low, High: 100 * d.High})
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	axis := fmt.Sprintf("points of test accuracy beyond labels alone (%.1f%%): mean over %d seeds and its 95%% interval", 100*mean(s.Control.Accuracy), s.Seeds)
	if err := report.Bars(f, report.PNG, s.Data, axis, bars...); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// page writes report.html, with the control and the five methods that gained most:
// more curves are none.
func (l *lab) page(ctx context.Context, s summary) error {
	best := study.Outcomes{s.Control.outcome}
	for _, f := range s.Methods[:min(5, len(s.Methods))] {
		best = append(best, f.outcome)
	}
	page := report.Page{Title: s.Data, Note: "Labels alone, and the methods that gained most. The table has all."}
	var err error
	if page.Arms, err = report.Arms(best); err != nil {
		return err
	}
	var models []report.Named
	for _, o := range best[:min(3, len(best))] {
		models = append(models, report.Named{Name: o.Arm, Model: o.Students[0]})
	}
	if page.Examined, err = report.Examine(ctx, inOrder(l.split.Test), teacher.Of(l.teacher), models...); err != nil {
		return err
	}
	file := filepath.Join(l.Out, "report.html")
	if err := page.WriteFile(file); err != nil {
		return err
	}
	fmt.Fprintln(l.log, "wrote", file)
	return nil
}
