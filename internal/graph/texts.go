package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// texts says where texts begin among the rows of an operation: with each sample or,
// given segments, wherever the number of a text changes.
type texts struct {
	segments           *gorgonia.Node // (B, T) of tensor.Int, or nil
	samples, positions int
	last               []int // what in returned
}

// textsOf are those of x (B, T, ...).
func textsOf(name string, x, segments *gorgonia.Node) (*texts, error) {
	t := &texts{segments: segments, samples: x.Shape()[0], positions: x.Shape()[1]}
	if segments != nil && (!segments.Shape().Eq(x.Shape()[:2]) || segments.Dtype() != tensor.Int) {
		return nil, fmt.Errorf("graph: %s: the segments are %v of %v and x %v; want (B, T) of int and (B, T, ...)", name, segments.Shape(), segments.Dtype(), x.Shape())
	}
	return t, nil
}

// after are the inputs of an operation, segments last if there are any. The first
// alone has a gradient.
func (t *texts) after(o *op, in ...*gorgonia.Node) []*gorgonia.Node {
	if t.segments != nil {
		in = append(in, t.segments)
		o.ints = len(in) - 1
	}
	o.wrt = make([]bool, len(in))
	o.wrt[0] = true
	return in
}

// onlyFirst are the gradients of inputs of which the first alone has one.
func onlyFirst(first *gorgonia.Node, in []*gorgonia.Node) []*gorgonia.Node {
	return append([]*gorgonia.Node{first}, make([]*gorgonia.Node, len(in)-1)...)
}

// numbers are the segments among the inputs of a run, nil if there are none.
func (t *texts) numbers(v []gorgonia.Value) []int {
	if t.segments == nil {
		return nil
	}
	return ints(v[len(v)-1])
}

// in is where texts begin, given the inputs of a run.
func (t *texts) in(v []gorgonia.Value) []int {
	if t.segments != nil || t.last == nil {
		t.last = kernel.Texts(t.last[:0], t.numbers(v), t.samples, t.positions)
	}
	return t.last
}
