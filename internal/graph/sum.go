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
	a, b := in[0].(*tensor.Dense), in[1].(*tensor.Dense)
	if s.value.Dtype() == tensor.Float32 {
		addInto[float32](s.value, a, b)
	} else {
		addInto[float64](s.value, a, b)
	}
	return s.value, nil
}

func addInto[F kernel.Float](dst, a, b *tensor.Dense) {
	to, right := floats[F](dst), floats[F](b)
	for i, v := range floats[F](a) {
		to[i] = v + right[i]
	}
}
