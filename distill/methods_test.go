package distill

import (
	"maps"
	"slices"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// terms are all methods of the table, side by side.
func terms(t testing.TB) (all []Term) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		all = append(all, Term{Name: name, Weight: Constant(0.1), Loss: methods[name].loss})
	}
	return all
}

// uncoupled are the terms that do not couple rows.
func uncoupled(all []Term) []Term {
	return slices.DeleteFunc(slices.Clone(all), func(t Term) bool {
		_, joint := t.Loss.(Joint)
		return joint
	})
}

// A run learns by all methods at once; how its steps are split changes nothing.
func TestRunByAllMethods(t *testing.T) {
	run := func(batch, accumulate int) *Run {
		r := toyRun[float64]()
		r.Student = toyStudent(r.Student.Spec(), 0, 1)
		source := r.Train.(data.Loader)
		source.Batch = batch
		r.Train, r.Accumulate, r.Terms, r.Epochs = source, accumulate, uncoupled(terms(t)), 2
		return r
	}
	want := traceOf(t, run(12, 1))
	for _, batch := range []int{6, 4, 1} {
		sameTrace(t, traceOf(t, run(batch, 12/batch)), want, 1e-11)
	}
	if first, last := want.steps[0].Loss, want.steps[len(want.steps)-1].Loss; !(last < first) {
		t.Errorf("the loss goes from %v to %v; want it to fall", first, last)
	}
}

// A loss that couples rows has no parts, and no last batch of a single row.
func TestRunByDIST(t *testing.T) {
	run := func(rows int) *Run {
		set := noise(rows, 32)
		return &Run{
			Student: network(set.Spec(), 32, 8, 10), Teacher: teacher.Of(network(set.Spec(), 32, 12, 10)), AnyTeacher: true,
			Terms: []Term{{Name: "dist", Loss: DIST{}}}, Train: data.Loader{Set: set, Batch: 8, Seed: 3},
			Optimizer: Adam{Rate: Constant(1e-2)}, Epochs: 10,
		}
	}
	steps := traceOf(t, run(46)).steps // of which the last has 6 rows
	if first, last := steps[0].Loss, steps[58].Loss; len(steps) != 60 || !(last < first/2) {
		t.Errorf("in %d steps the loss goes from %v to %v; want 60, and less than half", len(steps), first, last)
	}
	r := run(46)
	r.Accumulate = 2
	_, err := r.Fit(t.Context())
	checkError(t, err, `Run.Accumulate is 2 and the loss of "dist" couples rows; want 1`)
	_, err = run(17).Fit(t.Context())
	checkError(t, err, "DIST compares rows, and of this batch 1 has a weight; want 2 or more: Loader.DropLast leaves out a short last batch")
	r = run(17)
	source := r.Train.(data.Loader)
	source.DropLast = true
	if r.Train = source; fit(t, r).Steps != 20 {
		t.Error("want 20 steps, two batches in each of 10 epochs")
	}
}
