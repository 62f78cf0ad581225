package reason_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/data/task"
	"github.com/godistill/godistill/data/text"
	"github.com/godistill/godistill/distill"
	"github.com/godistill/godistill/distill/reason"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// written is the chains of the problems.
func written(n int) data.Set {
	return must(text.Sequences{Tokenizer: digits, Context: context}.Of(problems(n)))
}

func own(m *student.Model) reason.Own {
	return reason.Own{Solver: must(reason.NewSolver(solver(m))), Problems: problems(7), Batch: 5, Epoch: 4, Context: context}
}

func batches(t *testing.T, s data.Source, epoch, from int) (all []data.Batch) {
	t.Helper()
	for b, err := range s.Batches(t.Context(), epoch, from) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// Rows are the answers to problem after problem, over batches and epochs, each drawn
// from an id of its own.
func TestOwn(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		o := own(model(d, 1))
		n := 0
		for epoch := range 3 {
			for _, got := range batches(t, o, epoch, 0) {
				want := must(data.NewBatch(reason.Spec(context), 5))
				for range 5 {
					p := must(o.Problems.Problem(n % 7))
					a := must(o.Solver.Solve(t.Context(), []task.Problem{p}, 1, uint64(n)))[0][0]
					none(a.Append(&want, data.ID{Sample: uint64(n % 7), View: uint64(n) + 1}))
					n++
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("epoch %d: a batch is\n%v\nwant\n%v", epoch, got, want)
				}
			}
		}
		if n != 3*o.Len()*5 {
			t.Errorf("there are %d rows", n)
		}
		if got, want := batches(t, o, 2, 3), batches(t, o, 2, 0)[3:]; !reflect.DeepEqual(got, want) {
			t.Error("the last batch alone is another")
		}
	}
}

// Of any number of rows, a share is of the data, each row of it as often as another.
func TestOwnMixes(t *testing.T) {
	o := own(model(tensor.Float32, 1))
	o.Mix, o.Data, o.Seed = 0.35, written(11), 8
	rows, given, own := 0, map[uint64]int{}, uint64(0)
	var order []uint64
	for epoch := range 9 {
		for _, b := range batches(t, o, epoch, 0) {
			for r, id := range b.ID {
				rows++
				if id.View == 0 {
					given[id.Sample]++
					order = append(order, id.Sample)
					alone := must(data.NewBatch(o.Data.Spec(), 1))
					none(alone.Append(o.Data, int(id.Sample), 0))
					if rowText(b, r) != rowText(alone, 0) {
						t.Errorf("row %d of the data is %s; want %s", id.Sample, rowText(b, r), rowText(alone, 0))
					}
				} else if own++; id != (data.ID{Sample: (own - 1) % 7, View: own}) {
					t.Fatalf("answer %d is %v", own, id)
				}
				if share := float64(len(order)) / float64(rows); math.Abs(share-0.35) > 1/float64(rows) {
					t.Fatalf("of %d rows, %d are of the data", rows, len(order))
				}
			}
		}
	}
	for i := range uint64(11) {
		if n := given[i]; n != 5 && n != 6 && n != 7 {
			t.Errorf("row %d of the data comes %d times in %d", i, n, len(order))
		}
	}
	if reflect.DeepEqual(order[:11], order[11:22]) {
		t.Errorf("the order is %v; want another in each round", order)
	}
	other := o
	other.Seed++
	if reflect.DeepEqual(batches(t, o, 0, 0), batches(t, other, 0, 0)) {
		t.Error("another seed has the same order")
	}
}

func TestOwnFingerprint(t *testing.T) {
	base := own(model(tensor.Float32, 1))
	base.Mix, base.Data = 0.5, written(5)
	seen := map[[32]byte]string{base.Spec().Fingerprint: "the first"}
	for name, change := range map[string]func(o *reason.Own){
		"problems": func(o *reason.Own) { o.Problems.Seed++ },
		"batch":    func(o *reason.Own) { o.Batch++ },
		"epoch":    func(o *reason.Own) { o.Epoch++ },
		"mix":      func(o *reason.Own) { o.Mix = 0.4 },
		"data":     func(o *reason.Own) { o.Data = written(6) },
		"seed":     func(o *reason.Own) { o.Seed++ },
		"sampling": func(o *reason.Own) {
			s := solver(o.Solver.Model)
			s.Sampling.Seed++
			o.Solver = must(reason.NewSolver(s))
		},
	} {
		o := base
		change(&o)
		print := o.Spec().Fingerprint
		if other, ok := seen[print]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[print] = name
	}
	other := base
	other.Solver = must(reason.NewSolver(solver(model(tensor.Float32, 2))))
	if other.Spec().Fingerprint != base.Spec().Fingerprint {
		t.Error("the weights of the student change the fingerprint: no run could be resumed")
	}
}

