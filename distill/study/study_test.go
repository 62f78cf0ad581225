package study

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/student"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// digits are the first rows of a part of the digits.
func digits(part func(data.Split) data.Set, rows int) data.Set {
	return must(data.Subset(part(must(data.Digits())), data.Range(0, rows)))
}

func train(rows int) data.Set { return digits(func(s data.Split) data.Set { return s.Train }, rows) }
func test(rows int) data.Set  { return digits(func(s data.Split) data.Set { return s.Test }, rows) }
func valid(rows int) data.Set { return digits(func(s data.Split) data.Set { return s.Valid }, rows) }

func inOrder(set data.Set) data.Loader { return data.Loader{Set: set, Batch: 30, InOrder: true} }

// small is a run of 2 epochs of 3 steps, on 58 rows.
func small(seed uint64, rate float64) *distill.Run {
	set := train(58)
	return &distill.Run{
		Student:   must(student.New(student.MLP{Hidden: []int{6}, Out: 10}, set.Spec(), seed)),
		Terms:     []distill.Term{{Name: "hard", Loss: distill.CrossEntropy{}}},
		Train:     data.Loader{Set: set, Batch: 20, Seed: seed},
		Valid:     inOrder(valid(50)),
		Optimizer: distill.SGD{Rate: distill.Constant(rate)},
		Epochs:    2,
		Seed:      seed,
	}
}

// arm makes small runs, changed.
func arm(name string, change func(*distill.Run)) Arm {
	return Arm{Name: name, Run: func(seed uint64, rate float64) (*distill.Run, error) {
		run := small(seed, rate)
		change(run)
		return run, nil
	}}
}

func same(*distill.Run) {}

func clipped(r *distill.Run) { r.Clip = 0.1 }

// twoArms is a study of 2 arms, 2 rates and 3 seeds.
func twoArms() *Study {
	return &Study{
		Arms:  []Arm{arm("control", same), arm("clipped", clipped)},
		Rates: []float64{1e-6, 0.5},
		Seeds: []uint64{3, 1, 2},
		Test:  inOrder(test(70)),
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v; want %q", err, want)
	}
}

// fingerprints compares students by their weights.
var fingerprints = cmp.Transformer("weights", (*student.Model).Fingerprint)

// What a study says is what its runs would have said alone.
func TestStudy(t *testing.T) {
	all, err := twoArms().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want Outcomes
	for a, change := range []func(*distill.Run){same, clipped} {
		o := Outcome{Arm: []string{"control", "clipped"}[a], Rate: 0.5, Params: 64*6 + 6 + 6*10 + 10}
		for i, seed := range []uint64{3, 1, 2} {
			run := small(seed, 0.5)
			change(run)
			o.Trials = append(o.Trials, Trial{Arm: o.Arm, Seed: seed, Rate: 0.5, N: 6*a + 4 + i, Of: 12})
			o.Valid = append(o.Valid, *must(run.Fit(t.Context())).Valid)
			o.Students = append(o.Students, run.Student)
			o.Test = append(o.Test, must(distill.Measure(t.Context(), run.Student, inOrder(test(70)), nil)))
		}
		want = append(want, o)
	}
	if diff := cmp.Diff(want, all, cmpopts.EquateNaNs(), fingerprints); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(all[0].Test, all[1].Test, cmpopts.EquateNaNs(), fingerprints) {
		t.Error("both arms came to the same")
	}
}

func TestEachArmHasItsRate(t *testing.T) {
	s := twoArms()
	s.Arms[1] = Arm{Name: "inverse", Run: func(seed uint64, rate float64) (*distill.Run, error) {
		return small(seed, 0.5e-6/rate), nil
	}}
	all, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Rate != 0.5 || all[1].Rate != 1e-6 {
		t.Errorf("rates %v and %v; want 0.5 and 1e-6", all[0].Rate, all[1].Rate)
	}
	if diff := cmp.Diff(all[0].Test, all[1].Test, cmpopts.EquateNaNs(), fingerprints); diff != "" {
		t.Errorf("the same runs differ: %s", diff)
	}
	s.Monitor = func(m distill.Metrics) float64 { return -m.Accuracy }
	if all, err = s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all[0].Rate != 1e-6 || all[1].Rate != 0.5 {
		t.Errorf("with a monitor, rates %v and %v; want 1e-6 and 0.5", all[0].Rate, all[1].Rate)
	}
}

