package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// A line is an observer that says when a run is done.
type line struct {
	w     io.Writer
	trial study.Trial
}

// writing keeps the lines of runs apart that end at the same time.
var writing sync.Mutex

func (*line) Start(distill.Plan) error { return nil }
func (*line) Step(distill.Step) error  { return nil }

func (l *line) Finish(r distill.Result, err error) error {
	if err != nil {
		return nil
	}
	writing.Lock()
	defer writing.Unlock()
	fmt.Fprintf(l.w, "[%2d/%d] %v: ", l.trial.N, l.trial.Of, l.trial)
	if r.Valid != nil {
		fmt.Fprintf(l.w, "%.0f errors of %d images held out\n", float64(r.Valid.Rows)*(1-r.Valid.Accuracy), r.Valid.Rows)
	} else {
		fmt.Fprintf(l.w, "%d epochs\n", r.Epochs)
	}
	return nil
}

// judge counts the errors among all test images, and what is right of some.
func judge(ctx context.Context, m *student.Model, all, some data.Set) (v verdict, err error) {
	a, err := distill.Measure(ctx, m, inOrder(all), nil)
	if err != nil {
		return v, err
	}
	s, err := distill.Measure(ctx, m, inOrder(some), nil)
	return verdict{errors: wrong(a), share: 1 - a.Accuracy, right: s.Accuracy}, err
}

// wrong is the number of errors.
func wrong(m distill.Metrics) int { return int(math.Round(float64(m.Rows) * (1 - m.Accuracy))) }

func errorsOf(o study.Outcome) (all []int) {
	for _, m := range o.Test {
		all = append(all, wrong(m))
	}
	return all
}

// A summary is the content of summary.json. Lists have an element for each seed;
// errors are of 10,000 test images, and shares are from 0 to 1. What -quick leaves
// out is not there.
type summary struct {
	Command           string           `json:"command"`
	TeacherErrors     []int            `json:"teacher_errors"`
	StudentErrors     []int            `json:"student_errors"`
	DistilledErrors   []int            `json:"distilled_errors"`
	Difference        study.Difference `json:"distilled_minus_student_errors"`
	ThreesBefore      []float64        `json:"no3_threes_accuracy_before,omitempty"`
	ThreesAfter       []float64        `json:"no3_threes_accuracy_after,omitempty"`
	No3ErrorsBefore   []int            `json:"no3_errors_before,omitempty"`
	No3ErrorsAfter    []int            `json:"no3_errors_after,omitempty"`
	No3Shift          []float64        `json:"no3_bias_shift,omitempty"`
	SevensEightsError []float64        `json:"sevens_eights_error_before,omitempty"`
	SevensEightsAfter []float64        `json:"sevens_eights_error_after,omitempty"`
	SevensEightsShift []float64        `json:"sevens_eights_bias_shift,omitempty"`
	Wide              []heat           `json:"temperatures_800,omitempty"`
	Narrow            []heat           `json:"temperatures_30,omitempty"`
}

// A heat is what students at one temperature came to.
type heat struct {
	Temperature float64 `json:"temperature"`
	Errors      []int   `json:"errors"`
}

// summarise says what the table came to.
func (l *lab) summarise(t table) (s summary, err error) {
	s.Command = "go run ./examples/mnist"
	if l.Quick {
		s.Command += " -quick"
	}
	s.TeacherErrors, s.StudentErrors, s.DistilledErrors = errorsOf(t.teachers[0]), errorsOf(t.main[0]), errorsOf(t.main[1])
	if s.Difference, err = study.Paired(floats(s.DistilledErrors), floats(s.StudentErrors)); err != nil {
		return s, err
	}
	for _, c := range t.without3 {
		s.ThreesBefore, s.ThreesAfter = append(s.ThreesBefore, c.before.right), append(s.ThreesAfter, c.after.right)
		s.No3ErrorsBefore, s.No3ErrorsAfter = append(s.No3ErrorsBefore, c.before.errors), append(s.No3ErrorsAfter, c.after.errors)
		s.No3Shift = append(s.No3Shift, c.shift)
	}
	for _, c := range t.only7and8 {
		s.SevensEightsError = append(s.SevensEightsError, c.before.share)
		s.SevensEightsAfter = append(s.SevensEightsAfter, c.after.share)
		s.SevensEightsShift = append(s.SevensEightsShift, c.shift)
	}
	s.Wide, s.Narrow = heats(wideHeat, t.wide), heats(narrowHeat, t.narrow)
	return s, nil
}

func heats(temperatures []float64, outcomes study.Outcomes) (all []heat) {
	for i, o := range outcomes {
		all = append(all, heat{temperatures[i], errorsOf(o)})
	}
	return all
}

// publish writes down what the table came to, and prints it.
func (l *lab) publish(ctx context.Context, t table) error {
	s, err := l.summarise(t)
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
	s.print(l.log)
	if err := l.keepLogs(t); err != nil {
		return err
	}
	if err := l.bars(t); err != nil {
		return err
	}
	return l.page(ctx, t)
}

