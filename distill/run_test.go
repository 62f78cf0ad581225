package distill

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/internal/atomicfile"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStepsTellWhatWasDone(t *testing.T) {
	r := toyRun[float32]()
	var best []bool
	for i, s := range traceOf(t, r).steps {
		rows := 8
		if i%6 == 5 {
			rows = 6
		}
		if s.N != i+1 || s.Epoch != i/6 || s.End != (i%6 == 5) || s.Rows != rows {
			t.Errorf("step %d: N %d, epoch %d, end %t, %d rows", i+1, s.N, s.Epoch, s.End, s.Rows)
		}
		if s.Rate != r.Optimizer.LearningRate(i) || !(s.GradNorm > 0) || len(s.Terms) != 3 || !(s.Accuracy >= 0 && s.Accuracy <= 1) {
			t.Errorf("step %d: rate %v, norm %v, terms %v, accuracy %v", s.N, s.Rate, s.GradNorm, s.Terms, s.Accuracy)
		}
		sum := 0.0
		for _, term := range s.Terms {
			sum += term.Weight * term.Value
		}
		if sum != s.Loss {
			t.Errorf("step %d: the loss is %v, the sum of its terms %v", s.N, s.Loss, sum)
		}
		if (s.Valid != nil) != s.End || s.Best && s.Valid == nil {
			t.Errorf("step %d: end %t, valid %v, best %t", s.N, s.End, s.Valid, s.Best)
		}
		if s.End {
			best = append(best, s.Best)
		}
	}
	if len(best) != 3 || !best[0] {
		t.Errorf("best %v; want three epochs, and the first better than none", best)
	}
}

// At the last step of an epoch the terms are measured as they were weighed in it.
func TestValidationIsOfTheStep(t *testing.T) {
	r := toyRun[float32]()
	r.Terms = []Term{{Name: "soft", Weight: Linear(1, 0, 18), Loss: KL{T: Linear(4, 0, 18)}}}
	r.Optimizer = SGD{Rate: Constant(1e-30)}
	for _, s := range traceOf(t, r).steps {
		if s.Valid != nil && (s.Valid.Terms[0].Weight != s.Terms[0].Weight || !isNumber(s.Valid.Loss)) {
			t.Errorf("step %d: validation %+v; want the weight %v", s.N, *s.Valid, s.Terms[0].Weight)
		}
	}
}

func TestEndings(t *testing.T) {
	for name, test := range map[string]struct {
		change        func(*Run)
		why           Ending
		steps, epochs int
	}{
		"epochs":           {func(r *Run) {}, Finished, 18, 3},
		"steps":            {func(r *Run) { r.MaxSteps = 8 }, Finished, 8, 1},
		"steps alone":      {func(r *Run) { r.Epochs, r.MaxSteps = 0, 20 }, Finished, 20, 3},
		"epochs first":     {func(r *Run) { r.MaxSteps = 100 }, Finished, 18, 3},
		"accumulated":      {func(r *Run) { r.Accumulate = 4 }, Finished, 6, 3},
		"accumulated more": {func(r *Run) { r.Accumulate = 100 }, Finished, 3, 3},
		"a budget":         {func(r *Run) { r.Budget = 1 }, OutOfTime, 0, 0},
		"a long budget":    {func(r *Run) { r.Budget = time.Hour }, Finished, 18, 3},
		"patience": {func(r *Run) {
			r.Epochs, r.Patience, r.Optimizer, r.Terms = 9, 2, SGD{Rate: Constant(1e-30)}, Hinton(2, 0.5)
		}, EarlyStopped, 18, 3},
		"patience to come": {func(r *Run) { r.Patience, r.Optimizer, r.Terms = 3, SGD{Rate: Constant(1e-30)}, Hinton(2, 0.5) }, Finished, 18, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := toyRun[float32]()
			test.change(r)
			got := fit(t, r)
			if got.Why != test.why || got.Steps != test.steps || got.Epochs != test.epochs {
				t.Errorf("%+v; want %q after %d steps, %d epochs", got, test.why, test.steps, test.epochs)
			}
			if (got.Valid != nil) != (test.epochs > 0) || (got.BestEpoch >= 0) != (test.epochs > 0) {
				t.Errorf("valid %v, best epoch %d", got.Valid, got.BestEpoch)
			}
		})
	}
}

