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
//		Seeds: study.Seeds(5),
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
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

// An Arm is one way to train the student.
type Arm struct {
	// Name is also that of the arm's folder.
	Name string
	// Run makes the run of a seed at a learning rate, with a new student, and
	// with validation data if there is more than one rate to choose from. The
	// study sets its Dir and Resume, and its Name where that is empty. A run that
	// is only looked at, to compare the arms, is made before the first trial.
	Run func(seed uint64, rate float64) (*distill.Run, error)
	// Rates are the arm's own learning rates; nil means those of the study.
	Rates []float64
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
	// Rates are the learning rates to choose from, one or more, no two alike, of
	// arms that have none of their own.
	Rates []float64
	// Seeds are two or more, no two alike, as those of [Seeds] are.
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
	// Parallel is how many trials, of one arm and rate, go on at the same time; 0
	// means 1. Small networks leave processors idle otherwise. The outcomes are
	// the same, and Arm.Run and Observe are not called side by side, but observers
	// of different trials are.
	Parallel int
}

// Seeds are the seeds from 1 to n.
func Seeds(n int) (all []uint64) {
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
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
	case len(s.Seeds) < 2:
		return fmt.Errorf("study: Study.Seeds has %d seeds; want 2 or more, for there to be an interval", len(s.Seeds))
	case s.Test == nil:
		return errors.New("study: Study.Test is nil; want a data.Source")
	case s.Parallel < 0:
		return fmt.Errorf("study: Study.Parallel is %d; want 1 or more trials at a time, or 0 for 1", s.Parallel)
	case s.Resume && s.Dir == "":
		return errors.New("study: Study.Resume is true and Study.Dir is empty; want the folder of the trials")
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
		if err := s.validateRates(i); err != nil {
			return err
		}
	}
	return nil
}

// validateRates refuses rates that leave an arm no choice, or the same one twice.
func (s *Study) validateRates(arm int) error {
	field := fmt.Sprintf("Study.Arms[%d].Rates", arm)
	if s.Arms[arm].Rates == nil {
		field = "Study.Rates"
	}
	rates := s.rates(arm)
	if len(rates) == 0 {
		return fmt.Errorf("study: %s is empty; want one learning rate or more", field)
	}
	if rate, ok := twice(rates); ok {
		return fmt.Errorf("study: %s has %v twice; want each rate once", field, rate)
	}
	return nil
}

// rates are those that an arm chooses from.
func (s *Study) rates(arm int) []float64 {
	if own := s.Arms[arm].Rates; own != nil {
		return own
	}
	return s.Rates
}

// choose runs an arm at every rate and keeps what the best one came to.
func (s *Study) choose(ctx context.Context, arm int) (best Outcome, err error) {
	top, rates := math.NaN(), s.rates(arm)
	for rate := range rates {
		o, err := s.runAll(ctx, arm, rate)
		switch {
		case errors.Is(err, distill.ErrDiverged) && len(rates) > 1:
			continue
		case err != nil:
			return best, err
		case len(rates) == 1:
			return o, nil
		}
		// A score that is no number is like a run that diverged.
		if v := s.score(o.Valid); v > top || best.Students == nil && !math.IsNaN(v) {
			best, top = o, v
		}
	}
	if best.Students == nil {
		return best, fmt.Errorf("study: arm %q diverged, or its score is no number, at each rate of %v", s.Arms[arm].Name, rates)
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
	o := Outcome{Arm: s.Arms[arm].Name, Rate: s.rates(arm)[rate]}
	runs := make([]fitted, len(s.Seeds))
	for seed := range s.Seeds {
		runs[seed].Trial = s.trial(arm, rate, seed)
	}
	if err := s.fitAll(ctx, s.Arms[arm], runs); err != nil {
		return o, err
	}
	for _, r := range runs {
		o.Params = r.student.Size()
		o.Trials, o.Students = append(o.Trials, r.Trial), append(o.Students, r.student)
		if r.valid != nil {
			o.Valid = append(o.Valid, *r.valid)
		}
	}
	return o, nil
}

// A fitted trial is what it came to; valid is nil if there are no such data.
type fitted struct {
	Trial
	student *student.Model
	valid   *distill.Metrics
}

// fitAll fits trials, some at the same time. The first that fails ends the others.
func (s *Study) fitAll(ctx context.Context, a Arm, runs []fitted) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(max(s.Parallel, 1))
	var making sync.Mutex
	for i := range runs {
		all.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.fit(ctx, a, &runs[i], &making); err != nil {
				return fmt.Errorf("study: %v: %w", runs[i].Trial, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// trial is that of the arm, the rate and the seed with these indices.
func (s *Study) trial(arm, rate, seed int) Trial {
	t := Trial{Arm: s.Arms[arm].Name, Seed: s.Seeds[seed], Rate: s.rates(arm)[rate]}
	for i := range s.Arms {
		n := len(s.rates(i)) * len(s.Seeds)
		if t.Of += n; i < arm {
			t.N += n
		}
	}
	t.N += rate*len(s.Seeds) + seed + 1
	if s.Dir != "" {
		t.Dir = filepath.Join(s.Dir, t.Arm, fmt.Sprintf("rate-%v", t.Rate), fmt.Sprintf("seed-%d", t.Seed))
	}
	return t
}

// fit does a trial. What it is made of is made under the lock.
func (s *Study) fit(ctx context.Context, a Arm, t *fitted, making sync.Locker) error {
	run, observers, err := s.make(a, t.Trial, making)
	if err != nil {
		return err
	}
	result, err := run.Fit(ctx, observers...)
	switch {
	case err != nil:
		return err
	case result.Valid == nil && run.Valid != nil:
		return errors.New("the run ended before it was measured on Run.Valid")
	}
	t.student, t.valid = run.Student, result.Valid
	return nil
}

func (s *Study) make(a Arm, t Trial, making sync.Locker) (run *distill.Run, observers []distill.Observer, err error) {
	making.Lock()
	defer making.Unlock()
	if run, err = a.newRun(t.Seed, t.Rate); err != nil {
		return nil, nil, err
	}
	run.Name, run.Dir, run.Resume = cmp.Or(run.Name, t.Arm), t.Dir, s.Resume
	if s.Observe != nil {
		observers = s.Observe(t)
	}
	return run, observers, nil
}

// newRun calls Run, and sees to it that there is what a study looks at.
func (a Arm) newRun(seed uint64, rate float64) (*distill.Run, error) {
	run, err := a.Run(seed, rate)
	switch {
	case err != nil:
		return nil, err
	case run == nil || run.Student == nil || run.Train == nil:
		return nil, errors.New("Arm.Run made a run without Student or Train; a study wants both")
	}
	return run, nil
}