const title = "MNIST, after Hinton, Vinyals and Dean (2015)"

// page writes report.html: all arms, and the students of the first seed beside
// their teacher.
func (l *lab) page(ctx context.Context, t table) error {
	main, err := report.Arms(t.main)
	if err != nil {
		return err
	}
	others, err := report.Arms(slices.Concat(t.teachers, t.wide, t.narrow, t.without, t.only))
	if err != nil {
		return err
	}
	for i := range others {
		others[i].Control = "" // they are not all of a size
	}
	seen, err := report.Examine(ctx, inOrder(l.test), teacher.Of(t.teachers[0].Students[0]),
		report.Named{Name: "alone", Model: t.main[0].Students[0]}, report.Named{Name: "distilled", Model: t.main[1].Students[0]})
	if err != nil {
		return err
	}
	page := report.Page{
		Title:    title,
		Note:     "Students whose transfer set lacked classes are shown as they were before their biases were corrected.",
		Arms:     slices.Concat(main, others),
		Examined: seen,
	}
	return page.WriteFile(filepath.Join(l.Out, "report.html"))
}

// bars writes the errors of all arms as a picture.
func (l *lab) bars(t table) error {
	var bars []report.Bar
	for _, o := range slices.Concat(t.teachers, t.main, t.wide, t.narrow) {
		all := floats(errorsOf(o))
		bars = append(bars, report.Bar{Name: o.Arm, Mean: median(all), Low: slices.Min(all), High: slices.Max(all)})
	}
	f, err := os.Create(filepath.Join(l.Out, "errors.png"))
	if err != nil {
		return err
	}
	if err := report.Bars(f, report.PNG, title, "test errors of 10,000, median and range of the seeds", bars...); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// print is the table beside the paper's.
func (s summary) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer tab.Flush()
	row := func(name string, values []float64, digits int, paper string) {
		if len(values) == 0 {
			return
		}
		low, middle, high := slices.Min(values), median(values), slices.Max(values)
		fmt.Fprintf(tab, "%s\t%.*f\t%.*f to %.*f\t%s\t\n", name, digits, middle, digits, low, digits, high, paper)
	}
	fmt.Fprintln(tab, "\ntest errors, of 10,000\tmedian\tseeds\tpaper\t")
	row("teacher", floats(s.TeacherErrors), 0, "67")
	row("student alone", floats(s.StudentErrors), 0, "146")
	row("student distilled", floats(s.DistilledErrors), 0, "74")
	row("distilled without a 3", floats(s.No3ErrorsBefore), 0, "206")
	row("with the 3's bias corrected", floats(s.No3ErrorsAfter), 0, "109")
	row("% of the threes right", percent(s.ThreesBefore), 1, "86.8")
	row("with the 3's bias corrected", percent(s.ThreesAfter), 1, "98.6")
	row("% wrong of those of 7 and 8 alone", percent(s.SevensEightsError), 1, "47.3")
	row("with both biases corrected", percent(s.SevensEightsAfter), 1, "13.2")
	for _, h := range s.Wide {
		row(fmt.Sprintf("800 units, T = %v", h.Temperature), floats(h.Errors), 0, "")
	}
	for _, h := range s.Narrow {
		row(fmt.Sprintf("30 units, T = %v", h.Temperature), floats(h.Errors), 0, "")
	}
	d := s.Difference
	fmt.Fprintf(tab, "\ndistilled - alone: %+.1f errors, %+.1f to %+.1f (95%%, over %d seeds)\n", d.Mean, d.Low, d.High, len(s.StudentErrors))
}

// keepLogs writes the last step of each epoch of every run into logs, a file for
// each, which is small enough to be kept with the code.
func (l *lab) keepLogs(t table) error {
	for _, o := range slices.Concat(t.teachers, t.main, t.wide, t.narrow, t.without, t.only) {
		for _, trial := range o.Trials {
			if err := epochs(filepath.Join(trial.Dir, "metrics.jsonl"), filepath.Join(l.Out, "logs", fmt.Sprintf("%s-seed-%d.jsonl", trial.Arm, trial.Seed))); err != nil {
				return err
			}
		}
	}
	return nil
}

// epochs copies the lines of a log where an epoch ends.
func epochs(from, to string) error {
	all, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	var kept []byte
	for line := range bytes.Lines(all) {
		if bytes.Contains(line, []byte(`"end":true`)) {
			kept = append(kept, line...)
		}
	}
	return os.WriteFile(to, kept, 0o644)
}

func floats(all []int) (list []float64) {
	for _, v := range all {
		list = append(list, float64(v))
	}
	return list
}

func percent(all []float64) (list []float64) {
	for _, v := range all {
		list = append(list, 100*v)
	}
	return list
}

// median is that of one value or more.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