func TestOwnRefuses(t *testing.T) {
	for want, change := range map[string]func(o *reason.Own){
		"reason: the Solver is not one":           func(o *reason.Own) { o.Solver = nil },
		"reason: task: Set.Rows is 0":             func(o *reason.Own) { o.Problems.Rows = 0 },
		"Own.Batch is 0; want 1 or more":          func(o *reason.Own) { o.Batch = 0 },
		"Own.Epoch is -1; want 1 batch or more":   func(o *reason.Own) { o.Epoch = -1 },
		"Own.Context is 0; want 1 or more":        func(o *reason.Own) { o.Context = 0 },
		"Own.Mix is 1; want 0 or more":            func(o *reason.Own) { o.Mix, o.Data = 1, written(5) },
		"Own.Mix is NaN; want 0 or more":          func(o *reason.Own) { o.Mix = math.NaN() },
		"Own.Mix is 0.5, and Own.Data <nil>":      func(o *reason.Own) { o.Mix = 0.5 },
		"Own.Mix is 0, and Own.Data *text.single": func(o *reason.Own) { o.Data = written(5) },
		"reason: Own.Data: data: row 0: input \"x\" of the set is (11), int, and that of the batch (9), int": func(o *reason.Own) {
			o.Mix, o.Data, o.Context = 0.5, written(5), 9
		},
		"do not fit a context of 4": func(o *reason.Own) { o.Context = 4 },
	} {
		o := own(model(tensor.Float32, 1))
		change(&o)
		var err error
		for _, err = range o.Batches(t.Context(), 0, 0) {
			if err != nil {
				break
			}
		}
		wantError(t, err, want)
		o.Spec() // of what is not valid, it does not fail
	}
	for _, place := range [][2]int{{-1, 0}, {0, -1}, {0, 5}} {
		for _, err := range own(model(tensor.Float32, 1)).Batches(t.Context(), place[0], place[1]) {
			wantError(t, err, fmt.Sprintf("reason: batch %d of epoch %d of Own; want 0 to 4", place[1], place[0]))
		}
	}
}

// schooled is a model that has read the chains of problems so often.
func schooled(t *testing.T, seed uint64, epochs int) *student.Model {
	m := model(tensor.Float32, seed)
	run := distill.Run{
		Student: m, Terms: distill.Hinton(1, 0)[:1], Train: data.Loader{Set: written(64), Batch: 32},
		Optimizer: distill.Adam{Rate: distill.Constant(0.02)}, Epochs: epochs,
	}
	must(run.Fit(t.Context()))
	return m
}

// onPolicy is a run of a student that has learned a little from a teacher that knows
// the task, by what it says itself.
func onPolicy(small, big *student.Model, loss distill.Loss) distill.Run {
	o := own(small)
	o.Problems, o.Batch, o.Epoch = problems(64), 24, 20
	return distill.Run{
		Student: small, Teacher: teacher.Of(big), Terms: []distill.Term{{Name: "own", Loss: loss}},
		Train: o, Optimizer: distill.Adam{Rate: distill.Constant(0.01)}, Epochs: 6, Seed: 1,
	}
}

// A student gets better at a task by what its teacher says to its own answers, though
// it never sees a right one.
func TestOwnTeaches(t *testing.T) {
	big := schooled(t, 1, 60)
	exam := func(m *student.Model) float64 {
		set := problems(100)
		set.Split = task.Test
		return must(reason.Evaluate(t.Context(), must(reason.NewSolver(solver(m))), set, 8)).All.Pass1.Mean
	}
	best := exam(big)
	for name, loss := range map[string]distill.Loss{"JSD": distill.JSD{}, "ReverseKL": distill.ReverseKL{}} {
		small := schooled(t, 2, 3)
		before := exam(small)
		run := onPolicy(small, big, loss)
		must(run.Fit(t.Context()))
		after := exam(small)
		if !(before < 0.6 && after > 0.9*best && best > 0.9) {
			t.Errorf("%s: pass@1 is %.3f, was %.3f, and of the teacher %.3f", name, after, before, best)
		}
	}
}

// A run that was stopped anywhere and resumed has the bytes of one that was not.
func TestOwnResumes(t *testing.T) {
	big := schooled(t, 1, 5)
	fit := func(dir string, most int, resume bool) [32]byte {
		small := schooled(t, 2, 1)
		run := onPolicy(small, big, distill.JSD{})
		o := run.Train.(reason.Own)
		o.Epoch, o.Mix, o.Data = 4, 0.3, written(20)
		run.Epochs = 3
		run.Train, run.Dir, run.Every, run.Resume = o, dir, 1, resume
		for step, err := range run.Steps(t.Context()) {
			if must(step, err).N == most {
				break
			}
		}
		return small.Fingerprint()
	}
	want := fit(t.TempDir(), 0, false)
	for _, most := range []int{1, 3, 4, 6, 11} {
		dir := t.TempDir()
		if fit(dir, most, false) == want {
			t.Fatalf("stopped after %d steps, the student is as at the end", most)
		}
		if got := fit(dir, 0, true); got != want {
			t.Errorf("stopped after %d steps and resumed, the student has other bytes", most)
		}
	}
}