// An arm may have rates of its own, and one without a choice needs no validation
// data.
func TestArmsHaveTheirRates(t *testing.T) {
	s := twoArms()
	s.Rates, s.Arms[0].Rates = []float64{0.5}, []float64{1e-6, 1e-3, 0.5}
	s.Arms[1] = arm("blind", func(r *distill.Run) { r.Valid = nil })
	var trials []Trial
	s.Observe = func(t Trial) []distill.Observer {
		trials = append(trials, t)
		return nil
	}
	all, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, trial := range trials {
		if trial.N != i+1 || trial.Of != 12 || len(trials) != 12 {
			t.Errorf("trial %d of %d is %d of %d; want 12 in order", i+1, len(trials), trial.N, trial.Of)
		}
	}
	if all[0].Rate != 0.5 || all[1].Rate != 0.5 || len(all[0].Valid) != 3 || len(all[1].Valid) != 0 {
		t.Errorf("rates %v and %v, with %d and %d validations; want 0.5 twice, with 3 and none", all[0].Rate, all[1].Rate, len(all[0].Valid), len(all[1].Valid))
	}
	if got := all.String(); !strings.Contains(got, " -  ") {
		t.Errorf("the table has no dash for what was not measured:\n%s", got)
	}
	s.Rates = []float64{0.5, 0.25}
	_, err = s.Run(t.Context())
	wantError(t, err, "study: blind: Arm.Run made a run without Valid; want validation data to choose one of 2 rates by")
}

func TestChoiceByMeanScore(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tests := map[string]struct {
		scores [6]float64 // of 3 rates with 2 seeds each
		want   float64    // 0: an error
	}{
		"mean, not the best": {[6]float64{0.9, 0.1, 0.6, 0.6, 0.8, 0.3}, 0.2},
		"equal":              {[6]float64{0.5, 0.7, 0.7, 0.5, 0.6, 0.6}, 0.1},
		"last":               {[6]float64{-3, -3, -2, -2, -1, -1}, 0.3},
		"no number":          {[6]float64{nan, 1, 0.1, 0.3, nan, nan}, 0.2},
		"infinite":           {[6]float64{-inf, -inf, nan, 1, -inf, 0}, 0.1},
		"never a number":     {[6]float64{nan, 1, inf, -inf, 1, nan}, 0},
	}
	for name, test := range tests {
		i := 0
		s := Study{
			Arms:  []Arm{arm("a", func(r *distill.Run) { r.Epochs = 1 })},
			Rates: []float64{0.1, 0.2, 0.3}, Seeds: []uint64{1, 2}, Test: inOrder(valid(3)),
			Monitor: func(distill.Metrics) float64 { i++; return test.scores[i-1] },
		}
		all, err := s.Run(t.Context())
		switch {
		case test.want == 0:
			wantError(t, err, `arm "a" diverged, or its score is no number, at each rate of [0.1 0.2 0.3]`)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case all[0].Rate != test.want || all[0].Trials[0].Rate != test.want:
			t.Errorf("%s: rate %v; want %v", name, all[0].Rate, test.want)
		}
	}
}

func TestDivergedRatesArePassedOver(t *testing.T) {
	s := twoArms()
	s.Rates = []float64{1e30, 0.5, 1e25}
	all, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Rate != 0.5 || len(all[0].Valid) != 3 {
		t.Errorf("rate %v with %d runs; want 0.5 with 3", all[0].Rate, len(all[0].Valid))
	}
	s.Rates = []float64{1e30, 1e25}
	_, err = s.Run(t.Context())
	wantError(t, err, `study: arm "control" diverged, or its score is no number, at each rate of [1e+30 1e+25]`)
}

// A watched source notes when it is read.
type watched struct {
	data.Source
	read func()
	err  error
}

func (w watched) Batches(ctx context.Context, epoch, from int) iter.Seq2[data.Batch, error] {
	w.read()
	if w.err != nil {
		return func(yield func(data.Batch, error) bool) { yield(data.Batch{}, w.err) }
	}
	return w.Source.Batches(ctx, epoch, from)
}

// A finish is an observer that calls itself when a run is done.
type finish func()

func (finish) Start(distill.Plan) error                 { return nil }
func (finish) Step(distill.Step) error                  { return nil }
func (f finish) Finish(_ distill.Result, _ error) error { f(); return nil }

