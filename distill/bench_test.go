package distill

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/godistill/godistill/data"
	"github.com/godistill/godistill/student"
	"github.com/godistill/godistill/teacher"
)

// An endless source yields one batch again and again.
type endless struct {
	spec  data.Spec
	batch data.Batch
}

func (s endless) Spec() data.Spec { return s.spec }

func (s endless) Batches(context.Context, int, int) iter.Seq2[data.Batch, error] {
	return func(yield func(data.Batch, error) bool) {
		for yield(s.batch, nil) {
		}
	}
}

// noise is a set of n samples of so many numbers, in 10 classes.
func noise(n, size int) data.Set {
	rng := rand.New(rand.NewPCG(3, 4))
	x, y := make([]float64, n*size), make([]int, n)
	for i := range x {
		x[i] = rng.Float64()
	}
	for i := range y {
		y[i] = rng.IntN(10)
	}
	return must(data.NewMemory(data.Signals{"x": dense[float32](x, n, size)}, tensor.New(tensor.WithBacking(y)), nil))
}

// network is an MLP from the sizes of its layers.
func network(spec data.Spec, sizes ...int) *student.Model {
	last := len(sizes) - 1
	return must(student.New(student.MLP{Hidden: sizes[1:last], Out: sizes[last]}, spec, 1))
}

// benchSizes are of the digits and of MNIST.
var benchSizes = []struct {
	batch            int
	student, teacher []int
}{
	{64, []int{64, 16, 10}, []int{64, 64, 10}},
	{128, []int{784, 800, 800, 10}, []int{784, 1200, 1200, 10}},
}

// benchSteps times steps without the first, which builds the graph.
func benchSteps(b *testing.B, r *Run) {
	b.Helper()
	b.ReportAllocs()
	r.MaxSteps = b.N + 1
	for step, err := range r.Steps(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		if step.N == 1 {
			b.ResetTimer()
		}
	}
}

// BenchmarkStep is a step with a live teacher, on a batch that is there.
func BenchmarkStep(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size.student), func(b *testing.B) {
			loader := data.Loader{Set: noise(size.batch, size.student[0]), Batch: size.batch}
			spec := loader.Spec()
			benchSteps(b, &Run{
				Student: network(spec, size.student...), Teacher: teacher.Of(network(spec, size.teacher...)),
				Terms: Hinton(4, 0.9), Train: endless{spec, allOf(loader)[0]}, Optimizer: Adam{Rate: Constant(1e-4)},
			})
		})
	}
}

// BenchmarkLoaderToStep is a step with everything from the set on, without a
// teacher.
func BenchmarkLoaderToStep(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size.student), func(b *testing.B) {
			loader := data.Loader{Set: noise(20*size.batch, size.student[0]), Batch: size.batch}
			benchSteps(b, &Run{
				Student: network(loader.Spec(), size.student...), Terms: Hinton(1, 0)[:1],
				Train: loader, Optimizer: Adam{Rate: Constant(1e-4)},
			})
		})
	}
}
