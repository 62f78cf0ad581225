package graph

import (
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/godistill/godistill/internal/kernel"
)

// A sum is Gorgonia's addition of two tensors of one shape, by which Grad joins
// the gradients of a node that is used more than once: Gorgonia's makes a new
// tensor on each run.
type sum struct {
	gorgonia.Op
	value *tensor.Dense
}

// settled is the op of n in a form that makes no new tensor on each run, where
// there is one.
func settled(n *gorgonia.Node) gorgonia.Op {
	b, ok := n.Op().(gorgonia.BinaryOp)
	if !ok || !strings.HasPrefix(b.String(), "+ ") || n.Dims() == 0 || !isFloat(n.Dtype()) {
		return n.Op()
	}
	for _, c := range Children(n) {
		if !slices.Equal(c.Shape(), n.Shape()) || c.Dtype() != n.Dtype() {
			return n.Op()
		}
	}
	return &sum{Op: n.Op()}
}

func isFloat(d tensor.Dtype) bool { return d == tensor.Float32 || d == tensor.Float64 }

func (s *sum) hold(v gorgonia.Value) { s.value = v.(*tensor.Dense) }

// Do adds two tensors.
func (s *sum) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if s.value.Dtype() == tensor.Float32 {
		kernel.Add(floats[float32](s.value), floats[float32](in[0]), floats[float32](in[1]), kernel.Identity)
	} else {
		kernel.Add(floats[float64](s.value), floats[float64](in[0]), floats[float64](in[1]), kernel.Identity)
	}
	return s.value, nil
}