func TestBestEpochIsRestored(t *testing.T) {
	r := toyRun[float32]()
	r.Monitor = scores(0, 1, 0)
	var weights [][]float64
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.End {
			for p := range r.Student.Params() {
				weights = append(weights, slices.Clone(wide(p.Value)))
			}
		}
	}
	if len(weights) != 12 || slices.Equal(weights[4], weights[8]) {
		t.Fatalf("%d weights, or the epochs have the same", len(weights))
	}
	i := 4
	for p := range r.Student.Params() {
		if !slices.Equal(weights[i], wide(p.Value)) {
			t.Errorf("%s is not that of epoch 1", p.Name)
		}
		i++
	}
}

// scores is a monitor that likes the epochs of the toy run so much, whose
// validation losses all differ.
func scores(each ...float64) Monitor {
	var seen []float64
	return func(m Metrics) float64 {
		i := slices.Index(seen, m.Loss)
		if i < 0 {
			i, seen = len(seen), append(seen, m.Loss)
		}
		return each[i]
	}
}

// A watcher is an observer that writes down what it is told, and fails when it
// is told to.
type watcher struct {
	log  *[]string
	name string
	fail string
}

var errWatcher = errors.New("the watcher is tired")

func (w watcher) note(what string) error {
	*w.log = append(*w.log, w.name+" "+what)
	if what == w.fail {
		return errWatcher
	}
	return nil
}

func (w watcher) Start(p Plan) error {
	if p.Steps != 2 || p.StepsPerEpoch != 6 || p.Name != "run" || p.Preflight == nil || !slices.Equal(p.Terms, []string{"hard", "soft", "hint"}) || len(p.Config) == 0 {
		return errors.New("the plan is wrong")
	}
	return w.note("start")
}
func (w watcher) Step(s Step) error { return w.note("step " + string(rune('0'+s.N))) }
func (w watcher) Finish(r Result, err error) error {
	if err != nil {
		return w.note("finish badly")
	}
	return w.note("finish " + string(r.Why))
}

func TestObservers(t *testing.T) {
	for fail, want := range map[string]string{
		"":                "a start, b start, a step 1, b step 1, a step 2, b step 2, a finish finished, b finish finished",
		"start":           "a start, b start, a finish badly",
		"step 1":          "a start, b start, a step 1, b step 1, a finish badly, b finish badly",
		"step 2":          "a start, b start, a step 1, b step 1, a step 2, b step 2, a finish badly, b finish badly",
		"finish finished": "a start, b start, a step 1, b step 1, a step 2, b step 2, a finish finished, b finish finished",
	} {
		r := toyRun[float32]()
		r.MaxSteps = 2
		var log []string
		seen := 0
		result, err := r.Fit(t.Context(), watcher{&log, "a", ""}, watcher{&log, "b", fail}, ObserverFunc(func(Step) error { seen++; return nil }))
		if got := strings.Join(log, ", "); got != want {
			t.Errorf("failing at %q: %s; want %s", fail, got, want)
		}
		if (fail == "") != (err == nil) || fail != "" && !errors.Is(err, errWatcher) {
			t.Errorf("failing at %q: error %v; want %v", fail, err, errWatcher)
		}
		if fail == "step 1" && (result.Steps != 1 || result.Why != Interrupted || seen != 0) {
			t.Errorf("%+v after %d steps; want 1, interrupted", result, seen)
		}
	}
}

