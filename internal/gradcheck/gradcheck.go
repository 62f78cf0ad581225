// Package gradcheck compares gradients with finite differences, in tests.
//
//	gradcheck.Check(t, func(in []*gorgonia.Node) (*gorgonia.Node, error) {
//		teacher := gradcheck.Const(in[0], "teacher", gradcheck.Normal(2, 3, 5))
//		return graph.MSE(in[0], teacher)
//	}, gradcheck.Normal(1, 3, 5))
package gradcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/graph"
)

// A Build adds what is to be checked to the graph of its inputs.
type Build func(in []*gorgonia.Node) (*gorgonia.Node, error)

const (
	exact  = 1e-7 // float64 against finite differences
	single = 1e-4 // float32 against float64: T² magnifies what rounding does to a loss
)

// Check compares the gradient that Gorgonia's Grad makes of the function with
// central differences, by every element of the inputs, which are of float64.
// What has another shape than () is first made a number by fixed pseudo-random
// weights. It also fails t if a second run differs from the first in a single
// bit, or if the function is not the same in float32.
func Check(t testing.TB, build Build, inputs ...*tensor.Dense) {
	t.Helper()
	f, err := compile(build, tensor.Float64, inputs)
	if err != nil {
		t.Fatal(err)
	}
	first := f.run(t)
	if !slices.EqualFunc(first, f.run(t), equal) {
		t.Fatalf("a second run differs from the first")
	}
	for i, in := range inputs {
		cost := func() float64 { return f.run(t)[0][0] }
		Compare(t, f.in[i].Name(), cost, in.Data().([]float64), first[i+1])
	}
	g, err := compile(build, tensor.Float32, inputs)
	if err != nil {
		t.Fatalf("in float32: %v", err)
	}
	scale := size(slices.Concat(first...))
	for i, got := range g.run(t) {
		if bad := worst(got, first[i]); !(bad <= single*scale) {
			t.Errorf("in float32, output %d (the cost, then gradients) is %g, off by %g; want %g", i, got, bad, first[i])
		}
	}
}

// Compare fails t where the gradient of f is off from central differences by
// more than 1e-7, relative to the largest of f and the gradient's elements. f
// reads x, whose elements are changed one at a time and put back.
func Compare(t testing.TB, name string, f func() float64, x, grad []float64) {
	t.Helper()
	if len(x) != len(grad) {
		t.Fatalf("the gradient by %s has %d elements; want %d", name, len(grad), len(x))
	}
	scale := max(size(grad), math.Abs(f()))
	for i, v := range x {
		at := func(h float64) float64 {
			x[i] = v + h
			return f()
		}
		h := 1e-5 * max(1, math.Abs(v))
		// The fourth-order formula: its error is far below the tolerance even
		// where the third derivative is large.
		want := (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / (12 * h)
		x[i] = v
		if !(math.Abs(grad[i]-want) <= exact*scale) {
			t.Errorf("the gradient by %s at %d is %g; want %g", name, i, grad[i], want)
		}
	}
}

// Const is a constant of the function under check, in the graph and the float
// type of the node in. Integers stay what they are.
func Const(in *gorgonia.Node, name string, v *tensor.Dense) *gorgonia.Node {
	if v.Dtype() == tensor.Float64 {
		v = convert(v, in.Dtype())
	}
	n := graph.Input(in.Graph(), name, v.Dtype(), v.Shape()...)
	if err := gorgonia.Let(n, v); err != nil {
		panic(err)
	}
	return n
}

// Scalar is a constant number; see [Const].
func Scalar(in *gorgonia.Node, name string, v float64) *gorgonia.Node {
	s, err := graph.NewScalar(in.Graph(), name, in.Dtype())
	if err != nil {
		panic(err)
	}
	s.Set(v)
	return s.Node
}

// Normal draws from the standard normal distribution. The values are float32's,
// so that nothing is lost in a conversion.
func Normal(seed uint64, shape ...int) *tensor.Dense {
	rng := rand.New(rand.NewPCG(seed, 0))
	v := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = float64(float32(rng.NormFloat64()))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

// A function is a machine that computes a cost and its gradients.
type function struct {
	*graph.Machine
	in, out []*gorgonia.Node
}

func compile(build Build, d tensor.Dtype, inputs []*tensor.Dense) (*function, error) {
	g := gorgonia.NewGraph()
	f := &function{}
	for i, v := range inputs {
		n := graph.Input(g, fmt.Sprintf("input %d", i), d, v.Shape()...)
		if err := gorgonia.Let(n, convert(v, d)); err != nil {
			return nil, err
		}
		f.in = append(f.in, n)
	}
	out, err := build(f.in)
	if err != nil {
		return nil, err
	}
	cost, err := reduce(out)
	if err != nil {
		return nil, err
	}
	grads, err := gorgonia.Grad(cost, f.in...)
	if err != nil {
		return nil, err
	}
	f.out = append([]*gorgonia.Node{cost}, grads...)
	f.Machine, err = graph.NewMachine(f.out...)
	return f, err
}

// reduce makes a number of a node.
func reduce(n *gorgonia.Node) (*gorgonia.Node, error) {
	if n.Dims() == 0 {
		return n, nil
	}
	size := n.Shape().TotalSize()
	row, err := graph.Reshape(n, size)
	if err != nil {
		return nil, err
	}
	return graph.WeightedMean(row, Const(n, "weights of the check", Normal(0, size)), Scalar(n, "total of the check", 1))
}

// run is the cost and the gradients, each as a slice of its own.
func (f *function) run(t testing.TB) [][]float64 {
	t.Helper()
	if err := f.RunAll(); err != nil {
		t.Fatal(err)
	}
	var all [][]float64
	for _, n := range f.out {
		all = append(all, values(f.Value(n)))
	}
	return all
}

func values(v gorgonia.Value) []float64 {
	d, ok := v.(*tensor.Dense)
	if !ok {
		return []float64{graph.ScalarValue(v)}
	}
	return slices.Clone(convert(d, tensor.Float64).Data().([]float64))
}

// convert is v in another float type, v itself if it has that type.
func convert(v *tensor.Dense, d tensor.Dtype) *tensor.Dense {
	if v.Dtype() == d {
		return v
	}
	out := tensor.New(tensor.Of(d), tensor.WithShape(v.Shape()...))
	switch dst := out.Data().(type) {
	case []float32:
		for i, x := range v.Data().([]float64) {
			dst[i] = float32(x)
		}
	case []float64:
		for i, x := range v.Data().([]float32) {
			dst[i] = float64(x)
		}
	}
	return out
}

// equal is true of a NaN and itself.
func equal(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// size is the largest magnitude.
func size(v []float64) float64 {
	top := 0.0
	for _, x := range v {
		top = max(top, math.Abs(x))
	}
	return top
}

// worst is the largest difference.
func worst(a, b []float64) float64 {
	d := slices.Clone(a)
	for i := range d {
		d[i] -= b[i]
	}
	return size(d)
}
