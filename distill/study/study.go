// Package study compares ways of training over several seeds.
//
// One run says little: the next seed may say otherwise. A [Study] trains the
// same student in several ways, its arms, each with the same seeds:
//
//	s := study.Study{
//		Arms: []study.Arm{
//			{Name: "control", Run: control}, // func(seed uint64, rate float64) (*distill.Run, error)
//			{Name: "distilled", Run: distilled},
//		},
//		Rates: []float64{0.01, 0.02, 0.04}, // of which each arm gets its best
//		Seeds: []uint64{1, 2, 3, 4, 5},
//		Test:  data.Loader{Set: digits.Test, Batch: 100, InOrder: true},
//	}
//	outcomes, err := s.Run(ctx)
//	if err != nil {
//		return err
//	}
//	fmt.Print(outcomes)
//	fmt.Println(outcomes.Compare("distilled", "control")) // 0.1072 [0.0585, 0.1559] <nil>
//
// It refuses arms that do not get the same chance, and a single seed, which has
// no interval. [Paired] and [Summarize] do the arithmetic for numbers that come
// from elsewhere.
package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// An Arm is one way to train the student.
type Arm struct {
	// Name is also that of the arm's folder.
	Name string
	// Run makes the run of a seed at a learning rate, with a new student and
	// with validation data. The study sets its Dir and Resume, and its Name
	// where that is empty. A run that is only looked at, to compare the arms,
	// is made before the first trial.
	Run func(seed uint64, rate float64) (*distill.Run, error)
}

// A Study trains the same student in several ways, each with the same seeds,
// initial weights, number of steps and visits to rows; it refuses arms that are
// not alike in these. Each arm gets the learning rate at which its score on
// validation data, the mean over the seeds, is highest; of equal ones the first.
// A rate at which a run diverges is passed over. The test data are read after
// all that was decided.
type Study struct {
	// Arms are compared, one or more.
	Arms []Arm
	// Rates are the learning rates to choose from, one or more, no two alike.
	Rates []float64
	// Seeds are two or more, no two alike.
	Seeds []uint64
	// Test is what the outcomes are measured on: other data than any arm's Train
	// and Valid.
	Test data.Source
	// Monitor is the score; nil is the accuracy.
	Monitor distill.Monitor
	// Dir has a folder for each trial; "" keeps nothing. Resume goes on with
	// the trials that are there, of which those that ended are not done again.
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

// Run does all trials, chooses the learning rates and measures on test data.
func (s *Study) Run(ctx context.Context) (Outcomes, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if err := s.checkAlike(); err != nil {
		return nil, err
	}
	all := make(Outcomes, len(s.Arms))
	for i := range s.Arms {
		var err error
		if all[i], err = s.choose(ctx, i); err != nil {
			return nil, err
		}
	}
	for i := range all {
		for _, m := range all[i].Students {
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
	case s.Resume && s.Dir == "":
		return errors.New("study: Study.Resume is true and Study.Dir is empty; want the folder of the trials")
	}
	if rate, ok := twice(s.Rates); ok {
		return fmt.Errorf("study: Study.Rates has %v twice; want each rate once", rate)
	}
	// The same run twice would make the interval narrower than it is.
	if seed, ok := twice(s.Seeds); ok {
		return fmt.Errorf("study: Study.Seeds has %d twice; want each seed once", seed)
	}
	if t, ok := s.Test.(interface{ Validate() error }); ok {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("study: Study.Test: %w", err)
		}
	}
	return s.validateArms()
}

// twice is an element that all has more than once, if there is one.
func twice[E comparable](all []E) (e E, ok bool) {
	for i, e := range all {
		if slices.Contains(all[:i], e) {
			return e, true
		}
	}
	return e, false
}

func (s *Study) validateArms() error {
	seen := map[string]bool{}
	for i, a := range s.Arms {
		switch {
		case a.Run == nil:
			return fmt.Errorf("study: Study.Arms[%d].Run is nil; want a function", i)
		case !filepath.IsLocal(a.Name) || filepath.Base(a.Name) != a.Name:
			return fmt.Errorf("study: Study.Arms[%d].Name is %q; want one that a folder can have", i, a.Name)
		case seen[a.Name]:
			return fmt.Errorf("study: Study.Arms[%d].Name is %q, as that of another; want one of its own", i, a.Name)
		}
		seen[a.Name] = true
	}
	return nil
}

// choose runs an arm at every rate and keeps what the best one came to.
func (s *Study) choose(ctx context.Context, arm int) (best Outcome, err error) {
	top := math.NaN()
	for rate := range s.Rates {
		o, err := s.runAll(ctx, arm, rate)
		if errors.Is(err, distill.ErrDiverged) {
			continue
		}
		if err != nil {
			return best, err
		}
		// A score that is no number is like a run that diverged.
		if v := s.score(o.Valid); v > top || best.Students == nil && !math.IsNaN(v) {
			best, top = o, v
		}
	}
	if best.Students == nil {
		return best, fmt.Errorf("study: arm %q diverged, or its score is no number, at each rate of %v", s.Arms[arm].Name, s.Rates)
	}
	return best, nil
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
func (s *Study) runAll(ctx context.Context, arm, rate int) (Outcome, error) {
	o := Outcome{Arm: s.Arms[arm].Name, Rate: s.Rates[rate]}
	for seed := range s.Seeds {
		t := s.trial(arm, rate, seed)
		model, valid, err := s.fit(ctx, s.Arms[arm], t)
		if err != nil {
			return o, fmt.Errorf("study: %v: %w", t, err)
		}
		o.Params = model.Size()
		o.Trials, o.Students, o.Valid = append(o.Trials, t), append(o.Students, model), append(o.Valid, valid)
	}
	return o, nil
}

// trial is that of the arm, the rate and the seed with these indices.
func (s *Study) trial(arm, rate, seed int) Trial {
	t := Trial{
		Arm: s.Arms[arm].Name, Seed: s.Seeds[seed], Rate: s.Rates[rate],
		N: (arm*len(s.Rates)+rate)*len(s.Seeds) + seed + 1, Of: len(s.Arms) * len(s.Rates) * len(s.Seeds),
	}
	if s.Dir != "" {
		t.Dir = filepath.Join(s.Dir, t.Arm, fmt.Sprintf("rate-%v", t.Rate), fmt.Sprintf("seed-%d", t.Seed))
	}
	return t
}

// fit is the student that a trial came to, with its validation metrics.
func (s *Study) fit(ctx context.Context, a Arm, t Trial) (*student.Model, distill.Metrics, error) {
	run, err := a.newRun(t.Seed, t.Rate)
	if err != nil {
		return nil, distill.Metrics{}, err
	}
	run.Name, run.Dir, run.Resume = cmp.Or(run.Name, t.Arm), t.Dir, s.Resume
	var observers []distill.Observer
	if s.Observe != nil {
		observers = s.Observe(t)
	}
	result, err := run.Fit(ctx, observers...)
	switch {
	case err != nil:
		return nil, distill.Metrics{}, err
	case result.Valid == nil:
		return nil, distill.Metrics{}, errors.New("the run ended before it was measured on Run.Valid")
	}
	return run.Student, *result.Valid, nil
}

// newRun calls Run, and sees to it that there is what a study looks at.
func (a Arm) newRun(seed uint64, rate float64) (*distill.Run, error) {
	run, err := a.Run(seed, rate)
	switch {
	case err != nil:
		return nil, err
	case run == nil || run.Student == nil || run.Train == nil || run.Valid == nil:
		return nil, errors.New("Arm.Run made a run without Student, Train or Valid; a study wants all three")
	}
	return run, nil
}