// After a break there is nobody to yield an error to.
func TestErrorAfterBreak(t *testing.T) {
	var out bytes.Buffer
	r := toyRun[float32]()
	r.Log = slog.New(slog.NewTextHandler(&out, nil))
	r.Teacher = newMoody(2)
	for range r.Steps(t.Context()) {
		break
	}
	if !strings.Contains(out.String(), ErrTeacherChanged.Error()) {
		t.Errorf("the log is %q; want %v", out.String(), ErrTeacherChanged)
	}
	r.Teacher = newMoody(2)
	_, err := r.Fit(t.Context(), ObserverFunc(func(Step) error { return errWatcher }))
	if !errors.Is(err, errWatcher) || !errors.Is(err, ErrTeacherChanged) {
		t.Errorf("error %v; want both", err)
	}
}

func TestDirIsMade(t *testing.T) {
	r := toyRun[float32]()
	r.Dir = filepath.Join(t.TempDir(), "a", "b")
	fit(t, r)
	checkpoint(t, r.Dir)

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Dir = filepath.Join(file, "b")
	if result, err := r.Fit(t.Context()); err == nil || result != nil {
		t.Errorf("error %v, result %v; want an error before the first step", err, result)
	}
}

// A folder that takes no checkpoint is found before the first step.
func TestDirIsTried(t *testing.T) {
	r := toyRun[float32]()
	r.Dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(r.Dir, CheckpointFile+atomicfile.Suffix), 0o700); err != nil { // root may write anywhere
		t.Fatal(err)
	}
	for step, err := range r.Steps(t.Context()) {
		checkError(t, err, "distill: Run.Dir: open "+r.Dir)
		if step.N > 0 {
			t.Fatalf("step %d was taken", step.N)
		}
	}
}

func TestNilObserver(t *testing.T) {
	_, err := toyRun[float32]().Fit(t.Context(), ObserverFunc(func(Step) error { return nil }), nil)
	checkError(t, err, "distill: observer 1 of Fit is nil")
}

// A student and a folder are for one run at a time, and free when it ends.
func TestOneRunAtATime(t *testing.T) {
	r := keptRun(t.TempDir())
	r.Resume = false
	for range 2 {
		for _, err := range r.Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			again := *r
			_, err = again.Fit(t.Context())
			checkError(t, err, "distill: Run.Student is that of a run that is under way; want one run at a time")
			again.Student = toyStudent(r.Train.Spec(), 0, 1)
			again.Dir += "/."
			_, err = again.Fit(t.Context())
			checkError(t, err, "distill: Run.Dir is that of a run that is under way")
			break
		}
		if _, err := r.Fit(t.Context(), watcher{new([]string), "a", "start"}); err == nil {
			t.Error("the watcher's plan is of 2 steps; want an error")
		}
		other := toyRun[float32]()
		other.Every, other.Groups = r.Every, []Group{{Match: "none"}} // refused after r was opened
		for _, err := range Mutual(t.Context(), r, other) {
			checkError(t, err, "run 1 of Mutual: distill: Groups[0].Match")
		}
	}
}

func TestCheckpointsAreDue(t *testing.T) {
	for every, want := range map[int][]int{0: {0, 6, 12, 18}, 1: data.Range(0, 19), 4: {0, 4, 8, 12, 16, 18}} {
		r := keptRun(t.TempDir())
		r.Every = every
		saved := []int{0}
		look := func() {
			s, err := loadState(filepath.Join(r.Dir, CheckpointFile))
			if err == nil && s.Step != saved[len(saved)-1] {
				saved = append(saved, s.Step)
			}
		}
		for _, err := range r.Steps(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			look()
		}
		look()
		if !slices.Equal(saved, want) {
			t.Errorf("Every %d: checkpoints at %v, want %v", every, saved, want)
		}
	}
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		t.Errorf("%v was written to %s", entries, dir)
	}
}

// nothing is a loss without values.
type nothing struct{}

func (nothing) Loss(*student.Builder, Lesson) Rows { return Rows{} }

// selfish is a loss whose row weights depend on the student.
type selfish struct{}

func (selfish) Loss(b *student.Builder, l Lesson) Rows {
	mean := CrossEntropy{}.Loss(b, l)
	return Rows{Value: mean.Value, Weight: mean.Value}
}

