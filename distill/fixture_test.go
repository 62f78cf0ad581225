package distill

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// The toy task: 5 numbers, of which the largest of the first 4 is the class.
const toyIn, toyClasses = 5, 4

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// toySet is n samples of the toy task. One label in four is missing, and
// samples have weights.
func toySet[T floating](n int) *data.Memory { return must(bareToySet[T](n, "a", "b", "c", "d")) }

// bareToySet is toySet with the given names of classes.
func bareToySet[T floating](n int, names ...string) (*data.Memory, error) {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	x, y, w := make([]float64, n*toyIn), make([]int, n), make([]float32, n)
	for i := range n {
		row := x[i*toyIn:][:toyIn]
		for j := range row {
			row[j] = rng.NormFloat64()
		}
		y[i], w[i] = argmax(row[:toyClasses]), float32(1+i%3)/2
		if i%4 == 1 {
			y[i] = data.Unlabelled
		}
	}
	set, err := data.NewMemory(data.Signals{"x": dense[T](x, n, toyIn)}, tensor.New(tensor.WithBacking(y)), names)
	if err != nil {
		return nil, err
	}
	return set.WithWeights(tensor.New(tensor.WithBacking(w)))
}

// wise is a teacher of the toy task. Its logits are twice the input.
func wise[T floating]() teacher.Func {
	d := dense[T](nil, 1).Dtype()
	return teacher.Func{
		Says: teacher.Card{
			Signals: map[string]data.Field{
				"logits": {Shape: tensor.Shape{toyClasses}, Dtype: d},
				"hidden": {Shape: tensor.Shape{3}, Dtype: d},
			},
			Fingerprint: [32]byte{1},
		},
		Do: func(_ context.Context, b data.Batch) (data.Signals, error) {
			logits, hidden := make([]float64, b.N*toyClasses), make([]float64, b.N*3)
			for i, v := range wide(b.In["x"])[:b.N*toyIn] {
				if r, c := i/toyIn, i%toyIn; c < toyClasses {
					logits[r*toyClasses+c] = 2 * v
					hidden[r*3+c%3] = math.Tanh(v)
				}
			}
			return data.Signals{"logits": dense[T](logits, b.N, toyClasses), "hidden": dense[T](hidden, b.N, 3)}, nil
		},
	}
}

// toyStudent is one of 5-6-4, with dropout.
func toyStudent(spec data.Spec, dropout float64, seed uint64) *student.Model {
	return must(student.New(student.MLP{Hidden: []int{6}, Out: toyClasses, Dropout: dropout}, spec, seed))
}

// toyRun is a run of 3 epochs of 6 steps that has a bit of everything.
func toyRun[T floating]() *Run {
	set := toySet[T](46)
	return &Run{
		Student:   toyStudent(set.Spec(), 0.25, 1),
		Teacher:   wise[T](),
		Terms:     append(Hinton(2, 0.7), Term{Name: "hint", Weight: Linear(0.5, 0, 12), Loss: Hint{Student: "l1", Teacher: "hidden"}}),
		Train:     data.Loader{Set: set, Batch: 8, Seed: 3},
		Valid:     data.Loader{Set: toySet[T](23), Batch: 9, InOrder: true},
		Optimizer: Adam{Rate: Cosine(0.05, 0.01, 18)},
		Clip:      1,
		Epochs:    3,
		Seed:      5,
	}
}

// A trace is what a run did, and the weights that it left.
type trace struct {
	steps   []Step
	weights map[string][]float64
}

func traceOf(t testing.TB, r *Run) trace {
	t.Helper()
	tr := trace{weights: map[string][]float64{}}
	for step, err := range r.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		tr.steps = append(tr.steps, step)
	}
	for p := range r.Student.Params() {
		tr.weights[p.Name] = slices.Clone(wide(p.Value))
	}
	return tr
}

// numbers are all numbers of the trace, by what they are.
func (tr trace) numbers() map[string][]float64 {
	all := maps.Clone(tr.weights)
	for _, s := range tr.steps {
		row := []float64{s.Loss, s.GradNorm, s.Rate, float64(s.Rows), s.Accuracy}
		for _, t := range s.Terms {
			row = append(row, t.Value, t.Weight)
		}
		all[fmt.Sprintf("step %2d", s.N)] = row
	}
	return all
}

// sameTrace wants all numbers to be within the tolerance. NaN equals NaN.
func sameTrace(t interface {
	Helper()
	Errorf(string, ...any)
}, got, want trace, tolerance float64) {
	t.Helper()
	a, b := got.numbers(), want.numbers()
	if len(a) != len(b) {
		t.Errorf("%d steps; want %d", len(got.steps), len(want.steps))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		for i, w := range b[name] {
			if g := a[name][i]; !(math.Abs(g-w) <= tolerance*max(1, math.Abs(w))) && !(math.IsNaN(g) && math.IsNaN(w)) {
				t.Errorf("%s: number %d is %v, want %v", name, i, g, w)
				return
			}
		}
	}
}

// fit runs to the end.
func fit(t testing.TB, r *Run) Result {
	t.Helper()
	result, err := r.Fit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return *result
}

// checkpoint is the bytes of a run's checkpoint.
func checkpoint(t testing.TB, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// batches is a source of the given batches, the same in each epoch.
type batches struct {
	spec data.Spec
	list []data.Batch
}

func (s batches) Spec() data.Spec { return s.spec }

func (s batches) Batches(_ context.Context, _, from int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		for _, b := range s.list[from:] {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// allOf are the batches of epoch 0 of a source.
func allOf(src data.Source) (list []data.Batch) {
	for b, err := range src.Batches(context.Background(), 0, 0) {
		list = append(list, must(b, err))
	}
	return list
}