func TestTestDataAreReadLast(t *testing.T) {
	s := twoArms()
	var events []string
	note := func(what string) func() { return func() { events = append(events, what) } }
	s.Observe = func(Trial) []distill.Observer { return []distill.Observer{finish(note("trial"))} }
	s.Test = watched{Source: s.Test, read: note("test")}
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := append(slices.Repeat([]string{"trial"}, 2*2*3), slices.Repeat([]string{"test"}, 2*3)...)
	if !slices.Equal(events, want) {
		t.Errorf("%q; want %q", events, want)
	}
	s.Test = watched{s.Test, func() {}, errors.New("unreadable")}
	_, err := s.Run(t.Context())
	wantError(t, err, "study: control on test data: unreadable")
}

func TestObserve(t *testing.T) {
	s := twoArms()
	s.Dir = t.TempDir()
	var trials []Trial
	s.Observe = func(t Trial) []distill.Observer { trials = append(trials, t); return nil }
	all, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []Trial
	for _, a := range []string{"control", "clipped"} {
		for _, rate := range []float64{1e-6, 0.5} {
			for _, seed := range []uint64{3, 1, 2} {
				dir := filepath.Join(s.Dir, a, fmt.Sprint("rate-", rate), fmt.Sprint("seed-", seed))
				want = append(want, Trial{a, seed, rate, dir, len(want) + 1, 12})
			}
		}
	}
	if diff := cmp.Diff(want, trials); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[3:6], all[0].Trials); diff != "" {
		t.Error(diff)
	}
	if got := trials[4].String(); got != "control rate 0.5 seed 1" {
		t.Errorf("%q", got)
	}
}

// Trials that go on at the same time come to the same, and an error of one ends
// them all.
func TestParallel(t *testing.T) {
	want, err := twoArms().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := twoArms()
	s.Parallel = 2
	var now, most atomic.Int32
	s.Observe = func(Trial) []distill.Observer {
		return []distill.Observer{distill.ObserverFunc(func(step distill.Step) error {
			switch step.N {
			case 1:
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(20 * time.Millisecond) // for the other one to begin
			case 6:
				now.Add(-1)
			}
			return nil
		})}
	}
	got, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), fingerprints); diff != "" {
		t.Error(diff)
	}
	if most.Load() != 2 {
		t.Errorf("%d trials went on at a time; want 2", most.Load())
	}
	broken := errors.New("broken")
	s.Observe = func(t Trial) []distill.Observer {
		return []distill.Observer{distill.ObserverFunc(func(step distill.Step) error {
			if t.Seed == 2 && step.N == 3 {
				return broken
			}
			return nil
		})}
	}
	if _, err := s.Run(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "study: control rate 1e-06 seed 2: ") {
		t.Errorf("the error is %v; want that of the trial which broke", err)
	}
}

// In parts it comes to the same, and no step is done twice.
func TestResume(t *testing.T) {
	whole, parts := twoArms(), twoArms()
	whole.Dir, parts.Dir = t.TempDir(), t.TempDir()
	want, err := whole.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts.Resume = true
	steps := 0
	runUntil := func(step int) (Outcomes, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		parts.Observe = func(Trial) []distill.Observer {
			return []distill.Observer{distill.ObserverFunc(func(distill.Step) error {
				if steps++; steps == step {
					cancel()
				}
				return nil
			})}
		}
		return parts.Run(ctx)
	}
	for _, step := range []int{1, 8, 43} { // a trial has 6 steps
		if _, err := runUntil(step); !errors.Is(err, context.Canceled) || steps != step {
			t.Fatalf("error %v after %d steps; want %v after %d", err, steps, context.Canceled, step)
		}
	}
	for _, what := range []string{"the rest", "again"} {
		got, err := runUntil(-1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), fingerprints, cmpopts.IgnoreFields(Trial{}, "Dir")); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if steps != 12*6 {
			t.Errorf("%s: %d steps; want %d", what, steps, 12*6)
		}
	}
	parts.Resume = false
	if _, err := runUntil(-1); err != nil || steps != 2*12*6 {
		t.Errorf("error %v and %d steps; want all done anew", err, steps-12*6)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := twoArms().Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want %v", err, context.Canceled)
	}
}