func TestRunRefuses(t *testing.T) {
	at := func(step int, v, otherwise float64) Schedule {
		return func(s int) float64 {
			if s == step {
				return v
			}
			return otherwise
		}
	}
	nan := math.NaN()
	term := func(l Loss) []Term { return []Term{{Name: "only", Loss: l}} }
	narrow := must(data.NewMemory(data.Signals{"x": dense[float32](nil, 9, 4)}, nil, nil))
	named := must(data.NewMemory(data.Signals{"y": dense[float32](nil, 9, toyIn)}, nil, nil))
	three := must(data.NewMemory(data.Signals{"x": dense[float32](nil, 9, toyIn)}, tensor.New(tensor.WithBacking(make([]int, 9))), []string{"a", "b", "c"}))
	renamed := must(bareToySet[float32](9, "a", "b", "d", "c"))
	normed := must(data.Normalize(toySet[float32](9), map[string]data.Norm{"x": {Mean: []float64{0.5}, SD: []float64{3}}}))
	unlabelled := must(data.NewMemory(data.Signals{"x": dense[float32](nil, 9, toyIn)}, nil, nil))
	wild := must(data.NewMemory(data.Signals{"x": dense[float32](nil, 9, toyIn)}, tensor.New(tensor.WithBacking([]int{0, 1, 2, 3, 4, 0, 0, 0, 0})), nil))
	loader := func(s data.Set) data.Source { return data.Loader{Set: s, Batch: 3, InOrder: true} }
	for want, change := range map[string]func(*Run){
		"distill: Run.Student is nil":                                                    func(r *Run) { r.Student = nil },
		"distill: Run.Train is nil":                                                      func(r *Run) { r.Train = nil },
		"distill: Run.Optimizer is nil":                                                  func(r *Run) { r.Optimizer = nil },
		"distill: SGD.Momentum is 2":                                                     func(r *Run) { r.Optimizer = SGD{Rate: Constant(1), Momentum: 2} },
		"distill: Run.Epochs and Run.MaxSteps are 0":                                     func(r *Run) { r.Epochs = 0 },
		"distill: Run.Epochs is -1; want a finite number, 0 or more":                     func(r *Run) { r.Epochs = -1 },
		"distill: Run.MaxSteps is -2":                                                    func(r *Run) { r.MaxSteps = -2 },
		"distill: Run.Accumulate is -1":                                                  func(r *Run) { r.Accumulate = -1 },
		"distill: Run.Patience is -1":                                                    func(r *Run) { r.Patience = -1 },
		"distill: Run.Every is -1":                                                       func(r *Run) { r.Every = -1 },
		"distill: Run.Clip is NaN":                                                       func(r *Run) { r.Clip = nan },
		"distill: Run.Budget is -1":                                                      func(r *Run) { r.Budget = -1 },
		"distill: Run.Patience is 3 and Run.Valid is nil":                                func(r *Run) { r.Patience, r.Valid = 3, nil },
		"distill: Run.Resume is true and Run.Dir is empty":                               func(r *Run) { r.Resume, r.Dir = true, "" },
		"distill: Run.Terms is empty":                                                    func(r *Run) { r.Terms = nil },
		"distill: Run.Terms[1].Name is empty":                                            func(r *Run) { r.Terms[1].Name = "" },
		`distill: Run.Terms has two terms "hard"`:                                        func(r *Run) { r.Terms[1].Name = "hard" },
		`distill: Run.Terms[0].Loss of "hard" is nil`:                                    func(r *Run) { r.Terms[0].Loss = nil },
		`the weight of term "soft" at step 0 is -1`:                                      func(r *Run) { r.Terms[1].Weight = Constant(-1) },
		`the weight of term "soft" at step 17 is NaN`:                                    func(r *Run) { r.Terms[1].Weight = at(17, nan, 1) },
		`the learning rate at step 5 is -1`:                                              func(r *Run) { r.Optimizer = SGD{Rate: at(5, -1, 1)} },
		"distill: KL.T is 0 at step 16":                                                  func(r *Run) { r.Terms[1].Loss = KL{T: at(16, 0, 2)} },
		"distill: KL.T is -3 at step 0":                                                  func(r *Run) { r.Terms[1].Loss = KL{T: Constant(-3)} },
		"distill: CrossEntropy.Smoothing is 1":                                           func(r *Run) { r.Terms[0].Loss = CrossEntropy{Smoothing: 1} },
		"distill: Hint.Student or Hint.Teacher is empty":                                 func(r *Run) { r.Terms[2].Loss = Hint{Student: "l1"} },
		`no tap of the student is called "l9"; there are ["drop1" "flatten"`:             func(r *Run) { r.Terms[2].Loss = Hint{Student: "l9", Teacher: "hidden"} },
		`no signal of the teacher is called "h"; there are ["hidden"`:                    func(r *Run) { r.Terms[2].Loss = Hint{Student: "l1", Teacher: "h"} },
		`student: soft: no signal of the teacher is called "logits": Run.Teacher is nil`: func(r *Run) { r.Teacher = nil },
		"distill: Run.Student is empty":                                                  func(r *Run) { r.Student = new(student.Model) },
		"distill: the learning rate is 0 at each of 18 steps":                            func(r *Run) { r.Optimizer = SGD{Rate: Constant(0)} },
		`the weight of term "hard" at step 0 is -0.5; want a finite number, 0 or more (of Hinton, w is 0 to 1)`: func(r *Run) { r.Terms = Hinton(2, 1.5) },
		"data: Loader.Set is nil; want a Set":                                            func(r *Run) { r.Train = data.Loader{Batch: 3} },
		"data: Loader.Batch is -2":                                                       func(r *Run) { r.Valid = data.Loader{Set: unlabelled, Batch: -2} },
		"distill: Run.Train has no inputs; the student wants":                            func(r *Run) { r.Train = batches{} },
		`distill: input "x" of Run.Train is (raw - 0.5) / 3 and that of the student raw`: func(r *Run) { r.Train = loader(normed) },
		`distill: input "x" of Run.Valid is (raw - 0.5) / 3 and that of the student raw`: func(r *Run) { r.Valid = loader(normed) },
		`distill: input "x" of Run.Train is raw and that of the student (raw - 1 ...) / 2 ..., of 5 elements`: func(r *Run) {
			each := data.Norm{Mean: []float64{1, 1, 1, 1, 1}, SD: []float64{2, 2, 2, 2, 2}}
			r.Student = toyStudent(must(data.Normalize(toySet[float32](9), map[string]data.Norm{"x": each})).Spec(), 0, 1)
		},
		"distill: Run.Monitor says NaN of the first metrics of Run.Valid": func(r *Run) {
			r.Teacher, r.Terms, r.Monitor, r.MaxSteps = nil, term(CrossEntropy{}), ByAgreement, 1
		},
		"distill: the teacher panicked: out of chalk": func(r *Run) {
			panics := wise[float32]()
			panics.Do = func(context.Context, data.Batch) (data.Signals, error) { panic("out of chalk") }
			r.Teacher = panics
		},
		"student: only: the loss returned no values":                  func(r *Run) { r.Terms = term(nothing{}) },
		"the row weights depend on a parameter; want constants":       func(r *Run) { r.Terms = term(selfish{}) },
		`distill: Run.Train has the inputs "x" of (4), float32; `:     func(r *Run) { r.Train = loader(narrow) },
		`distill: Run.Train has the inputs "y" of (5), float32; `:     func(r *Run) { r.Train = loader(named) },
		`the student wants "x" of (5), float32`:                       func(r *Run) { r.Train = loader(toySet[float64](9)) },
		`distill: Run.Valid has the inputs "x" of (4), float32; `:     func(r *Run) { r.Valid = loader(narrow) },
		`distill: Run.Train and the student have 3 and 4 classes`:     func(r *Run) { r.Train = loader(three) },
		`distill: Run.Train and the student call class 2 "d" and "c"`: func(r *Run) { r.Train = loader(renamed) },
		`there are no labels`:                                           func(r *Run) { r.Train, r.Valid = loader(unlabelled), nil },
		`distill: the label of sample 4 is 4; want -1 to 3`:             func(r *Run) { r.Valid = loader(wild) },
		"data: Loader.Batch is 0":                                       func(r *Run) { r.Train = data.Loader{Set: toySet[float32](9)} },
		"distill: Run.Train: the source is empty":                       func(r *Run) { r.Train = batches{spec: toySet[float32](9).Spec()} },
		`distill: Groups[0].Match is "x.*", which matches no parameter`: func(r *Run) { r.Groups = []Group{{Match: "x.*"}} },
		`distill: Groups[0].Match is "["; want a pattern`:               func(r *Run) { r.Groups = []Group{{Match: "["}} },
		"teacher: Card.Signals is empty":                                func(r *Run) { r.Teacher = teacher.Func{} },
		"student: kl: the student's logits are (8, 4) and the teacher's (8, 3); KL wants the same classes": func(r *Run) {
			r.Terms = append(term(KL{}), Term{Name: "kl", Loss: KL{Teacher: "hidden"}})
		},
	} {
		t.Run(want, func(t *testing.T) {
			r := toyRun[float32]()
			r.Dir = t.TempDir()
			change(r)
			steps := 0
			_, err := r.Fit(t.Context(), ObserverFunc(func(Step) error { steps++; return nil }))
			checkError(t, err, want)
			if steps > 0 {
				t.Errorf("%d steps were done", steps)
			}
			if r.Dir != "" {
				checkEmpty(t, r.Dir)
			}
		})
	}
}

