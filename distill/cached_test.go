package distill

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// digitsRun teaches a 64-16-10 network from one of 64-24-10, on digits that are
// moved about.
func digitsRun(t *testing.T) (r *Run, set data.Set, master teacher.Teacher) {
	digits := must(data.Digits())
	few := must(data.Subset(digits.Train, rand.New(rand.NewPCG(1, 2)).Perm(digits.Train.Len())[:150]))
	set = must(data.Shift{Pixels: 1}.Of(few))
	master = teacher.Of(must(student.New(student.MLP{Hidden: []int{24}, Out: 10}, set.Spec(), 8)), "logits", "l1")
	return &Run{
		Student: must(student.New(student.MLP{Hidden: []int{16}, Out: 10, Dropout: 0.1}, set.Spec(), 1)),
		Teacher: master,
		Terms:   append(Hinton(4, 0.9), Term{Name: "hint", Loss: Hint{Student: "l1", Teacher: "l1"}}),
		Train:   data.Loader{Set: set, Batch: 32, Seed: 6},
		// 5 steps in an epoch, the last with 22 rows
		Optimizer: Adam{Rate: Constant(0.01)},
		Epochs:    4,
		Dir:       t.TempDir(),
	}, set, master
}

func record(t *testing.T, master teacher.Teacher, set data.Set, r teacher.Recording) *teacher.Cache {
	t.Helper()
	c, err := teacher.Record(t.Context(), master, set, t.TempDir(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// With a cache it is the same run: checkpoints are equal to the byte.
func TestCacheIsTheTeacher(t *testing.T) {
	live, set, master := digitsRun(t)
	fit(t, live)
	cached, _, _ := digitsRun(t)
	cached.Teacher = record(t, master, set, teacher.Recording{Batch: 50})
	fit(t, cached)
	if live.Student.Fingerprint() != cached.Student.Fingerprint() {
		t.Error("the weights differ")
	}
	if !bytes.Equal(checkpoint(t, live.Dir), checkpoint(t, cached.Dir)) {
		t.Error("the checkpoints differ")
	}
	other, _, _ := digitsRun(t)
	other.Seed = 1
	fit(t, other)
	if bytes.Equal(checkpoint(t, live.Dir), checkpoint(t, other.Dir)) {
		t.Error("the checkpoint of another seed is the same")
	}
}

// A cache of the training rows, with the teacher for the others, is the
// teacher. Alone, it says what is missing.
func TestCacheOfTheTrainingRows(t *testing.T) {
	validated := func() (*Run, data.Set, teacher.Teacher) {
		r, set, master := digitsRun(t)
		r.Valid, r.AnyTeacher = data.Loader{Set: must(data.Digits()).Valid, Batch: 90, InOrder: true}, true
		return r, set, master
	}
	live, set, master := validated()
	fit(t, live)
	c := record(t, master, set, teacher.Recording{})
	both, _, _ := validated()
	both.Teacher = teacher.Or(c, master)
	fit(t, both)
	if !bytes.Equal(checkpoint(t, live.Dir), checkpoint(t, both.Dir)) {
		t.Error("the checkpoints differ")
	}

	alone, _, _ := validated()
	alone.Teacher = c
	_, err := alone.Fit(t.Context())
	if !errors.Is(err, teacher.ErrMissing) {
		t.Errorf("error %v; want %v", err, teacher.ErrMissing)
	}
	checkError(t, err, "distill: Run.Valid: teacher: not in the cache")
	checkError(t, err, "data.Concat, or teacher.Or")

	both.Train = data.Loader{Set: must(data.Shift{Pixels: 2}.Of(must(data.Digits()).Train)), Batch: 32}
	_, err = both.Fit(t.Context())
	checkError(t, err, "25 views; 9 were recorded")
}

// Agreement is the same with the largest logits; the divergence needs them all.
func TestMeasureTopK(t *testing.T) {
	r, set, master := digitsRun(t)
	fit(t, r)
	c := record(t, master, set, teacher.Recording{TopK: 3})
	src := data.Loader{Set: set, Batch: 40, InOrder: true} // the last batch is padded
	want := must(Measure(t.Context(), r.Student, src, master))
	got := must(Measure(t.Context(), r.Student, src, c))
	if got.Agreement != want.Agreement || want.Agreement == 0 || want.Agreement == 1 || !math.IsNaN(got.TeacherKL) {
		t.Errorf("agreement %v and divergence %v; want %v and NaN", got.Agreement, got.TeacherKL, want.Agreement)
	}
}

// The k largest of k classes are all there is.
func TestTopKOfAll(t *testing.T) {
	dense, set, master := digitsRun(t)
	want := traceOf(t, dense)
	top, _, _ := digitsRun(t)
	top.Teacher = record(t, master, set, teacher.Recording{TopK: 10, Temps: []float64{1, 4}})
	sameTrace(t, traceOf(t, top), want, 1e-3)
}

func TestCacheRefuses(t *testing.T) {
	plain, set, master := digitsRun(t)
	top := record(t, master, set, teacher.Recording{TopK: 3, Temps: []float64{1, 4}})
	whole := record(t, master, set, teacher.Recording{})
	digits := must(data.Digits())
	unbounded := must(data.Augment{Name: "nothing", Do: func(*rand.Rand, data.Sample) error { return nil }}.Of(digits.Train))
	other := must(data.Shift{Pixels: 1}.Of(must(renumbered(digits.Valid, 150))))
	hinton := func(T Schedule) []Term { return []Term{{Name: "soft", Loss: KL{T: T}}} }
	for name, test := range map[string]struct {
		change func(*Run)
		is     error
		want   string
	}{
		"a temperature":       {func(r *Run) { r.Teacher, r.Terms = top, hinton(Constant(3)) }, nil, "distill: KL.T is 3 at step 0; the top-k logits answer only [1 4] exactly"},
		"a later temperature": {func(r *Run) { r.Teacher, r.Terms = top, hinton(StepDecay(4, 0.25, 7)) }, nil, "distill: KL.T is 0.25 at step 14; the top-k logits answer only [1 4] exactly"},
		"a loss of all":       {func(r *Run) { r.Teacher, r.Terms = top, []Term{{Name: "mse", Loss: MSE{}}} }, nil, `only the 3 largest of "logits"`},
		"unbounded views":     {func(r *Run) { r.Teacher, r.Train = whole, data.Loader{Set: unbounded, Batch: 32} }, teacher.ErrMissing, "views without bound"},
		"another set":         {func(r *Run) { r.Teacher, r.Train = whole, data.Loader{Set: other, Batch: 32} }, teacher.ErrStale, "another input"},
		"more samples":        {func(r *Run) { r.Teacher, r.Train = whole, data.Loader{Set: digits.Train, Batch: 1097} }, teacher.ErrMissing, "sample"},
	} {
		t.Run(name, func(t *testing.T) {
			r := *plain
			test.change(&r)
			result, err := r.Fit(t.Context())
			checkError(t, err, test.want)
			if test.is != nil && !errors.Is(err, test.is) || result != nil {
				t.Errorf("error %v and result %v; want %v before the first step", err, result, test.is)
			}
			checkEmpty(t, r.Dir)
		})
	}
	long := *plain
	long.Teacher, long.Epochs, long.MaxSteps = top, 0, 2000
	for want, T := range map[string]Schedule{
		"distill: KL.T is 3 at step 1000;": func(step int) float64 { return [2]float64{4, 3}[step/1000] },
		"distill: KL.T is 3.5 at step 1;":  Linear(4, 1, 6),
		"distill: KL.T is 2 at step 249;":  Cycle(250, func(step int) float64 { return [2]float64{4, 2}[step/249] }),
	} {
		long.Terms = hinton(T)
		_, err := long.Fit(t.Context())
		checkError(t, err, want)
		checkEmpty(t, long.Dir)
	}
	endless := *plain
	endless.Teacher, endless.Train = top, batches{plain.Train.Spec(), allOf(plain.Train)}
	endless.Terms = hinton(StepDecay(4, 0.5, 3000))
	_, err := endless.Fit(t.Context())
	checkError(t, err, "distill: KL.T is 2 at step 3000; the top-k logits answer only [1 4] exactly")
	checkEmpty(t, endless.Dir)
	table := make([]float64, 20)
	for i := range table {
		table[i] = float64(1 + 3*(i%2))
	}
	endless.Terms = hinton(func(step int) float64 { return table[step] })
	fit(t, &endless)
	fits := *plain
	fits.Teacher, fits.Terms = top, hinton(StepDecay(4, 0.25, 10))
	for _, s := range traceOf(t, &fits).steps {
		if math.IsNaN(s.Loss) {
			t.Errorf("step %d: the loss is NaN", s.N)
		}
	}
}

// renumbered is n samples of a set with the ids of the samples of digitsRun.
func renumbered(set data.Set, n int) (data.Set, error) {
	all := allOf(data.Loader{Set: set, Batch: n, InOrder: true})[0]
	for i := range all.In["x"].Float32s() {
		all.In["x"].Float32s()[i] *= 16
	}
	mem, err := data.NewMemory(all.In, all.Label, set.Spec().Classes)
	if err != nil {
		return nil, err
	}
	digits := must(data.Digits())
	ids := make([]uint64, n)
	for i, row := range rand.New(rand.NewPCG(1, 2)).Perm(digits.Train.Len())[:n] {
		ids[i] = digits.Train.ID(row)
	}
	with, err := mem.WithIDs(ids)
	if err != nil {
		return nil, err
	}
	return data.Normalize(with, map[string]data.Norm{"x": {Mean: []float64{0}, SD: []float64{16}}})
}

// What was recorded binds the terms that ask for it, and not those of a teacher
// beside it that has all of its logits.
func TestTopKBesideDense(t *testing.T) {
	r, set, master := digitsRun(t)
	top := record(t, master, set, teacher.Recording{TopK: 3, Temps: []float64{1, 4}})
	r.Teacher = teacher.Named{"top": top, "all": master}
	at := func(top, all float64) []Term {
		return []Term{
			{Name: "top", Loss: KL{Teacher: "top/logits", T: Constant(top)}},
			{Name: "all", Loss: KL{Teacher: "all/logits", T: Constant(all)}},
		}
	}
	r.Terms, r.MaxSteps = at(4, 3), 2
	fit(t, r)
	r.Terms = at(3, 4)
	_, err := r.Fit(t.Context())
	checkError(t, err, "distill: KL.T is 3 at step 0; the top-k logits answer only [1 4] exactly")
}