func TestUnlikeArms(t *testing.T) {
	loader := func(change func(*data.Loader)) func(*distill.Run) {
		return func(r *distill.Run) {
			l := r.Train.(data.Loader)
			change(&l)
			r.Train = l
		}
	}
	tests := map[string]struct {
		change func(*distill.Run)
		want   string
	}{
		"weights": {func(r *distill.Run) {
			r.Student = must(student.New(student.MLP{Hidden: []int{6}, Out: 10}, r.Student.Spec(), r.Seed+1))
		}, "the student's initial weights"},
		"epochs":     {func(r *distill.Run) { r.Epochs = 4 }, "Run.Epochs: 2 and 4"},
		"steps":      {func(r *distill.Run) { r.MaxSteps = 5 }, "Run.MaxSteps: 0 and 5"},
		"accumulate": {func(r *distill.Run) { r.Accumulate = 3 }, "Run.Accumulate: 1 and 3"},
		"batch":      {loader(func(l *data.Loader) { l.Batch = 29 }), "the batches of an epoch: 3 and 2"},
		"rows":       {loader(func(l *data.Loader) { l.Set = train(57) }), "the rows of an epoch: 58 and 57"},
		"views":      {loader(func(l *data.Loader) { l.Set = must(data.Shift{}.Of(l.Set)) }), "the views of a sample: 1 and 9"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := twoArms()
			s.Arms[1] = arm("other", test.change)
			s.Observe = func(Trial) []distill.Observer { t.Error("a trial was begun"); return nil }
			_, err := s.Run(t.Context())
			wantError(t, err, `study: with seed 3, the arms "control" and "other" differ in `+test.want)
		})
	}
	s := twoArms()
	s.Arms[1] = arm("other", func(r *distill.Run) {
		if r.Seed == 2 {
			r.Epochs = 4
		}
	})
	_, err := s.Run(t.Context())
	wantError(t, err, "study: with seed 2, the arms")
	s.Arms[1] = arm("alike", func(r *distill.Run) { r.Accumulate = 1 })
	if _, err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStudyRefuses(t *testing.T) {
	made := func(run *distill.Run, err error) func(*Study) {
		return func(s *Study) {
			s.Arms = []Arm{{Name: "made", Run: func(uint64, float64) (*distill.Run, error) { return run, err }}}
		}
	}
	changed := func(change func(*distill.Run)) func(*Study) {
		return func(s *Study) { s.Arms = []Arm{arm("changed", change)} }
	}
	flat := must(data.NewMemory(data.Signals{"x": tensor.New(tensor.WithShape(3, 64), tensor.Of(tensor.Float32))}, nil, nil))
	const incomplete = "study: made: Arm.Run made a run without Student or Train"
	tests := map[string]struct {
		change func(*Study)
		want   string
	}{
		"no arms":    {func(s *Study) { s.Arms = nil }, "study: Study.Arms is empty; want one arm or more"},
		"no rates":   {func(s *Study) { s.Rates = nil }, "study: Study.Rates is empty; want one learning rate or more"},
		"own rates":  {func(s *Study) { s.Arms[1].Rates = []float64{} }, "study: Study.Arms[1].Rates is empty; want one learning rate or more"},
		"own twice":  {func(s *Study) { s.Arms[1].Rates = []float64{3, 3} }, "study: Study.Arms[1].Rates has 3 twice; want each rate once"},
		"parallel":   {func(s *Study) { s.Parallel = -1 }, "study: Study.Parallel is -1; want 1 or more trials at a time, or 0 for 1"},
		"rate twice": {func(s *Study) { s.Rates = []float64{0.1, 0.5, 0.1} }, "study: Study.Rates has 0.1 twice; want each rate once"},
		"one seed":   {func(s *Study) { s.Seeds = s.Seeds[:1] }, "study: Study.Seeds has 1 seeds; want 2 or more"},
		"seed twice": {func(s *Study) { s.Seeds = []uint64{3, 1, 3} }, "study: Study.Seeds has 3 twice; want each seed once"},
		"no test":    {func(s *Study) { s.Test = nil }, "study: Study.Test is nil; want a data.Source"},
		"no dir":     {func(s *Study) { s.Resume = true }, "study: Study.Resume is true and Study.Dir is empty"},
		"no run":     {func(s *Study) { s.Arms[1].Run = nil }, "study: Study.Arms[1].Run is nil; want a function"},
		"no name":    {func(s *Study) { s.Arms[1].Name = "" }, `study: Study.Arms[1].Name is ""; want one that a folder can have`},
		"a way up":   {func(s *Study) { s.Arms[0].Name = ".." }, `study: Study.Arms[0].Name is ".."; want`},
		"a path":     {func(s *Study) { s.Arms[0].Name = "T=4/w=0.9" }, `study: Study.Arms[0].Name is "T=4/w=0.9"; want`},
		"a name twice": {func(s *Study) { s.Arms[1].Name = "control" },
			`study: Study.Arms[1].Name is "control", as that of another; want one of its own`},
		"empty test": {func(s *Study) { s.Test = data.Loader{Batch: 3} }, "study: Study.Test: data: Loader.Set is nil; want a Set"},
		"test is valid": {func(s *Study) { s.Test = inOrder(valid(50)) },
			`study: Study.Test and Run.Valid of the arm "control" are the same data; want test data of their own`},
		"test is train": {func(s *Study) { s.Test = inOrder(train(58)) }, `study: Study.Test and Run.Train of the arm "control" are the same data`},
		"other inputs":  {func(s *Study) { s.Test = inOrder(flat) }, "study: Study.Test has other inputs than the student wants"},
		"other classes": {changed(func(r *distill.Run) {
			spec := r.Student.Spec()
			spec.Classes = []string{"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"}
			r.Student = must(student.New(student.MLP{Out: 10}, spec, 1))
		}), "study: Study.Test has other classes than the student"},
		"an error":    {made(nil, errors.New("no memory")), "study: made: no memory"},
		"nil":         {made(nil, nil), incomplete},
		"no student":  {made(&distill.Run{Train: inOrder(test(3)), Valid: inOrder(test(3))}, nil), incomplete},
		"no training": {made(&distill.Run{Student: small(1, 1).Student, Valid: inOrder(test(3))}, nil), incomplete},
		"no valid":    {made(&distill.Run{Student: small(1, 1).Student, Train: inOrder(test(3))}, nil), "study: made: Arm.Run made a run without Valid"},
		"refused run": {func(s *Study) { s.Rates[0] = -1 }, "study: control rate -1 seed 3: distill: "},
		"too short": {changed(func(r *distill.Run) { r.Budget = time.Nanosecond; r.Epochs = 2 }),
			"study: changed rate 1e-06 seed 3: the run ended before it was measured on Run.Valid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := twoArms()
			test.change(s)
			all, err := s.Run(t.Context())
			wantError(t, err, test.want)
			if all != nil {
				t.Errorf("outcomes %v", all)
			}
		})
	}
}