// A source may be anybody's: its batches are not trusted.
func TestBadBatchesAreRefused(t *testing.T) {
	good := data.Loader{Set: toySet[float32](16), Batch: 8, InOrder: true}
	padded := data.Loader{Set: toySet[float32](5), Batch: 8, InOrder: true}
	for want, spoil := range map[string]func(b *data.Batch){
		"a batch has N = 0 and 8 ids":                    func(b *data.Batch) { b.N = 0 },
		"a batch has N = 8 and 7 ids":                    func(b *data.Batch) { b.ID = b.ID[:7] },
		"a batch has N = 9 and 8 ids":                    func(b *data.Batch) { b.N = 9 },
		"a batch has no weights":                         func(b *data.Batch) { b.Weight = nil },
		"a batch has no labels":                          func(b *data.Batch) { b.Label = nil },
		"the weights of a batch of 8 are (7)":            func(b *data.Batch) { b.Weight = dense[float32](nil, 7) },
		"the weights of a batch of 8 are (8) of float64": func(b *data.Batch) { b.Weight = dense[float64](nil, 8) },
		"the labels of a batch of 8 are (8) of float32":  func(b *data.Batch) { b.Label = dense[float32](nil, 8) },
		"labels (9) and weights (8)":                     func(b *data.Batch) { b.Label = tensor.New(tensor.WithBacking(make([]int, 9))) },
		"the weight of sample 11 is -1":                  func(b *data.Batch) { b.Weight.Float32s()[3] = -1 },
		"the weight of sample 8 is NaN":                  func(b *data.Batch) { b.Weight.Float32s()[0] = float32(math.NaN()) },
		"the label of sample 15 is 4; want -1 to 3":      func(b *data.Batch) { b.Label.Ints()[7] = 4 },
		"the label of sample 9 is -2":                    func(b *data.Batch) { b.Label.Ints()[1] = -2 },
		"student: the batch has no input":                func(b *data.Batch) { b.In = nil },
		`input "x" of sample 9 has a NaN or an infinity`: func(b *data.Batch) { b.In["x"].Float32s()[7] = float32(math.Inf(1)) },
		`student: input "x": the value is (3, 5)`:        func(b *data.Batch) { b.In = data.Signals{"x": dense[float32](nil, 3, 5)} },
		"the weight of row 6 is 1 in a batch of 5":       func(b *data.Batch) { *b = allOf(padded)[0]; b.Weight.Float32s()[6] = 1 },
	} {
		t.Run(want, func(t *testing.T) {
			r := toyRun[float32]()
			list := allOf(good)
			spoil(&list[1])
			r.Train, r.Valid, r.Teacher = batches{good.Spec(), list}, nil, nil
			r.Terms = []Term{{Name: "hard", Loss: CrossEntropy{}}}
			result, err := r.Fit(t.Context())
			checkError(t, err, want)
			if err == nil || result.Steps != 1 {
				t.Errorf("%+v; want one step and then the error", result)
			}
		})
	}
}

