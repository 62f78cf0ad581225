package graph_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/gradcheck"
	"github.com/godistill/godistill/internal/graph"
	"github.com/godistill/godistill/internal/kernel"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// dense is a tensor of the given shape over the values.
func dense[E float32 | float64 | int](values []E, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

func clone(t *tensor.Dense) *tensor.Dense { return t.Clone().(*tensor.Dense) }

// bind adds an input to g, with its value.
func bind(g *gorgonia.ExprGraph, name string, v *tensor.Dense) *gorgonia.Node {
	n := graph.Input(g, name, v.Dtype(), v.Shape()...)
	if err := gorgonia.Let(n, v); err != nil {
		panic(err)
	}
	return n
}

// number adds a scalar to g, with its value.
func number(g *gorgonia.ExprGraph, name string, v float64) *gorgonia.Node {
	s := must(graph.NewScalar(g, name, tensor.Float64))
	s.Set(v)
	return s.Node
}

// eval computes nodes of float64.
func eval(t testing.TB, nodes ...*gorgonia.Node) [][]float64 {
	t.Helper()
	m := must(graph.NewMachine(nodes...))
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	var all [][]float64
	for _, n := range nodes {
		all = append(all, floats(m.Value(n)))
	}
	return all
}

func floats(v gorgonia.Value) []float64 {
	if d, ok := v.(*tensor.Dense); ok {
		return slices.Clone(d.Data().([]float64))
	}
	return []float64{graph.ScalarValue(v)}
}

// near fails t if got and want differ by more than 1e-12, relative to want.
func near(t testing.TB, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d values, %g; want %g", len(got), got, want)
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-12*max(1, math.Abs(want[i]))) {
			t.Errorf("element %d is %v; want %v", i, got[i], want[i])
		}
	}
}

// rows calls f for each row of equal width.
func rows(v []float64, width int, f func(r int, row []float64)) {
	for r := range len(v) / width {
		f(r, v[r*width:(r+1)*width])
	}
}

// softmax by the formula, for logits that do not overflow.
func softmax(z []float64, T float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for i, v := range z {
		p[i] = math.Exp(v / T)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func Example() {
	g := gorgonia.NewGraph()
	x := graph.Input(g, "x", tensor.Float32, 2, 3)
	w := graph.Input(g, "w", tensor.Float32, 1, 3)
	y, err := graph.Linear(x, w, nil, kernel.ReLU)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := graph.NewMachine(y)
	if err != nil {
		fmt.Println(err)
		return
	}
	gorgonia.Let(x, dense([]float32{1, 2, 3, -4, -5, -6}, 2, 3))
	gorgonia.Let(w, dense([]float32{1, 1, 1}, 1, 3))
	fmt.Println(m.RunAll(), m.Value(y).Data())
	// Output: <nil> [6 0]
}

// A unary is an op of one input.
type unary = func(x *gorgonia.Node) (*gorgonia.Node, error)

// of makes a unary op a function to check.
func of(f unary) gradcheck.Build {
	return func(in []*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0]) }
}
