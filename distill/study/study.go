package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// An Arm is one way to train the student.
type Arm struct {
	Name string
	// Run makes the run of a seed at a learning rate, with a new student. The
	// study sets its Name, Dir and Resume.
	Run func(seed uint64, rate float64) (*distill.Run, error)
}

// A Study trains the same student in several ways, each with the same seeds,
// initial weights, number of steps and visits to rows; it refuses arms that are
// not alike in these. Each arm has the learning rate that is best for it on
// validation data, as a mean over the seeds. The test data are read once, after
// all that was decided.
type Study struct {
	Arms  []Arm
	Rates []float64 // learning rates to choose from, one or more
	Seeds []uint64  // two or more
	Test  data.Source
	// Monitor says what better is on validation; nil is accuracy.
	Monitor distill.Monitor
	// Dir has a folder for each trial; "" keeps nothing. Resume goes on with
	// the trials that are there.
	Dir    string
	Resume bool
	// Observe makes the observers of a trial; nil means none.
	Observe func(Trial) []distill.Observer
}

// A Trial is one run of a study.
type Trial struct {
	// Arm, Seed and Rate, the learning rate, tell it from the others.
	Arm  string
	Seed uint64
	Rate float64
	// Dir is the folder of the trial, "" if nothing is kept.
	Dir string
	// N is its number, from 1, and Of how many there are.
	N, Of int
}

// String is the name of the trial, as in "control rate 0.01 seed 3".
func (t Trial) String() string { return fmt.Sprintf("%s rate %v seed %d", t.Arm, t.Rate, t.Seed) }