// A source and a teacher that look at no context do not keep a run from ending.
func TestCancelIsSeen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := toyRun[float32]()
	r.Train, r.Epochs = batches{r.Train.Spec(), allOf(r.Train)}, 1000
	result, err := r.Fit(ctx, ObserverFunc(func(s Step) error {
		if s.N == 3 {
			cancel()
		}
		return nil
	}))
	if !errors.Is(err, context.Canceled) || result.Steps != 3 {
		t.Errorf("error %v after %d steps; want %v after 3", err, result.Steps, context.Canceled)
	}
}

func TestGoroutinesEnd(t *testing.T) {
	for name, do := range map[string]func(*Run){
		"fit":   func(r *Run) { fit(t, r) },
		"break": func(r *Run) { traceOf(t, first(r, 2)) },
		"error": func(r *Run) {
			r.Clip, r.Optimizer = 0, SGD{Rate: Constant(1e30)}
			if _, err := r.Fit(t.Context()); !errors.Is(err, ErrDiverged) {
				t.Error(err)
			}
		},
		"refused": func(r *Run) {
			r.Groups = []Group{{Match: "none"}}
			if _, err := r.Fit(t.Context()); err == nil {
				t.Error("no error")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			do(toyRun[float32]())
		})
	}
}

// first is the run with at most so many steps.
func first(r *Run, steps int) *Run {
	r.MaxSteps = steps
	return r
}

