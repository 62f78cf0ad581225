package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/report"
	"github.com/godistill/godistill/distill/study"
	"github.com/godistill/godistill/teacher"
)

// drawn are the training rows whose labels are known with a seed.
func (l *lab) drawn(r *regime, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, 100)).Perm(l.split.Train.Len())[:r.Labels]
}

// A line is an observer that says when a trial is done.
type line struct {
	w     io.Writer
	text  string
	trial study.Trial
}

func (*line) Start(distill.Plan) error { return nil }
func (*line) Step(distill.Step) error  { return nil }

func (l *line) Finish(r distill.Result, err error) error {
	if err == nil && r.Valid != nil {
		fmt.Fprintf(l.w, "[%2d/%d] %s: %.1f%% on validation data\n", l.trial.N, l.trial.Of, l.text, 100*r.Valid.Accuracy)
	}
	return nil
}

// A measured student or teacher, as summary.json has it. Accuracies are shares
// of the test rows, one for each seed.
type measured struct {
	Params   int       `json:"params"`
	Rate     float64   `json:"rate"`
	Accuracy []float64 `json:"test_accuracy"`
}

// A finding is what one regime came to.
type finding struct {
	Name       string           `json:"name"`
	Labels     int              `json:"labels"`
	Control    measured         `json:"control"`
	Student    measured         `json:"student"`
	Difference study.Difference `json:"difference"`
}

// A summary is the content of summary.json: the teacher, and the first regime
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

// conclude measures the teacher, prints the tables, and writes and draws what
// was found.
func (l *lab) conclude(ctx context.Context, regimes []regime) error {
	valid, err := distill.Measure(ctx, l.teacher, l.inOrder(l.split.Valid), nil)
	if err != nil {
		return err
	}
	m, err := distill.Measure(ctx, l.teacher, l.inOrder(l.split.Test), nil)
	if err != nil {
		return err
	}
	s := summary{Temperature: l.Temperature, Weight: l.Weight}
	s.Teacher.Params, s.Teacher.Accuracy = l.teacher.Size(), m.Accuracy
	fmt.Fprintf(l.log, "\nteacher: %d parameters, %.2f%% of the test rows right\n", s.Teacher.Params, 100*m.Accuracy)
	for i := range regimes {
		f, err := regimes[i].finding()
		if err != nil {
			return err
		}
		s.Regimes = append(s.Regimes, f)
		fmt.Fprintf(l.log, "\n%s, %d seeds\n%s", f.Name, l.Seeds, regimes[i].outcomes)
		fmt.Fprintf(l.log, "distilled - control: %+.2f points, 95%% interval %+.2f to %+.2f (over seeds only)\n",
			100*f.Difference.Mean, 100*f.Difference.Low, 100*f.Difference.High)
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
	return l.draw(ctx, regimes, report.Arm{Name: "teacher", Level: valid.Accuracy, Params: l.teacher.Size(), Test: []distill.Metrics{m}})
}

func (r *regime) finding() (finding, error) {
	d, err := r.outcomes.Compare(distilled, control)
	if err != nil {
		return finding{}, err
	}
	of := func(arm string) (m measured) {
		o, _ := r.outcomes.Of(arm) // Compare found it
		return measured{o.Params, o.Rate, o.Accuracies()}
	}
	return finding{Name: r.Name, Labels: r.Labels, Control: of(control), Student: of(distilled), Difference: d}, nil
}

// draw writes the curves of each regime, with the teacher's accuracy on
// validation data: those of the first one are curves.png.
func (l *lab) draw(ctx context.Context, regimes []regime, top report.Arm) error {
	for i, r := range regimes {
		name := "curves"
		if i > 0 {
			name += "-" + r.dir
		}
		arms, err := report.Arms(r.outcomes)
		if err != nil {
			return err
		}
		arms = append(arms, top)
		for _, format := range []report.Format{report.PNG, report.SVG} {
			file := filepath.Join(l.Out, name+"."+string(format))
			if err := drawTo(file, format, "Digits, "+r.Name, arms); err != nil {
				return err
			}
			fmt.Fprintln(l.log, "wrote", file)
		}
	}
	return l.page(ctx, regimes, top)
}

// page writes report.html: the arms of all regimes and, of the first seed of the
// first one, the students beside their teacher.
func (l *lab) page(ctx context.Context, regimes []regime, top report.Arm) (err error) {
	page := report.Page{Title: "Digits", Note: fmt.Sprintf("A student of %d parameters, taught by one of %d, beside the same student alone.", regimes[0].outcomes[0].Params, top.Params)}
	var models []report.Named
	for _, r := range regimes {
		arms, err := report.Arms(r.outcomes)
		if err != nil {
			return err
		}
		for i, a := range arms {
			if models = append(models, report.Named{Name: a.Name, Model: r.outcomes[i].Students[0]}); a.Control != "" {
				a.Control += ", " + r.Name
			}
			a.Name += ", " + r.Name
			page.Arms = append(page.Arms, a)
		}
	}
	page.Arms = append(page.Arms, top)
	if page.Examined, err = report.Examine(ctx, l.inOrder(l.split.Test), teacher.Of(l.teacher), models[:2]...); err != nil {
		return err
	}
	file := filepath.Join(l.Out, "report.html")
	if err := page.WriteFile(file); err != nil {
		return err
	}
	fmt.Fprintln(l.log, "wrote", file)
	return nil
}

func drawTo(file string, format report.Format, title string, arms []report.Arm) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := report.Compare(f, format, title, arms...); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