// An Outcome is what an arm came to at its learning rate, seed by seed.
type Outcome struct {
	Arm    string
	Rate   float64
	Params int // of the student
	// Trials are those at the rate, and Valid and Test the metrics of their
	// students.
	Trials      []Trial
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

// Run does all trials, chooses the learning rates and measures on test data.
func (s *Study) Run(ctx context.Context) (Outcomes, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if err := s.checkAlike(); err != nil {
		return nil, err
	}
	all := make(Outcomes, len(s.Arms))
	students := make([][]*student.Model, len(s.Arms))
	for i := range s.Arms {
		var err error
		if all[i], students[i], err = s.choose(ctx, i); err != nil {
			return nil, err
		}
	}
	for i := range all {
		for _, m := range students[i] {
			t, err := distill.Measure(ctx, m, s.Test, nil)
			if err != nil {
				return nil, fmt.Errorf("study: %s on test data: %w", all[i].Arm, err)
			}
			all[i].Test = append(all[i].Test, t)
		}
	}
	return all, nil
}

func (s *Study) validate() error {
	switch {
	case len(s.Arms) == 0:
		return errors.New("study: Study.Arms is empty; want one arm or more")
	case len(s.Rates) == 0:
		return errors.New("study: Study.Rates is empty; want one learning rate or more")
	case len(s.Seeds) < 2:
		return fmt.Errorf("study: Study.Seeds has %d seeds; want 2 or more, for there to be an interval", len(s.Seeds))
	case s.Test == nil:
		return errors.New("study: Study.Test is nil; want a data.Source")
	}
	seen := map[string]bool{}
	for i, a := range s.Arms {
		if a.Name == "" || a.Run == nil || seen[a.Name] {
			return fmt.Errorf("study: Study.Arms[%d] %q has no Run, no name or that of another", i, a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

// choose runs an arm at every rate and keeps what the best one came to.
func (s *Study) choose(ctx context.Context, arm int) (best Outcome, students []*student.Model, err error) {
	score := math.Inf(-1)
	for r := range s.Rates {
		o, m, err := s.runAll(ctx, arm, r)
		if errors.Is(err, distill.ErrDiverged) {
			continue
		}
		if err != nil {
			return best, nil, err
		}
		if v := s.score(o.Valid); students == nil || v > score {
			best, students, score = o, m, v
		}
	}
	if students == nil {
		return best, nil, fmt.Errorf("study: arm %q diverged at every rate of %v", s.Arms[arm].Name, s.Rates)
	}
	return best, students, nil
}

// score is the mean over the seeds.
func (s *Study) score(all []distill.Metrics) float64 {
	monitor := s.Monitor
	if monitor == nil {
		monitor = distill.ByAccuracy
	}
	sum := 0.0
	for _, m := range all {
		sum += monitor(m)
	}
	return sum / float64(len(all))
}

// runAll runs an arm at one rate with every seed.
func (s *Study) runAll(ctx context.Context, arm, rate int) (Outcome, []*student.Model, error) {
	o := Outcome{Arm: s.Arms[arm].Name, Rate: s.Rates[rate]}
	var students []*student.Model
	for i, seed := range s.Seeds {
		t := Trial{
			Arm: o.Arm, Seed: seed, Rate: o.Rate,
			N: (arm*len(s.Rates)+rate)*len(s.Seeds) + i + 1, Of: len(s.Arms) * len(s.Rates) * len(s.Seeds),
		}
		if s.Dir != "" {
			t.Dir = filepath.Join(s.Dir, t.Arm, fmt.Sprintf("rate-%v", t.Rate), fmt.Sprintf("seed-%d", seed))
		}
		run, err := s.Arms[arm].Run(seed, o.Rate)
		if err != nil {
			return o, nil, fmt.Errorf("study: %v: %w", t, err)
		}
		result, err := s.fit(ctx, run, t)
		if err != nil {
			return o, nil, fmt.Errorf("study: %v: %w", t, err)
		}
		if result.Valid == nil {
			return o, nil, fmt.Errorf("study: %v: no epoch was measured on validation data", t)
		}
		o.Params = run.Student.Size()
		o.Trials = append(o.Trials, t)
		o.Valid = append(o.Valid, *result.Valid)
		students = append(students, run.Student)
	}
	return o, students, nil
}

func (s *Study) fit(ctx context.Context, run *distill.Run, t Trial) (*distill.Result, error) {
	if run.Valid == nil {
		return nil, errors.New("Run.Valid is nil; a study chooses on validation data")
	}
	run.Name, run.Dir, run.Resume = cmp.Or(run.Name, t.Arm), t.Dir, s.Resume && t.Dir != ""
	var observers []distill.Observer
	if s.Observe != nil {
		observers = s.Observe(t)
	}
	return run.Fit(ctx, observers...)
}

// An effort is what arms have to have in common, for each seed.
type effort struct {
	weights                      [32]byte
	epochs, maxSteps, accumulate int
	batches, rows, views         int
}

// checkAlike refuses arms that do not get the same chance.
func (s *Study) checkAlike() error {
	for _, seed := range s.Seeds {
		var first effort
		for i, a := range s.Arms {
			run, err := a.Run(seed, s.Rates[0])
			if err != nil {
				return fmt.Errorf("study: %s: %w", a.Name, err)
			}
			e, err := effortOf(run)
			if err != nil {
				return fmt.Errorf("study: %s: %w", a.Name, err)
			}
			if i == 0 {
				first = e
			}
			if what := first.differs(e); what != "" {
				return fmt.Errorf("study: with seed %d, the arms %q and %q differ in %s", seed, s.Arms[0].Name, a.Name, what)
			}
		}
	}
	return nil
}

func effortOf(run *distill.Run) (effort, error) {
	if run.Student == nil || run.Train == nil {
		return effort{}, errors.New("Run.Student or Run.Train is nil")
	}
	e := effort{
		weights: run.Student.Fingerprint(), epochs: run.Epochs, maxSteps: run.MaxSteps,
		accumulate: max(run.Accumulate, 1), views: run.Train.Spec().Views,
	}
	if c, ok := run.Train.(data.Counted); ok {
		e.batches = c.Len()
	}
	if l, ok := run.Train.(data.Loader); ok && l.Set != nil {
		e.rows = l.Set.Len()
	}
	return e, nil
}

// differs names what is not the same in e and o, "" if nothing.
func (e effort) differs(o effort) string {
	switch {
	case e.weights != o.weights:
		return "the student's initial weights"
	case e.epochs != o.epochs || e.maxSteps != o.maxSteps || e.accumulate != o.accumulate || e.batches != o.batches:
		return fmt.Sprintf("their steps: %d and %d epochs of %d and %d batches, at most %d and %d steps, %d and %d batches a step",
			e.epochs, o.epochs, e.batches, o.batches, e.maxSteps, o.maxSteps, e.accumulate, o.accumulate)
	case e.rows != o.rows:
		return fmt.Sprintf("the rows of an epoch: %d and %d", e.rows, o.rows)
	case e.views != o.views:
		return fmt.Sprintf("the views of a sample: %d and %d", e.views, o.views)
	}
	return ""
}