func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("10000 steps")
	}
	r := toyRun[float32]()
	r.Epochs, r.MaxSteps = 0, 10_000
	r.Optimizer, r.Valid = Adam{Rate: Constant(1e-3)}, nil
	var early, late runtime.MemStats
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		switch step.N {
		case 1000:
			runtime.GC()
			runtime.ReadMemStats(&early)
		case 10_000:
			runtime.GC()
			runtime.ReadMemStats(&late)
		}
	}
	if grown := int64(late.HeapAlloc) - int64(early.HeapAlloc); grown > 64<<10 {
		t.Errorf("the heap grew by %d bytes in 9000 steps", grown)
	}
}

// What the bytes of a run depend on, and nothing else, is in its configuration.
func TestConfigHasEveryField(t *testing.T) {
	r := toyRun[float32]()
	r.Groups = []Group{{Match: "*.bias"}} // of none there is nothing to show
	r.Average = Average{Model: toyStudent(r.Train.Spec(), 0, 2), Decay: Constant(0.5)}
	plan, err := newSession(r).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	notBytes := []string{"Name", "Budget", "Dir", "Every", "Resume", "AnyTeacher", "Log"}
	typ := reflect.TypeFor[Run]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		named := slices.ContainsFunc(plan.Config, func(s Setting) bool {
			return s.Name == name || strings.HasPrefix(s.Name, name+".") || strings.HasPrefix(s.Name, name+"[")
		})
		if named == slices.Contains(notBytes, name) {
			t.Errorf("Run.%s is in the configuration: %t", name, named)
		}
	}
}

// A run that MaxSteps ends within an epoch is measured at its last step.
func TestLastStepIsMeasured(t *testing.T) {
	r := toyRun[float32]()
	r.MaxSteps = 4
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if step.End || (step.Valid != nil) != (step.N == 4) {
			t.Errorf("step %d: end %t, valid %v; want it measured at step 4 alone", step.N, step.End, step.Valid)
		}
	}
	r = toyRun[float32]()
	r.MaxSteps = 4
	if got := fit(t, r); got.Valid == nil || got.BestEpoch != 0 || got.Epochs != 0 {
		t.Errorf("%+v; want metrics, best epoch 0 and no whole epoch", got)
	}
}
