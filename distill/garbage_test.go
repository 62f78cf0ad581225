package distill

import (
	"iter"
	"runtime"
	"testing"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/teacher"
)

// counted skips a test where the race detector, which CI runs with -short, makes
// objects of its own.
func counted(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("objects are counted without -short")
	}
}

// lean are runs of steps that end within an epoch, by what they learn from.
func lean(t *testing.T, steps int) map[string]*Run {
	t.Helper()
	set := noise(4*(steps+10), 32)
	loader := data.Loader{Set: set, Batch: 4, Seed: 1}
	run := func(optimizer Optimizer, teacher teacher.Teacher, terms ...Term) *Run {
		return &Run{
			Student: network(set.Spec(), 32, 8, 10), Teacher: teacher, AnyTeacher: true,
			Terms: terms, Train: loader, Optimizer: optimizer, MaxSteps: steps,
		}
	}
	live := teacher.Of(network(set.Spec(), 32, 12, 10))
	recorded, err := teacher.Record(t.Context(), live, set, t.TempDir(), teacher.Recording{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { recorded.Close() })
	adam := Adam{Rate: Constant(1e-3)}
	return map[string]*Run{
		"labels":                     run(SGD{Rate: Constant(0.1), Momentum: 0.9}, nil, Hinton(1, 0)[:1]...),
		"a teacher":                  run(adam, live, Hinton(4, 0.9)...),
		"functions of rows":          run(adam, live, Term{Name: "dkd", Loss: DKD{}}, Term{Name: "uld", Loss: UniversalLogit{}}),
		"a recorded teacher":         run(adam, recorded, Hinton(4, 0.9)...),
		"a recorded teacher, or one": run(adam, teacher.Or(recorded, live), Hinton(4, 0.9)...),
	}
}

// warm is a run after its first steps, and a function that takes the next one.
func warm(t *testing.T, r *Run) (next func()) {
	t.Helper()
	pull, stop := iter.Pull2(r.Steps(t.Context()))
	t.Cleanup(stop)
	next = func() {
		if _, err, ok := pull(); err != nil || !ok {
			t.Fatalf("the run ended with error %v", err)
		}
	}
	for range 10 {
		next()
	}
	return next
}

func TestAStepMakesFewObjects(t *testing.T) {
	counted(t)
	const limit = 8
	for name, r := range lean(t, 500) {
		if n := testing.AllocsPerRun(400, warm(t, r)); n > limit {
			t.Errorf("a step from %s makes %v objects; want %d at most", name, n, limit)
		}
	}
}

func TestStepsCollectNoGarbage(t *testing.T) {
	counted(t)
	const steps = 10_000
	for name, r := range lean(t, steps+10) {
		next := warm(t, r)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range steps {
			next()
		}
		runtime.ReadMemStats(&after)
		if n := after.NumGC - before.NumGC; n > 0 {
			t.Errorf("%d steps from %s collect garbage %d times, of %d bytes a step; want never",
				steps, name, n, (after.TotalAlloc-before.TotalAlloc)/steps)
		}
	}
}

// What a step is done with is used again, and never what is in use.
func TestUsedMemoryChangesNothing(t *testing.T) {
	for _, accumulate := range []int{1, 3} {
		for name, r := range lean(t, 200) {
			r.Accumulate, r.MaxSteps = accumulate, 60
			var want, got []float64
			for step, err := range r.Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, step.Loss)
			}
			r.Student = network(r.Student.Spec(), 32, 8, 10)
			r.Train = hidden{r.Train} // from which nothing is taken back
			for step, err := range r.Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, step.Loss)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s, %d batches a step: the loss of step %d is %v; want %v", name, accumulate, i+1, want[i], got[i])
				}
			}
		}
	}
}

// hidden is a source that is no Loader any more.
type hidden struct{ data.Source }