func TestSeeds(t *testing.T) {
	if got := Seeds(3); !slices.Equal(got, []uint64{1, 2, 3}) || Seeds(-1) != nil {
		t.Errorf("%v, and %v of -1; want 1 to 3, and none", got, Seeds(-1))
	}
}

func TestOutcomes(t *testing.T) {
	of := func(arm string, rate float64, right ...float64) Outcome {
		o := Outcome{Arm: arm, Rate: rate, Params: 123}
		for i, a := range right {
			o.Valid = append(o.Valid, distill.Metrics{Accuracy: a - 0.5})
			o.Test = append(o.Test, distill.Metrics{Accuracy: a, NLL: float64(i)})
		}
		return o
	}
	all := Outcomes{of("control", 0.01, 0.6, 0.7, 0.8), of("distilled", 0.5, 0.7, 0.9, 0.8), of("one", 1, 0.5)}
	const want = `arm        parameters  rate  validation %   test %         test NLL
control    123         0.01  20.00 ± 10.00  70.00 ± 10.00  1.000
distilled  123         0.5   30.00 ± 10.00  80.00 ± 10.00  1.000
one        123         1     -              -              0.000
`
	if diff := cmp.Diff(want, all.String()); diff != "" {
		t.Error(diff)
	}
	o, err := all.Of("distilled")
	if diff := cmp.Diff([]float64{0.7, 0.9, 0.8}, o.Accuracies()); err != nil || diff != "" {
		t.Errorf("error %v: %s", err, diff)
	}
	// Differences 0.1, 0.2, 0: SD 0.1, t(2) = 4.3026527.
	d, err := all.Compare("distilled", "control")
	if err != nil || math.Abs(d.Mean-0.1) > 1e-9 || math.Abs(d.High-0.1-4.3026527*0.1/math.Sqrt(3)) > 1e-7 {
		t.Errorf("%v, error %v", d, err)
	}
	for _, pair := range [][2]string{{"nobody", "control"}, {"control", "nobody"}} {
		_, err = all.Compare(pair[0], pair[1])
		wantError(t, err, `study: there is no arm "nobody"`)
	}
	_, err = all.Compare("control", "one")
	wantError(t, err, "study: a has 3 values and b 1; want pairs")
}
